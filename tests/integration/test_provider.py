"""The provider's client against real sockets: what it says of each fault, and how much of the request arrived."""

import asyncio
import contextlib
import os
import socket
import ssl
from pathlib import Path

import pytest
import trustme

from activities import transport
from activities.provider import Answer, Call, Provider, boottime_s
from activities.transmission import Transmission, TransportError
from recharge import limits
from recharge.outcome import LookupAnswer, Outcome
from recharge.settings import ProviderSettings
from tests.support.peer import (
    BODY,
    CHARGED,
    REFERENCE,
    Behaviour,
    Certificates,
    Peer,
    call,
    free_port,
    send,
    serving,
    until,
)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


# --- The request as it arrives ----------------------------------------------------------------------------------------


async def test_the_record_arrives_byte_for_byte_with_its_key_and_trace(certificates: Certificates) -> None:
    body = b' {"amount" : 1.0000000000000000000001,\n "note":"\xc3\xa9\xff"} '
    trace = f"00-{'a' * 32}-{'b' * 16}-01"

    async with serving(lambda peer: peer.answer("200 OK", CHARGED), certificates.server) as server:
        provider = Provider(
            ProviderSettings.model_validate(
                {"url": server.url + "?a=b%2Fc", "ca_file": certificates.ca_file, "auth_token": "secret"}
            )
        )
        answer = await provider.send(call(body=body, traceparent=trace))

    head, _, arrived = bytes(server.seen).partition(b"\r\n\r\n")
    lines = {line.lower() for line in head.split(b"\r\n")[1:]}
    assert answer == Answer(Outcome.CHARGED, "200 OK, charged", 200, None, "P-1", None)
    assert arrived == body
    assert head.startswith(b"POST /recharges?a=b%2Fc HTTP/1.1\r\n")
    assert lines >= {
        f"idempotency-key: {REFERENCE}".encode(),
        f"traceparent: {trace}".encode(),
        b"content-type: application/json",
        b"authorization: bearer secret",
        b"accept-encoding: identity",
        b"connection: close",
        f"content-length: {len(body)}".encode(),
    }
    assert any(line.startswith(b"user-agent: recharge/") for line in lines)


async def test_a_look_up_asks_for_the_reference_percent_encoded(certificates: Certificates) -> None:
    async with serving(lambda peer: peer.answer("200 OK", CHARGED), certificates.server) as server:
        settings = {"url": server.url, "lookup_url": f"{server.url}/{{reference}}?x=1", "ca_file": certificates.ca_file}
        provider = Provider(ProviderSettings.model_validate(settings))
        reading = await provider.look_up("a:b/c?d e")
    assert reading.answer is LookupAnswer.CHARGED
    assert reading.provider_reference == "P-1"
    assert bytes(server.seen).startswith(b"GET /recharges/a%3Ab%2Fc%3Fd%20e?x=1 HTTP/1.1\r\n")


async def test_a_look_up_that_fails_decides_nothing(certificates: Certificates) -> None:
    port = free_port()
    url = f"https://127.0.0.1:{port}/x"
    settings = {"url": url, "lookup_url": f"{url}/{{reference}}", "ca_file": certificates.ca_file}
    provider = Provider(ProviderSettings.model_validate(settings))
    reading = await provider.look_up(REFERENCE)
    assert reading.answer is LookupAnswer.UNREADABLE
    assert "refused" in reading.said


async def test_nothing_is_kept_between_calls(certificates: Certificates) -> None:
    async def behaviour(peer: Peer) -> None:
        await peer.answer("200 OK", CHARGED, "Set-Cookie: session=1; Path=/", "Connection: keep-alive")

    async with serving(behaviour, certificates.server) as server:
        provider = Provider(ProviderSettings.model_validate({"url": server.url, "ca_file": certificates.ca_file}))
        for _ in range(3):
            assert (await provider.send(call())).outcome is Outcome.CHARGED
    assert server.connections == 3
    assert b"cookie" not in bytes(server.seen).lower()


async def test_the_certificate_is_looked_at_once_for_many_calls_and_again_after_any_trouble(
    certificates: Certificates,
) -> None:
    resumed: list[bool] = []
    behaviours = ["answer", "answer", "answer", "reset", "answer", "answer"]

    async def behaviour(peer: Peer) -> None:
        resumed.append(peer.writer.get_extra_info("ssl_object").session_reused)
        if behaviours[len(resumed) - 1] == "reset":
            await peer.request()
            peer.reset()
        else:
            await peer.answer("200 OK", CHARGED)

    async with serving(behaviour, certificates.server) as server:
        provider = Provider(ProviderSettings.model_validate({"url": server.url, "ca_file": certificates.ca_file}))
        outcomes = [(await provider.send(call())).outcome for _ in behaviours]
    assert resumed == [False, True, True, True, False, True]
    assert outcomes == [Outcome.UNKNOWN if each == "reset" else Outcome.CHARGED for each in behaviours]


