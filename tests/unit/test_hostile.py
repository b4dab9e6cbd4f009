"""Whatever comes from outside is read, or refused as documented: no bytes end in another error, or in a charge that nobody told of."""

import io
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.profile import Received, read_answer, read_lookup
from operations.audit.statement import HEADER, Statement, StatementProblem, StatementReader
from recharge.contract import Ordering, Position
from recharge.outcome import LookupAnswer, Outcome
from recharge.record import from_kafka
from recharge.settings import ProviderSettings
from tests.support.records import value

SETTINGS = ProviderSettings.model_validate({"url": "https://provider.example.net/recharges"})
AT = Position("unit", "credit-transfers", 0, 7)
NOW = datetime(2026, 11, 1, tzinfo=UTC)

CORPUS = [
    b"",
    b"\0",
    b"null",
    b"[]",
    b"{}",
    b"\xff\xfe{\0}\0",
    b"\xef\xbb\xbf{}",
    b'{"amount": 1e400}',
    b'{"amount": NaN}',
    b'{"amount": -0.0}',
    b'{"amount": ' + b"9" * 5000 + b"}",
    b'{"status": ' + b"1" * 5000 + b"}",
    b'{"status": "charged", "status": "refused"}',
    b'{"status": {"status": "charged"}}',
    b'{"status": "\\ud800"}',
    b'{"status": "charged\\u0000"}',
    b'{"status": "\\u202echarged"}',
    b'{"providerReference": "\\r\\nX: y"}',
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"<html>charged</html>",
    value(phoneNumberDonor="' OR 1=1 --"),
    value(phoneNumberDonor="\u0663\u0664\u0660\u0660\u0661\u0661\u0661"),
    value(requestId="\n" * 300),
    value(currency="\u202eRUE"),
    value(requestId="r-1\u200b"),
    value(operationDate="\u20682026-11-29\u2069"),
    value(frequency="weekly\ufeff"),
    value(amount="1E+3"),
]
"""What somebody once sent to somebody: other encodings, other JSON, numbers that are none, texts that steer terminals and headers."""

words: st.SearchStrategy[object] = st.sampled_from(
    ["charged", "refused", "pending", "accepted", "", "CHARGED", None, 1, True, [], {}]
)
documents = st.dictionaries(
    st.sampled_from(["status", "providerReference", "reason", "error", "amount", "operationType", "phoneNumberDonor"]),
    st.one_of(words, st.text(max_size=40), st.floats(), st.integers(), st.lists(st.text(max_size=5), max_size=3)),
).map(lambda document: json.dumps(document).encode())
bodies = st.one_of(st.sampled_from(CORPUS), st.binary(max_size=300), documents)
headers = st.dictionaries(
    st.sampled_from(["retry-after", "content-type", "content-encoding", "location"]), st.text(max_size=60), max_size=3
)
keys = st.none() | st.binary(max_size=50)
texts = st.none() | st.text(max_size=80)


@given(keys, st.none() | bodies, st.integers(-1, 2**63 - 1), texts, texts)
def test_any_record_becomes_one_that_is_valid_or_one_with_a_reason(
    key: bytes | None, raw: bytes | None, timestamp_ms: int, traceparent: str | None, redrive_of: str | None
) -> None:
    record = from_kafka(
        AT, key, raw, timestamp_ms, ordering=Ordering.PARTITION, traceparent=traceparent, redrive_of=redrive_of
    )
    assert (record.transfer is None) != (record.invalid_reason is None)
    assert record.invalid_reason is None or record.invalid_reason.isprintable()
    assert (record.raw_key, record.raw_value) == (key, raw)
    json.dumps(record.traceparent, ensure_ascii=True).encode("ascii")


@given(status=st.integers(100, 599), given_headers=headers, body=bodies, after_unknown=st.booleans())
def test_any_answer_is_read_and_none_but_a_success_is_a_charge(
    status: int, given_headers: dict[str, str], body: bytes, *, after_unknown: bool
) -> None:
    received = Received(status, given_headers, body)
    answer = read_answer(SETTINGS, received, after_unknown=after_unknown, now_utc=NOW)
    assert answer.said.isprintable()
    if answer.outcome is Outcome.CHARGED:
        assert status in range(200, 300)
    if answer.outcome is Outcome.NOT_CHARGED:
        assert status in SETTINGS.not_charged_statuses
    if status >= 500 or (after_unknown and answer.outcome is Outcome.REFUSED):
        assert answer.outcome is Outcome.UNKNOWN or status < 300


@given(st.integers(100, 599), headers, bodies)
def test_any_look_up_is_read_and_only_404_means_not_found(
    status: int, given_headers: dict[str, str], body: bytes
) -> None:
    reading = read_lookup(SETTINGS, Received(status, given_headers, body), AT.workflow_id)
    assert reading.said.isprintable()
    assert (reading.answer is LookupAnswer.NOT_FOUND) == (status == 404)
    if reading.answer is LookupAnswer.CHARGED:
        assert status == 200


@given(st.lists(st.binary(max_size=120) | st.sampled_from(CORPUS), max_size=5))
def test_any_statement_is_read_or_refused_with_its_line(lines: list[bytes]) -> None:
    raw = b"\n".join([",".join(HEADER).encode(), *lines])
    statement = Statement("july.csv", io.BytesIO(raw), NOW.replace(tzinfo=None))
    try:
        list(StatementReader(statement, "unit", "credit-transfers", lambda _reference, _line: None).charges())
    except StatementProblem as problem:
        assert str(problem).isprintable()  # noqa: PT017  # it may be refused, and it may be read


@pytest.mark.parametrize("raw", CORPUS)
def test_nothing_of_the_corpus_is_carried_out_or_taken_for_an_answer_of_a_charge(raw: bytes) -> None:
    record = from_kafka(AT, None, raw, 0, ordering=Ordering.PARTITION, traceparent=None)
    assert record.transfer is None
    answer = read_answer(SETTINGS, Received(200, {}, raw), after_unknown=False, now_utc=NOW)
    assert answer.outcome is not Outcome.CHARGED or b"status" not in raw
