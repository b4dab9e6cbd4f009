"""For how long the look at a provider's certificate is believed, and of which connections: between two TLS ends in memory."""

import ssl
from dataclasses import dataclass

import pytest
import trustme

from activities.tls import _PEERS_MAX, Peer, Tls
from recharge.limits import CERTIFICATE_BELIEVED_S

PEER: Peer = ("provider.example", 443)
NOW_S = 1000.0
AUTHORITY = trustme.CA()


def tls(*, with_certificate: bool = False, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> Tls:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.maximum_version = version
    AUTHORITY.configure_trust(context)
    return Tls(context, with_certificate)


@dataclass
class Server:
    """A provider's end. Each one has a key of its own for its sessions, as after a restart."""

    context: ssl.SSLContext

    @classmethod
    def make(cls, *, tickets: int = 2) -> "Server":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        AUTHORITY.issue_cert(PEER[0]).configure_cert(context)
        context.num_tickets = tickets
        return cls(context)


def answered(ours: Tls, server: Server, now_s: float, peer: Peer = PEER) -> ssl.SSLObject:
    """A connection from its handshake to its answer, after which its session is kept where it may be."""
    to_us, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = ours.session(peer, now_s)
    here = ours.context.wrap_bio(to_us, to_server, server_hostname=PEER[0], session=session)
    there = server.context.wrap_bio(to_server, to_us, server_side=True)
    open_ends = [here, there]
    while open_ends:
        for end in list(open_ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            open_ends.remove(end)
    here.write(b"POST")
    assert there.read(4) == b"POST"
    there.write(b"200")
    assert here.read(3) == b"200"
    ours.keep(peer, here, now_s)
    return here


def test_a_certificate_is_believed_for_its_time_and_looked_at_again_after_it() -> None:
    ours, server = tls(), Server.make()
    assert not answered(ours, server, NOW_S).session_reused
    assert answered(ours, server, NOW_S + 1).session_reused
    # Connections that went on with the session do not lengthen its time.
    assert answered(ours, server, NOW_S + CERTIFICATE_BELIEVED_S - 0.001).session_reused
    assert not answered(ours, server, NOW_S + CERTIFICATE_BELIEVED_S).session_reused
    assert answered(ours, server, NOW_S + CERTIFICATE_BELIEVED_S + 1).session_reused


def test_a_provider_that_does_not_know_the_session_any_more_is_checked_in_the_same_handshake() -> None:
    ours = tls()
    answered(ours, Server.make(), NOW_S)
    restarted = Server.make()
    assert not answered(ours, restarted, NOW_S + 1).session_reused
    assert answered(ours, restarted, NOW_S + 2).session_reused


def test_a_session_is_of_one_host_and_port_and_is_forgotten_after_a_failure() -> None:
    ours, server = tls(), Server.make()
    answered(ours, server, NOW_S)
    for other in ((PEER[0], 444), ("other.example", 443)):
        assert ours.session(other, NOW_S) is None
        ours.forget(other)
    assert ours.session(PEER, NOW_S) is not None
    ours.forget(PEER)
    assert not answered(ours, server, NOW_S + 1).session_reused


@pytest.mark.parametrize("wants", ["a certificate of our own", "an old TLS", "a provider without tickets"])
def test_no_session_is_kept_with(wants: str) -> None:
    old = ssl.TLSVersion.TLSv1_2 if wants == "an old TLS" else ssl.TLSVersion.TLSv1_3
    ours = tls(with_certificate=wants == "a certificate of our own", version=old)
    server = Server.make(tickets=0 if wants == "a provider without tickets" else 2)
    for second in range(2):
        assert not answered(ours, server, NOW_S + second).session_reused
    assert ours.session(PEER, NOW_S) is None


def test_the_sessions_of_hosts_that_nobody_asks_again_do_not_pile_up() -> None:
    ours, server = tls(), Server.make()
    for port in range(3 * _PEERS_MAX):
        answered(ours, server, NOW_S, (PEER[0], port))
        assert len(ours._checked) <= _PEERS_MAX
    assert ours.session((PEER[0], 3 * _PEERS_MAX - 1), NOW_S) is not None
