"""TLS to the ledger: asked for by the URL, and never given up on the way.

The driver goes on in plaintext where a server says that it has no TLS, and whoever sits in between can say so in the server's name. So the
connection refuses such a server before user and password are sent. The CA and the host name are verified by Python's own context.
"""

import ssl
from collections.abc import Mapping
from typing import Any

from pymysql.constants import CLIENT

from activities.ledger.driver import Connection, opened
from activities.ledger.errors import LedgerUnfit


class _EncryptedConnection(Connection):
    """The driver's connection, which sends nothing to a server that offers no TLS."""

    async def _request_authentication(self) -> None:
        refuse_without_tls(self.server_capabilities, f"{self.host}:{self.port}")
        await super()._request_authentication()


def refuse_without_tls(capabilities: int, where: str) -> None:
    """Refuse a server that does not offer TLS in its greeting. Raises LedgerUnfit."""
    if not capabilities & CLIENT.SSL:
        raise LedgerUnfit(
            f"MySQL at {where} offers no TLS although RECHARGE_MYSQL__URL asks for it by ssl_ca; nothing was sent to it"
        )


async def connect_encrypted(*args: Any, **kwargs: Any) -> Connection:  # noqa: ANN401  # the driver's own arguments
    """Open a connection that is encrypted. Raises LedgerUnfit where the server offers no TLS."""
    return await opened(_EncryptedConnection(*args, **kwargs))


def tls_context(query: Mapping[str, str]) -> ssl.SSLContext | None:
    """How the server is verified, by `ssl_ca`, `ssl_cert` and `ssl_key` of the URL; None where it names no CA.

    Raises LedgerUnfit where a file cannot be used.
    """
    if "ssl_ca" not in query:
        return None
    try:
        context = ssl.create_default_context(cafile=query["ssl_ca"])
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if "ssl_cert" in query:
            context.load_cert_chain(query["ssl_cert"], query.get("ssl_key"))
    except OSError as error:
        raise LedgerUnfit(f"RECHARGE_MYSQL__URL: a certificate file cannot be used: {error}") from error
    return context


def refuse_plaintext(dbapi_connection: Any, _record: object) -> None:  # noqa: ANN401  # the driver's own connection object
    """Ask a new connection itself, in case another version of the driver goes another way than the one above."""
    cursor = dbapi_connection.cursor()
    cursor.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
    row = cursor.fetchone()
    cursor.close()
    if not row or not row[1]:
        raise LedgerUnfit("the connection to the ledger is not encrypted although RECHARGE_MYSQL__URL asks for it")


def untrusted(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    """The refusal of the server's certificate behind an error of the driver, which tells it as a server that is away."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error
        error = getattr(error, "orig", None) or error.__cause__
    return None
