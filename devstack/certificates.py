"""One certificate authority and one server certificate for the local servers."""

import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

_LIFETIME = timedelta(days=825)
_RENEW_BEFORE = timedelta(days=30)


@dataclass(frozen=True)
class Certificates:
    """The files, all PEM: the authority's certificate, the server's chain, the server's key (PKCS#8, unencrypted)."""

    ca_file: Path
    cert_file: Path
    key_file: Path


def ensure_certificates(folder: Path) -> Certificates:
    """The certificates of this folder, made at the first call and again when they are about to expire."""
    files = Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    valid_until_file = folder / "valid-until"
    if valid_until_file.exists():
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
    (folder / "server.pem").write_bytes(b"".join(blob.bytes() for blob in server.cert_chain_pems))
    # Kafka reads PKCS#8 alone; trustme writes the older form.
    key = load_pem_private_key(server.private_key_pem.bytes(), password=None)
    key_file = folder / "server.key"
    key_file.touch(mode=0o600)
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "valid-until").write_text(valid_until.isoformat())
