"""How the provider's certificate is checked, and for how long a check is believed."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from recharge import limits

_PEERS_MAX = 16
"""The hosts of which a check is remembered. A profile names one or two; one that makes them up as it goes gets whole handshakes."""

Peer = tuple[str, int]
"""A host and its port."""


@dataclass(frozen=True, slots=True)
class _Checked:
    """A peer whose certificate was looked at, and the TLS session that was made with it."""

    session: ssl.SSLSession
    at_boottime_s: float


@dataclass(frozen=True, slots=True)
class Tls:
    """The certificates of calls to the provider. One for a process, or for one look.

    Every call has a connection of its own. To look at a certificate is most of what a handshake costs, so a connection goes on with the
    session of one before it, for a minute at most: by TLS 1.3, with keys of its own, and without early data, which somebody could send
    again. A peer that does not know the session any more is checked anew in the same handshake.
    """

    context: ssl.SSLContext
    has_client_certificate: bool
    _checked: dict[Peer, _Checked] = field(default_factory=dict)

    @classmethod
    def load(cls, ca_file: Path | None, cert_file: Path | None, key_file: Path | None) -> Self:
        """Read the certificates: the given CA, or the system's where none is given.

        Raises:
            ValueError: a file cannot be read, or is not what it should be.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies the certificate and the host's name
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        try:
            if ca_file is None:
                context.load_default_certs(ssl.Purpose.SERVER_AUTH)
            else:
                context.load_verify_locations(cafile=ca_file)
        except OSError as error:
            raise ValueError(
                f"RECHARGE_PROVIDER__CA_FILE: {ca_file} holds no certificates in PEM form ({error})"
            ) from None
        if cert_file is not None and key_file is not None:
            try:
                # Without a password of its own OpenSSL would ask the terminal for that of an encrypted key.
                context.load_cert_chain(cert_file, key_file, password="")
            except OSError as error:
                what = f"{cert_file} and {key_file} are no certificate in PEM form with its unencrypted key"
                raise ValueError(f"RECHARGE_PROVIDER__CERT_FILE, __KEY_FILE: {what} ({error})") from None
        return cls(context, cert_file is not None)

    def session(self, peer: Peer, now_boottime_s: float) -> ssl.SSLSession | None:
        """The session by which a connection to this peer may go on; None where its certificate has to be looked at."""
        checked = self._checked.get(peer)
        if checked is None or not _is_believed(checked, now_boottime_s):
            return None
        return checked.session

    def keep(self, peer: Peer, connection: ssl.SSLObject, begun_boottime_s: float) -> None:
        """Remember the session of a connection that was answered, where its handshake was a whole one.

        One that went on with another's session is not kept, so no check is believed for longer than its time. With a certificate of our
        own nothing is kept: whether a server takes it is said in whole handshakes alone.
        """
        if connection.session_reused or self.has_client_certificate or connection.version() != "TLSv1.3":
            return
        session = connection.session
        if session is None or not session.has_ticket:
            return
        if len(self._checked) >= _PEERS_MAX:
            self._checked.clear()
        self._checked[peer] = _Checked(session, begun_boottime_s)

    def forget(self, peer: Peer) -> None:
        """Begin the next connection to this peer by a whole handshake. Whatever went wrong, a session did not cause it twice."""
        self._checked.pop(peer, None)


def _is_believed(checked: _Checked, now_boottime_s: float) -> bool:
    return now_boottime_s - checked.at_boottime_s < limits.CERTIFICATE_BELIEVED_S
