"""Whatever stands in a record's headers: it is carried on or left out, and never ends in an error or in a header of the provider's call."""

import re

from hypothesis import example, given
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload
from temporalio.converter import default

from ingest.dead_letters import _headers
from ingest.kafka.reader import KafkaRecord
from recharge import tracing
from recharge.contract import REDRIVE_HEADER, Ordering, Position, RechargeResult, RecordInput
from recharge.outcome import State
from recharge.record import from_kafka
from tests.support.records import value

AT = Position("unit", "credit-transfers", 0, 7)
TRACEPARENT = b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"
Headers = tuple[tuple[str, bytes | None], ...]

names = st.one_of(
    st.sampled_from(["traceparent", "Traceparent", REDRIVE_HEADER, "recharge-reason", "", "\0", "\r\n"]),
    st.text(max_size=20),
)
values = st.one_of(
    st.none(),
    st.binary(max_size=80),
    st.sampled_from(
        [
            b"",
            TRACEPARENT,
            TRACEPARENT + b"\r\nAuthorization: x",
            TRACEPARENT.upper(),
            TRACEPARENT.replace(b"00-", b"ff-", 1),
            b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-00",
            b"unit:credit-transfers:0:1",
            b"unit:credit-transfers:0:1\n",
            b"unit:credit-transfers:0:" + b"9" * 400,
            b"' OR 1=1 --",
            "unit:credit-transfers:0:\u0661".encode(),
        ]
    ),
)
headers = st.lists(st.tuples(names, values), max_size=6).map(tuple)


def as_input(given_headers: Headers) -> RecordInput:
    """What the intake makes of a valid record with these headers."""
    record = KafkaRecord(0, 7, 1_000, b"key", value(), given_headers)
    return from_kafka(
        AT, record.key, record.value, record.timestamp_ms, ordering=Ordering.PARTITION,
        traceparent=record.text_header("traceparent"), redrive_of=record.text_header(REDRIVE_HEADER),
    )  # fmt: skip


@given(given_headers=headers)
@example(given_headers=(("traceparent", TRACEPARENT), (REDRIVE_HEADER, b"unit:credit-transfers:0:1")))
@example(given_headers=(("traceparent", TRACEPARENT + b"\n"),))
def test_headers_are_read_by_their_form_or_not_at_all(given_headers: Headers) -> None:
    made = as_input(given_headers)
    assert made.transfer is not None
    assert made.traceparent is None or re.fullmatch(r"[0-9a-f]{2}(-[0-9a-f]+){3}", made.traceparent)
    assert made.redrive_of is None or (made.redrive_of.isprintable() and len(made.redrive_of) <= 400)
    place = tracing.record_place(made.workflow_id, made.traceparent)
    assert re.fullmatch(r"[0-9a-f]{32}", place.trace_id)
    # It travels to the workflow and back as it is.
    payloads = default().payload_converter.to_payloads([made])
    assert default().payload_converter.from_payloads(
        [Payload.FromString(payloads[0].SerializeToString())], [RecordInput]
    )
    # A header says nothing about the record's identity: the same bytes again are the same record.
    assert made.fingerprint == as_input(()).fingerprint


@given(reason=st.text(max_size=300))
def test_a_dead_letters_own_headers_are_single_lines_of_text_whatever_the_reason(reason: str) -> None:
    record = as_input(())
    result = RechargeResult(state=State.REJECTED, fingerprint=record.fingerprint, reason=reason)
    for name, raw in _headers(record, result):
        assert name.startswith("recharge-")
        assert raw is not None
        assert len(raw.decode().splitlines()) <= 1
