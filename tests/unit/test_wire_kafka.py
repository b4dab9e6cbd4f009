"""The wire reads Kafka's protocol inside its TLS, and counts what may change something: not the questions that are asked over and over."""

import asyncio
import itertools
import ssl
from pathlib import Path

import pytest
from aiokafka.protocol.api import RequestHeader_v1, RequestStruct
from aiokafka.protocol.commit import OffsetCommitRequest_v2
from aiokafka.protocol.fetch import FetchRequest_v4, FetchRequest_v11
from aiokafka.protocol.group import HeartbeatRequest_v0
from aiokafka.protocol.metadata import MetadataRequest_v1
from hypothesis import given
from hypothesis import strategies as st

from devstack.certificates import ensure_certificates
from devstack.ports import release_port, reserve_port
from devstack.wire.framing import FramingError
from devstack.wire.kafka import kafka_cutters
from devstack.wire.opened import Opened
from devstack.wire.proxy import Hop, Wire
from tests.support.wire import TIMEOUT_S

FETCH = FetchRequest_v11(-1, 100, 1, 1000, 1, 0, -1, [("topic", [(0, -1, 7, -1, 1000)])], [], "")
OLD_FETCH = FetchRequest_v4(-1, 100, 1, 1000, 1, [("topic", [(0, 7, 1000)])])
COMMIT = OffsetCommitRequest_v2("group", 1, "member", -1, [("topic", [(0, 8, "metadata")])])
HEARTBEAT = HeartbeatRequest_v0("group", 1, "member")
METADATA = MetadataRequest_v1(["topic"])


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def request(asked: RequestStruct, number: int) -> bytes:
    return framed(RequestHeader_v1(asked, correlation_id=number, client_id="test").encode() + asked.encode())


def answer(number: int, body: bytes = b"") -> bytes:
    return framed(number.to_bytes(4, "big") + body)


def fetched(number: int, asked: type[RequestStruct], *, error_code: int = 0, records: bytes = b"") -> bytes:
    """A fetch's answer of one partition."""
    new = asked is FetchRequest_v11
    partition = (0, error_code, 8, 8, *((0,) if new else ()), [], *((-1,) if new else ()), records)
    body = asked.RESPONSE_TYPE(0, *((0, 0) if new else ()), [("topic", [partition])])
    return answer(number, body.encode())


CONVERSATION = [
    (request(METADATA, 1), answer(1, b"anything"), False, False),
    (request(HEARTBEAT, 2), answer(2), False, False),
    (request(COMMIT, 3), answer(3), True, True),
    (request(FETCH, 4), fetched(4, FetchRequest_v11), False, False),
    (request(FETCH, 5), fetched(5, FetchRequest_v11, records=b"records"), False, True),
    (request(FETCH, 6), fetched(6, FetchRequest_v11, error_code=1), False, True),
    (request(OLD_FETCH, 7), fetched(7, FetchRequest_v4), False, False),
    (request(OLD_FETCH, 8), fetched(8, FetchRequest_v4, records=b"records"), False, True),
]
"""Request, answer, and whether each is counted."""


@given(st.permutations(CONVERSATION), st.lists(st.integers(min_value=0)))
def test_only_questions_that_are_asked_over_and_over_and_bring_nothing_are_not_counted(
    conversation: list[tuple[bytes, bytes, bool, bool]], places: list[int]
) -> None:
    to_broker, to_client = kafka_cutters()
    for cutter, messages in (
        (to_broker, [(asked, is_counted) for asked, _, is_counted, _ in conversation]),
        (to_client, [(answered, is_counted) for _, answered, _, is_counted in conversation]),
    ):
        stream = b"".join(raw for raw, _ in messages)
        ends = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
        portions = [stream[start:end] for start, end in itertools.pairwise(ends)]
        assert [(each.raw, each.is_counted) for part in portions for each in cutter.feed(part)] == messages


def test_an_answer_to_nothing_that_was_seen_is_counted() -> None:
    _, to_client = kafka_cutters()
    assert [each.is_counted for each in to_client.feed(answer(9))] == [True]


@pytest.mark.parametrize("stream", [b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n", b"\0\0\0\0"])
def test_what_is_not_kafkas_protocol_is_refused(stream: bytes) -> None:
    with pytest.raises(FramingError):
        kafka_cutters()[0].feed(stream)


async def test_the_wire_opens_the_tls_and_passes_everything_on_inside_its_own(tmp_path: Path) -> None:
    certificates = ensure_certificates(tmp_path)
    answers = {asked: answered for asked, answered, _, _ in CONVERSATION}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while size := await reader.read(4):
            writer.write(answers[size + await reader.readexactly(int.from_bytes(size, "big"))])
        writer.close()

    opened = Opened.kafka(certificates)
    port = reserve_port()
    broker = await asyncio.start_server(serve, "127.0.0.1", port, ssl=opened.as_server)
    trust = ssl.create_default_context(cafile=str(certificates.ca_file))
    async with Wire({Hop.KAFKA: port}, opened={Hop.KAFKA: opened}) as wire:
        reader, writer = await asyncio.open_connection("127.0.0.1", wire.ports[Hop.KAFKA], ssl=trust)
        wire.open_window()
        for asked, answered, _, _ in CONVERSATION:
            writer.write(asked)
            assert await asyncio.wait_for(reader.readexactly(len(answered)), TIMEOUT_S) == answered
        assert wire.close_window() == {Hop.KAFKA: sum(first + second for _, _, first, second in CONVERSATION)}
        wire.cut(Hop.KAFKA)
        assert await asyncio.wait_for(reader.read(), TIMEOUT_S) == b"", "the end comes through, too"
        writer.close()
    broker.close()
    release_port(port)