async def test_a_provider_that_came_back_with_a_certificate_of_somebody_else_gets_nothing(
    certificates: Certificates,
) -> None:
    async with serving(lambda peer: peer.answer("200 OK", CHARGED), certificates.server) as server:
        provider = Provider(ProviderSettings.model_validate({"url": server.url, "ca_file": certificates.ca_file}))
        assert (await provider.send(call())).outcome is Outcome.CHARGED
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(other)
    async with serving(lambda peer: peer.answer("200 OK", CHARGED), other, port=server.port) as impostor:
        answer = await provider.send(call())
    assert answer.outcome is Outcome.NOT_SENT
    assert "certificate is not trusted" in answer.said
    assert not impostor.seen


async def test_the_environment_cannot_reroute_a_call(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login who password what\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    async with serving(lambda peer: peer.answer("204 No Content"), certificates.server) as server:
        answer = await send(server.url, certificates)
    assert answer.outcome is Outcome.CHARGED
    assert b"authorization" not in bytes(server.seen).lower()


async def test_calls_at_the_same_time_each_get_their_own_answer(certificates: Certificates) -> None:
    async def behaviour(peer: Peer) -> None:
        body = (await peer.request()).partition(b"\r\n\r\n")[2]
        answer = b'{"providerReference":"' + body + b'"}'
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)

    async with serving(behaviour, certificates.server) as server:
        provider = Provider(ProviderSettings.model_validate({"url": server.url, "ca_file": certificates.ca_file}))
        answers = await asyncio.gather(*(provider.send(call(body=b"n%d" % number)) for number in range(50)))
    assert [answer.provider_reference for answer in answers] == [f"n{number}" for number in range(50)]


async def test_a_name_with_several_addresses_is_tried_until_one_answers(certificates: Certificates) -> None:
    async def resolve(*_: object, **__: object) -> list[tuple[object, ...]]:
        dead = socket.getaddrinfo("127.0.0.1", free_port(), type=socket.SOCK_STREAM)
        return [*dead, *socket.getaddrinfo("127.0.0.1", server.port, type=socket.SOCK_STREAM)]

    async with serving(lambda peer: peer.answer("200 OK", CHARGED), certificates.server) as server:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
            answer = await send(f"https://localhost:{server.port}/x", certificates)
    assert answer.outcome is Outcome.CHARGED, answer.said
    assert server.connections == 1


# --- Not sent ---------------------------------------------------------------------------------------------------------


async def test_a_refused_connection_is_not_sent(certificates: Certificates) -> None:
    answer = await send(f"https://127.0.0.1:{free_port()}/x", certificates)
    assert answer.outcome is Outcome.NOT_SENT
    assert "Connection refused" in answer.said


async def test_a_name_that_does_not_resolve_is_not_sent(certificates: Certificates) -> None:
    answer = await send("https://provider.invalid/x", certificates)
    assert answer.outcome is Outcome.NOT_SENT
    assert "provider.invalid cannot be resolved" in answer.said


async def test_a_reference_that_fits_no_header_is_not_sent(certificates: Certificates) -> None:
    async with serving(lambda peer: peer.answer("200 OK", CHARGED), certificates.server) as server:
        provider = Provider(ProviderSettings.model_validate({"url": server.url, "ca_file": certificates.ca_file}))
        for reference in ("a\r\nX-Other: b", "é"):
            answer = await provider.send(Call(reference, BODY, None, boottime_s() + 5, after_unknown=False))
            assert answer.outcome is Outcome.NOT_SENT
            assert answer.said.isprintable()
    assert server.seen == b""


async def test_a_provider_whose_certificate_is_not_trusted_gets_nothing(certificates: Certificates) -> None:
    async with serving(lambda peer: peer.answer("200 OK", CHARGED), certificates.server) as server:
        other = certificates.folder / "other.pem"
        trustme.CA().cert_pem.write_to_path(other)
        answer = await send(server.url, certificates, ca_file=other)
    assert answer.outcome is Outcome.NOT_SENT
    assert "not trusted" in answer.said
    assert server.seen == b""


