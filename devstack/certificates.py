"""One certificate authority, one server certificate for the local servers, and one for a client of them."""

import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

_LIFETIME = timedelta(days=825)
_RENEW_BEFORE = timedelta(days=30)

CLIENT_NAME = "recharge"
"""Whom a server that asks for a client's certificate takes its holder for."""


@dataclass(frozen=True)
class Certificates:
    """The files, all PEM: the authority's certificate, the server's chain, the server's key (PKCS#8, unencrypted); and the same two of a
    client whose common name is CLIENT_NAME.
    """

    ca_file: Path
    cert_file: Path
    key_file: Path
    client_cert_file: Path
    client_key_file: Path


def ensure_certificates(folder: Path) -> Certificates:
    """The certificates of this folder, made at the first call and again when they are about to expire."""
    files = Certificates(
        *(folder / name for name in ("ca.pem", "server.pem", "server.key", "client.pem", "client.key"))
    )
    valid_until_file = folder / "valid-until"
    # A folder of an earlier release has no certificate for a client.
    if valid_until_file.exists() and files.client_cert_file.exists():
        valid_until = datetime.fromisoformat(valid_until_file.read_text())
        if valid_until - _RENEW_BEFORE > datetime.now(UTC):
            return files
    folder.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix="certificates-", dir=folder.parent))
    _make(making)
    shutil.rmtree(folder, ignore_errors=True)
    making.rename(folder)
    return files


def _make(folder: Path) -> None:
    valid_until = datetime.now(UTC) + _LIFETIME
    authority = trustme.CA(organization_name="recharge devstack")
    server = authority.issue_cert("localhost", "127.0.0.1", not_after=valid_until)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    client = authority.issue_cert(f"{CLIENT_NAME}.example", common_name=CLIENT_NAME, not_after=valid_until)
    for name, issued in (("server", server), ("client", client)):
        (folder / f"{name}.pem").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        # Kafka reads PKCS#8 alone; trustme writes the older form.
        key = load_pem_private_key(issued.private_key_pem.bytes(), password=None)
        key_file = folder / f"{name}.key"
        key_file.touch(mode=0o600)
        key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "valid-until").write_text(valid_until.isoformat())
