"""The proxy of the crash sweep cuts connections exactly between two messages, in whatever portions their bytes arrive."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devstack.wire.framing import Cutter, FramingError, Http2Cutter, MySQLCutter, TlsCutter

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
BODIES = st.binary(max_size=40)

tls_records = st.builds(
    lambda kind, body: bytes([kind, 3, 3]) + len(body).to_bytes(2, "big") + body, st.integers(20, 24), BODIES
)
mysql_packets = st.builds(lambda body: len(body).to_bytes(3, "little") + b"\0" + body, BODIES)
http2_frames = st.builds(
    lambda kind, flags, body: len(body).to_bytes(3, "big") + bytes([kind, flags]) + b"\0\0\0\1" + body,
    st.integers(0, 9),
    st.sampled_from([0x0, 0x1, 0x4, 0x5]),
    BODIES,
)


def cut(cutter: Cutter, stream: bytes, places: list[int]) -> list[tuple[bytes, bool]]:
    """The messages of a stream that arrives in portions which end at these places."""
    ends = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    portions = [stream[start:end] for start, end in itertools.pairwise(ends)]
    return [(message.raw, message.is_counted) for portion in portions for message in cutter.feed(portion)]


@given(st.lists(tls_records), BODIES, st.lists(st.integers(min_value=0)))
def test_tls_records_come_out_whole_and_in_order_however_they_arrive(
    records: list[bytes], beginning: bytes, places: list[int]
) -> None:
    incomplete = b"\x17\x03\x03\x00\xff" + beginning
    cutter = TlsCutter()
    assert cut(cutter, b"".join(records) + incomplete, places) == [(record, True) for record in records]
    assert cutter.rest == incomplete, "what is not whole is kept, and can be passed on at the connection's end"


@given(mysql_packets, st.lists(tls_records), st.lists(st.integers(min_value=0)))
def test_mysql_is_one_packet_of_its_own_and_then_tls(first: bytes, records: list[bytes], places: list[int]) -> None:
    assert cut(MySQLCutter(), first + b"".join(records), places) == [(each, True) for each in [first, *records]]


@given(mysql_packets, st.lists(tls_records), st.lists(st.integers(min_value=0)))
def test_mysql_may_end_with_an_error_in_clear(first: bytes, records: list[bytes], places: list[int]) -> None:
    sentence = b"Got an error reading communication packets"
    error = b"\x33\0\0\1\xff\x86\x04#08S01" + sentence
    assert cut(MySQLCutter(), first + b"".join(records) + error, places) == [
        (each, True) for each in [first, *records, error]
    ]


@given(st.lists(http2_frames), st.lists(st.integers(min_value=0)))
def test_of_a_client_of_http2_the_data_that_holds_something_is_counted(frames: list[bytes], places: list[int]) -> None:
    expected = [(PREFACE, False), *((frame, frame[3] == 0 and len(frame) > 9) for frame in frames)]
    assert cut(Http2Cutter(is_client=True), b"".join([PREFACE, *frames]), places) == expected


@given(st.lists(http2_frames), st.lists(st.integers(min_value=0)))
def test_of_a_server_of_http2_the_end_of_an_answer_is_counted(frames: list[bytes], places: list[int]) -> None:
    expected = [(frame, frame[3] in {0, 1} and frame[4] & 1 == 1) for frame in frames]
    assert cut(Http2Cutter(is_client=False), b"".join(frames), places) == expected


@pytest.mark.parametrize(
    ("cutter", "stream"),
    [
        (TlsCutter(), b"GET / HTTP/1.1\r\n"),
        (TlsCutter(), b"\x17\x03\x03\xff\xff"),
        (MySQLCutter(), b"\xff\xff\xff\0"),
        (Http2Cutter(is_client=True), b"GET / HTTP/1.1\r\n"),
        (Http2Cutter(is_client=True), b"PRI * HTTP/1"),
    ],
)
def test_what_is_not_the_connections_protocol_is_refused(cutter: Cutter, stream: bytes) -> None:
    with pytest.raises(FramingError):
        cutter.feed(stream)