async def test_a_provider_under_another_name_gets_nothing(certificates: Certificates) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificates.ca.issue_cert("elsewhere.example").configure_cert(context)
    async with serving(lambda peer: peer.answer("200 OK", CHARGED), context) as server:
        answer = await send(server.url, certificates)
    assert answer.outcome is Outcome.NOT_SENT
    assert server.seen == b""


async def hang(peer: Peer) -> None:
    await peer.reader.read()


async def close(peer: Peer) -> None:
    peer.writer.transport.abort()


async def reset(peer: Peer) -> None:
    await peer.reader.read(1)
    peer.reset()


async def speak_http(peer: Peer) -> None:
    await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    await peer.reader.read()


@pytest.mark.parametrize("behaviour", [hang, close, reset, speak_http])
async def test_a_connection_that_never_becomes_tls_is_not_sent(
    certificates: Certificates, behaviour: Behaviour
) -> None:
    async with serving(behaviour, None) as server:
        answer = await send(server.url, certificates, time_s=0.8)
    assert answer.outcome is Outcome.NOT_SENT
    assert BODY not in server.seen


async def test_a_call_whose_time_is_over_is_not_sent(certificates: Certificates) -> None:
    async with serving(lambda peer: peer.answer("200 OK", CHARGED), certificates.server) as server:
        answer = await send(server.url, certificates, time_s=-1)
    assert answer.outcome is Outcome.NOT_SENT
    assert server.seen == b""


