"""What is written into a history is read back equal: no payload loses or changes a field on its way through Temporal."""

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from temporalio.converter import DataConverter, PayloadConverter

from recharge import contract
from recharge.contract import (
    AnswerTask,
    Decision,
    DecisionReply,
    Finding,
    HoldTask,
    LookUpTask,
    Ordering,
    Position,
    RechargeResult,
    RechargeTask,
    RecordInput,
    ResultTask,
    Transfer,
)
from recharge.outcome import Action, State
from recharge.payload_codec import data_converter
from recharge.record import Invalid, decode, from_kafka

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
FLOAT = st.floats(allow_nan=False, allow_infinity=False)
TRANSFERS = st.builds(Transfer, TEXT, TEXT, TEXT, TEXT, currency=st.none() | TEXT, request_id=st.none() | TEXT)
INT64 = st.integers(-(2**63), 2**63 - 1)
RECORDS = st.builds(
    RecordInput,
    source=TEXT,
    topic=TEXT,
    partition=st.integers(0, 2**31 - 1),
    offset=st.integers(0, 2**63 - 1),
    fingerprint=TEXT,
    content_digest=TEXT,
    timestamp_ms=INT64,
    size_bytes=st.integers(0, 2**40),
    key_base64=st.none() | TEXT,
    value_base64=st.none() | TEXT,
    transfer=st.none() | TRANSFERS,
    invalid_reason=st.none() | TEXT,
    ordering=st.sampled_from(Ordering),
    traceparent=st.none() | TEXT,
)
FINDINGS = st.builds(
    Finding,
    state=st.sampled_from(State),
    said=TEXT,
    attempts=st.integers(0, 10**6),
    status=st.none() | st.integers(100, 599),
    reason=st.none() | TEXT,
    provider_reference=st.none() | TEXT,
    retry_after_s=st.none() | FLOAT,
    is_recorded=st.booleans(),
    is_under_way=st.booleans(),
)
PAYLOADS = {
    Position: st.builds(Position, TEXT, TEXT, st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1)),
    Transfer: TRANSFERS,
    RecordInput: RECORDS,
    RechargeTask: st.builds(RechargeTask, RECORDS, st.booleans()),
    AnswerTask: st.builds(AnswerTask, RECORDS),
    LookUpTask: st.builds(LookUpTask, RECORDS, st.booleans()),
    HoldTask: st.builds(HoldTask, RECORDS, TEXT, TEXT),
    Decision: st.builds(Decision, st.sampled_from(Action), TEXT, TEXT),
    DecisionReply: st.builds(DecisionReply, st.sampled_from(State), TEXT),
    Finding: FINDINGS,
    ResultTask: st.builds(ResultTask, RECORDS, FINDINGS),
    RechargeResult: st.builds(
        RechargeResult,
        state=st.sampled_from(State),
        fingerprint=TEXT,
        reason=st.none() | TEXT,
        provider_reference=st.none() | TEXT,
        status=st.none() | st.integers(100, 599),
        attempts=st.integers(0, 10**6),
    ),
}


OURS = data_converter(()).payload_converter
THE_SDKS = DataConverter.default.payload_converter


def round_trip(value: object) -> object:
    payloads = OURS.to_payloads([value])
    assert payloads == THE_SDKS.to_payloads([value])
    (back,), (sdk,) = (converter.from_payloads(payloads, [type(value)]) for converter in (OURS, THE_SDKS))
    assert back == sdk
    return back


def fields_of(value: object) -> dict[str, object]:
    (payload,) = OURS.to_payloads([value])
    return dict(json.loads(payload.data))


def read(converter: PayloadConverter, kind: type, fields: object) -> object:
    try:
        (back,) = converter.from_payloads(THE_SDKS.to_payloads([fields]), [kind])
    except Exception as error:  # noqa: BLE001  # whatever it is, both have to refuse
        return type(error)
    return back, types_within(back)


def types_within(value: object) -> object:
    """The value's types down to its leaves: an enum member equals its text, so that equality alone would not tell them apart."""
    if dataclasses.is_dataclass(value):
        return type(value), [types_within(getattr(value, field.name)) for field in dataclasses.fields(value)]
    return type(value)


def test_every_payload_of_the_contract_is_tried() -> None:
    declared = {kind for kind in vars(contract).values() if isinstance(kind, type) and dataclasses.is_dataclass(kind)}
    assert declared == set(PAYLOADS)


@pytest.mark.parametrize("kind", list(PAYLOADS), ids=lambda kind: kind.__name__)
def test_a_payload_comes_back_equal(kind: type[object]) -> None:
    @settings(deadline=None, max_examples=60)
    @given(PAYLOADS[kind])
    def comes_back_equal(value: object) -> None:
        back = round_trip(value)
        assert back == value
        assert types_within(back) == types_within(value)

    comes_back_equal()


ODD = (
    st.none() | st.booleans() | st.integers() | FLOAT | TEXT | st.lists(TEXT, max_size=2) | st.dictionaries(TEXT, TEXT)
)


@pytest.mark.parametrize("kind", list(PAYLOADS), ids=lambda kind: kind.__name__)
def test_a_payload_that_is_not_as_it_should_be_is_read_or_refused_as_the_sdk_does(kind: type[object]) -> None:
    @settings(deadline=None, max_examples=60)
    @given(st.data())
    def the_same(data: st.DataObject) -> None:
        fields = fields_of(data.draw(PAYLOADS[kind]))
        name = data.draw(st.sampled_from([*fields, "a field of a later release"]))
        if data.draw(st.booleans()):
            fields.pop(name, None)
        else:
            fields[name] = data.draw(ODD)
        assert read(OURS, kind, fields) == read(THE_SDKS, kind, fields)
        assert read(OURS, kind, list(fields)) == read(THE_SDKS, kind, list(fields))

    the_same()


@settings(deadline=None)
@given(st.none() | st.binary(), st.none() | st.binary(), INT64)
def test_the_bytes_of_a_record_survive_the_way_to_its_workflow(
    key: bytes | None, value: bytes | None, timestamp_ms: int
) -> None:
    position = Position("source", "topic", 0, 7)
    record = from_kafka(position, key, value, timestamp_ms, ordering=Ordering.PARTITION, traceparent=None)
    back = round_trip(record)
    assert isinstance(back, RecordInput)
    assert (back.raw_key, back.raw_value, back.timestamp_ms) == (key, value, timestamp_ms)
    assert back == record
    decoded = decode(value)
    assert back.invalid_reason == (decoded.reason if isinstance(decoded, Invalid) else None)


def test_the_workflow_id_is_the_position() -> None:
    position = Position("topups-2026", "credit-transfers", 3, 42)
    record = from_kafka(position, None, b"", 0, ordering=Ordering.PARTITION, traceparent=None)
    assert position.workflow_id == record.workflow_id == "topups-2026:credit-transfers:3:42"
