"""A hop whose TLS ends at the proxy and begins again behind it, so that what is inside can be told apart."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Self

from devstack.certificates import Certificates
from devstack.wire.framing import Cutter
from devstack.wire.kafka import kafka_cutters

_HANDSHAKE_TIMEOUT_S: Final = 60.0
"""Longer than any of the service's own time-outs: it is the one that gives up."""
_FAREWELL_TIMEOUT_S: Final = 1.0
"""A process that was killed or is frozen answers no farewell."""


@dataclass(frozen=True, slots=True)
class Opened:
    """How the proxy opens the TLS of one hop. `cutters` makes what cuts the two directions inside it, the one to the server first."""

    as_server: ssl.SSLContext = field(repr=False)
    as_client: ssl.SSLContext = field(repr=False)
    cutters: Callable[[], tuple[Cutter, Cutter]]

    @classmethod
    def kafka(cls, certificates: Certificates) -> Self:
        """Before a broker with these certificates: the proxy shows its clients the broker's own, and checks the broker's itself."""
        as_server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        as_server.load_cert_chain(certificates.cert_file, certificates.key_file)
        as_client = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(certificates.ca_file))
        return cls(as_server, as_client, kafka_cutters)

    def listening(self) -> dict[str, Any]:
        """What asyncio is told of it for the connections that come."""
        return _told(self.as_server)

    def connecting(self) -> dict[str, Any]:
        """What asyncio is told of it for a connection to the server."""
        return _told(self.as_client)


def _told(context: ssl.SSLContext) -> dict[str, Any]:
    return {"ssl": context, "ssl_handshake_timeout": _HANDSHAKE_TIMEOUT_S, "ssl_shutdown_timeout": _FAREWELL_TIMEOUT_S}