async def test_a_call_that_waits_too_long_for_its_turn_is_not_sent(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CALLS_IN_FLIGHT_MAX", 1)
    async with serving(hang, certificates.server) as server:
        provider = Provider(ProviderSettings.model_validate({"url": server.url, "ca_file": certificates.ca_file}))
        first, second = await asyncio.gather(provider.send(call(2.0)), provider.send(call(0.5)))
    assert first.outcome is Outcome.UNKNOWN
    assert second.outcome is Outcome.NOT_SENT
    assert server.connections == 1


@pytest.mark.parametrize("word", [b"", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"])
async def test_a_provider_that_closes_or_speaks_before_the_request_gets_nothing(word: bytes) -> None:
    """Over plain HTTP on loopback, held back until what the server said has arrived."""
    with socket.create_server(("127.0.0.1", 0)) as listener, Transmission(boottime_s() + 5) as transmission:
        sock = transmission.open_socket(socket.AF_INET)
        await asyncio.get_running_loop().sock_connect(sock, listener.getsockname())
        accepted, _ = listener.accept()
        with accepted:
            accepted.sendall(word)
            accepted.shutdown(socket.SHUT_WR)
            await until(lambda: _readable(sock))
            stream = transport._Stream(transmission, sock)
            await stream.write(b"POST")
            with pytest.raises(TransportError, match="before the request"):
                await stream.read(100)
            assert not transmission.handed_over
            transmission.close()
            with contextlib.suppress(ConnectionResetError):
                assert accepted.recv(100) == b""


@pytest.mark.parametrize("known", [False, True])
async def test_a_refused_client_certificate_is_not_sent(certificates: Certificates, *, known: bool) -> None:
    """TLS 1.3 lets the client finish its handshake before the server judges the certificate."""
    issuer = certificates.ca if known else trustme.CA()
    ours = issuer.issue_cert("recharge.example")
    cert_file, key_file = certificates.folder / f"{known}.pem", certificates.folder / f"{known}.key"
    ours.cert_chain_pems[0].write_to_path(cert_file)
    ours.private_key_pem.write_to_path(key_file)
    context = certificates.server_context(wants_client_certificate=True)
    async with serving(lambda peer: peer.answer("200 OK", CHARGED), context) as server:
        answer = await send(server.url, certificates, cert_file=cert_file, key_file=key_file)
    assert answer.outcome is (Outcome.CHARGED if known else Outcome.NOT_SENT), answer.said
    assert (BODY in server.seen) is known


async def test_a_request_that_the_send_buffer_cannot_take_whole_is_not_begun(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "SEND_BUFFER_MARGIN_BYTES", 2**29)
    async with serving(lambda peer: peer.answer("200 OK", CHARGED), certificates.server) as server:
        answer = await send(server.url, certificates)
    assert answer.outcome is Outcome.NOT_SENT
    assert "net.core.wmem_max" in answer.said
    assert server.seen == b""


async def test_a_socket_that_takes_nothing_is_not_sent(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(stream: transport._Stream, _size_bytes: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                stream._socket.send(b"#" * 65536)

    monkeypatch.setattr(transport._Stream, "_make_room", fill)

    over = asyncio.Event()

    async def behaviour(peer: Peer) -> None:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await over.wait()
        peer.writer.transport.abort()

    async with serving(behaviour, None) as server:
        answer = await send(server.url.replace("https", "http"), certificates)
        over.set()
    assert answer.outcome is Outcome.NOT_SENT
    assert "took nothing" in answer.said


# --- Unknown ----------------------------------------------------------------------------------------------------------


async def read_then_nothing(peer: Peer) -> None:
    await peer.request()
    await peer.reader.read()


async def read_then_close(peer: Peer) -> None:
    await peer.request()
    peer.writer.transport.abort()


async def read_then_reset(peer: Peer) -> None:
    await peer.request()
    peer.reset()


async def close_after_headers(peer: Peer) -> None:
    await peer.request()
    await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n")
    peer.writer.close()


async def cut_short(peer: Peer) -> None:
    await peer.request()
    await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n" + CHARGED)
    peer.writer.close()


async def chunks_without_an_end(peer: Peer) -> None:
    await peer.request()
    await peer.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(CHARGED), CHARGED))
    peer.writer.close()


async def no_length_and_no_tls_goodbye(peer: Peer) -> None:
    await peer.request()
    await peer.say(b"HTTP/1.1 200 OK\r\n\r\n")
    peer.writer.transport.abort()


async def no_length_and_a_tls_goodbye(peer: Peer) -> None:
    await peer.request()
    await peer.say(b"HTTP/1.1 200 OK\r\n\r\n")
    peer.writer.close()  # in good order, as a proxy does whose own connection was cut


async def drip(peer: Peer) -> None:
    await peer.request()
    await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not peer.writer.is_closing():
        await peer.say(b" ")
        await asyncio.sleep(0.01)


async def too_long(peer: Peer) -> None:
    await peer.request()
    body = b'{"status":"charged"' + b" " * limits.ANSWER_BYTES_MAX + b"}"
    await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


async def endless_headers(peer: Peer) -> None:
    await peer.request()
    await peer.say(b"HTTP/1.1 200 OK\r\n")
    while not peer.writer.is_closing():
        await peer.say(b"X-Header: " + b"x" * 1000 + b"\r\n")


async def not_http(peer: Peer) -> None:
    await peer.request()
    await peer.say(b"220 mail.example ESMTP\r\n")


async def compressed(peer: Peer) -> None:
    await peer.answer("200 OK", b"\x1f\x8b\x08\x00", "Content-Encoding: gzip")


@pytest.mark.parametrize(
    "behaviour",
    [
        read_then_nothing,
        read_then_close,
        read_then_reset,
        close_after_headers,
        cut_short,
        chunks_without_an_end,
        no_length_and_no_tls_goodbye,
        no_length_and_a_tls_goodbye,
        drip,
        too_long,
        endless_headers,
        not_http,
        compressed,
    ],
)
async def test_a_request_without_a_whole_answer_is_unknown(certificates: Certificates, behaviour: Behaviour) -> None:
    began_s = boottime_s()
    async with serving(behaviour, certificates.server) as server:
        answer = await send(server.url, certificates, time_s=2)
    assert answer.outcome is Outcome.UNKNOWN, answer.said
    assert server.connections == 1
    assert bytes(server.seen).count(BODY) == 1
    assert len(answer.said) <= limits.REASON_CHARS_MAX
    assert boottime_s() - began_s < 8


async def test_what_the_kernel_still_holds_at_the_deadline_never_arrives(certificates: Certificates) -> None:
    body = os.urandom(limits.RECORD_BYTES_MAX)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
    answer = await send(url, certificates, time_s=1, body=body)
    accepted, _ = listener.accept()
    arrived = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while chunk := accepted.recv(65536):
            arrived += chunk
    accepted.close()
    listener.close()
    assert answer.outcome is Outcome.UNKNOWN
    assert 0 <= len(arrived) < len(body)


async def test_a_connection_never_carries_a_second_request() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, Transmission(boottime_s() + 5) as transmission:
        sock = transmission.open_socket(socket.AF_INET)
        await asyncio.get_running_loop().sock_connect(sock, listener.getsockname())
        accepted, _ = listener.accept()
        with accepted:
            stream = transport._Stream(transmission, sock)
            await stream.write(b"first")
            accepted.settimeout(5)
            reading = asyncio.ensure_future(stream.read(100))
            assert await asyncio.to_thread(accepted.recv, 100) == b"first"
            with pytest.raises(TransportError, match="one request"):
                await stream.write(b"second")
            accepted.sendall(b"answer")
            assert await reading == b"answer"
            assert transmission.handed_over


async def test_the_largest_record_is_handed_over_in_one_piece(certificates: Certificates) -> None:
    body = os.urandom(limits.RECORD_BYTES_MAX)
    async with serving(lambda peer: peer.answer("200 OK", CHARGED), certificates.server) as server:
        answer = await send(server.url, certificates, body=body)
    assert answer.outcome is Outcome.CHARGED, answer.said
    assert bytes(server.seen).endswith(body)


async def test_the_rest_of_a_request_taken_in_part_is_never_sent(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shrink(stream: transport._Stream, _size_bytes: int) -> None:
        stream._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)

    monkeypatch.setattr(transport._Stream, "_make_room", shrink)
    body = os.urandom(4 * limits.RECORD_BYTES_MAX)
    async with serving(lambda peer: peer.answer("200 OK", CHARGED), certificates.server) as server:
        answer = await send(server.url, certificates, body=body)
    assert answer.outcome is Outcome.UNKNOWN
    assert "the rest was not sent" in answer.said
    assert len(server.seen) < len(body)


async def test_a_redirect_is_not_followed(certificates: Certificates) -> None:
    async with serving(
        lambda peer: peer.answer("307 Temporary Redirect", b"", "Location: /other"), certificates.server
    ) as server:
        answer = await send(server.url, certificates)
    assert (answer.outcome, answer.status) == (Outcome.UNKNOWN, 307)
    assert bytes(server.seen).count(BODY) == 1
    assert server.connections == 1


# --- Answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        ("200 OK", CHARGED, Outcome.CHARGED),
        ("201 Created", b"{}", Outcome.CHARGED),
        ("204 No Content", b"", Outcome.CHARGED),
        ("202 Accepted", b"", Outcome.PENDING),
        ("200 OK", b'{"status":"refused"}', Outcome.REFUSED),
        ("200 OK", b"<html>maintenance</html>", Outcome.UNKNOWN),
        ("422 Unprocessable Content", b'{"reason":"no such number"}', Outcome.REFUSED),
        ("503 Service Unavailable", b"", Outcome.UNKNOWN),
    ],
)
async def test_an_answer_that_came_whole_is_read_by_the_table(
    certificates: Certificates, status: str, body: bytes, outcome: Outcome
) -> None:
    async with serving(lambda peer: peer.answer(status, body), certificates.server) as server:
        answer = await send(server.url, certificates)
    assert answer.outcome is outcome, answer.said
    assert answer.status == int(status[:3])


async def test_retry_after_is_told(certificates: Certificates) -> None:
    async with serving(
        lambda peer: peer.answer("429 Too Many Requests", b"", "Retry-After: 30"), certificates.server
    ) as server:
        answer = await send(server.url, certificates)
    assert answer == Answer(Outcome.NOT_CHARGED, "429 Too Many Requests, Retry-After 30 s", 429, retry_after_s=30.0)


async def test_an_interim_answer_is_passed_over(certificates: Certificates) -> None:
    async def behaviour(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with serving(behaviour, certificates.server) as server:
        assert (await send(server.url, certificates)).outcome is Outcome.CHARGED


async def test_a_cancelled_call_is_cancelled_and_leaves_no_connection(certificates: Certificates) -> None:
    arrived = asyncio.Event()

    async def behaviour(peer: Peer) -> None:
        await peer.request()
        arrived.set()
        await peer.reader.read()

    async with serving(behaviour, certificates.server) as server:
        task = asyncio.ensure_future(send(server.url, certificates))
        await asyncio.wait_for(arrived.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


# --- Settings ---------------------------------------------------------------------------------------------------------


def test_unusable_certificates_are_refused_at_the_start(certificates: Certificates) -> None:
    bad = certificates.folder / "bad.pem"
    bad.write_text("no certificate\n")
    base = {"url": "https://127.0.0.1/x"}
    with pytest.raises(ValueError, match="RECHARGE_PROVIDER__CA_FILE"):
        Provider(ProviderSettings.model_validate({**base, "ca_file": bad}))
    with pytest.raises(ValueError, match="RECHARGE_PROVIDER__CERT_FILE"):
        Provider(ProviderSettings.model_validate({**base, "cert_file": bad, "key_file": bad}))


def _readable(sock: socket.socket) -> bool:
    try:
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    return True
