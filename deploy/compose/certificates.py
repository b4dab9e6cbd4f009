"""Makes the certificates of docker-compose.yml: an authority, and one certificate for all of its servers.

What is there stays as long as it fits: the authority issued it, the key belongs to it, it has every name that is asked
for, and it is valid for another month.
"""  # noqa: INP001 - a program of the compose stack, never imported by the service

import argparse
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

_LIFETIME = timedelta(days=825)
_RENEW_BEFORE = timedelta(days=30)


def main(arguments: list[str]) -> int:
    """Make the files, or leave them where they fit; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--authority-folder", type=Path, required=True, help="where the authority's ca.pem goes")
    parser.add_argument("--server-folder", type=Path, required=True, help="where server.pem and server.key go")
    parser.add_argument("names", nargs="+", help="the host names of the servers")
    options = parser.parse_args(arguments)
    ca_file = options.authority_folder / "ca.pem"
    cert_file, key_file = options.server_folder / "server.pem", options.server_folder / "server.key"
    try:
        if _fit(ca_file, cert_file, key_file, frozenset(options.names)):
            sys.stdout.write("the certificates are there and fit\n")
            return 0
        _make(ca_file, cert_file, key_file, options.names)
    except OSError as error:
        sys.stderr.write(f"certificates: {error}\n")
        return 1
    sys.stdout.write(f"made new certificates for {', '.join(options.names)}; restart the servers that run already\n")
    return 0


def _fit(ca_file: Path, cert_file: Path, key_file: Path, names: frozenset[str]) -> bool:
    if not all(file.exists() for file in (ca_file, cert_file, key_file)):
        return False
    try:
        authority = x509.load_pem_x509_certificate(ca_file.read_bytes())
        server = x509.load_pem_x509_certificates(cert_file.read_bytes())[0]
        key = load_pem_private_key(key_file.read_bytes(), password=None)
        server.verify_directly_issued_by(authority)
        alternatives = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        # A file that was cut short, or one of another making: all three are made anew.
        return False
    return (
        key.public_key() == server.public_key()
        and names <= set(alternatives.get_values_for_type(x509.DNSName))
        and server.not_valid_after_utc - _RENEW_BEFORE > datetime.now(UTC)
    )


def _make(ca_file: Path, cert_file: Path, key_file: Path, names: list[str]) -> None:
    authority = trustme.CA(organization_name="recharge compose")
    server = authority.issue_cert(*names, not_after=datetime.now(UTC) + _LIFETIME)
    # Kafka reads PKCS#8 alone; trustme writes the older form.
    key = load_pem_private_key(server.private_key_pem.bytes(), password=None)
    pkcs8 = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    # Every server has a user of its own, and all read this one key: its volume, which only they mount, guards it.
    _write(key_file, pkcs8)
    _write(cert_file, b"".join(blob.bytes() for blob in server.cert_chain_pems))
    _write(ca_file, authority.cert_pem.bytes())


def _write(file: Path, content: bytes) -> None:
    arriving = file.with_name(f".{file.name}.new")
    arriving.write_bytes(content)
    arriving.chmod(0o444)
    arriving.replace(file)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
