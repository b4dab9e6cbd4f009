"""The answer table, row by row, and what no answer may do to it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.profile import (
    Answer,
    Call,
    LookupReading,
    Received,
    RecordUnfitError,
    lookup_request,
    one_line,
    read_answer,
    read_lookup,
    read_retry_after,
    request,
)
from recharge import limits
from recharge.outcome import LookupAnswer, Outcome
from recharge.settings import ProviderSettings

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


def settings(**changes: object) -> ProviderSettings:
    return ProviderSettings.model_validate({"url": "https://provider.example/recharges", **changes})


def read(
    status: int,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    *,
    after_unknown: bool = False,
    **changes: object,
) -> Answer:
    received = Received(status, headers or {}, body)
    return read_answer(settings(**changes), received, after_unknown=after_unknown, now_utc=NOW)


# --- The answer table -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403, 407, 429])
@pytest.mark.parametrize("after_unknown", [False, True])
def test_refused_at_the_door_is_not_charged(status: int, *, after_unknown: bool) -> None:
    assert read(status, after_unknown=after_unknown).outcome is Outcome.NOT_CHARGED


@pytest.mark.parametrize("status", [400, 408, 409, 500, 503])
@pytest.mark.parametrize("after_unknown", [False, True])
def test_the_providers_promise_comes_before_every_other_row(status: int, *, after_unknown: bool) -> None:
    answer = read(status, after_unknown=after_unknown, not_charged_statuses=str(status))
    assert answer.outcome is Outcome.NOT_CHARGED


def test_without_the_promise_a_401_is_refused() -> None:
    assert read(401, not_charged_statuses="429").outcome is Outcome.REFUSED


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (202, b""),
        (202, b"queued"),
        (202, b'{"status":"charged"}'),
        (200, b'{"status":"pending","providerReference":"P"}'),
    ],
)
def test_an_accepted_recharge_is_pending(status: int, body: bytes) -> None:
    assert read(status, body).outcome is Outcome.PENDING
    assert read(status, body, success_status_decides=True).outcome is Outcome.PENDING


@pytest.mark.parametrize("after_unknown", [False, True])
def test_a_refusal_inside_a_success_is_refused_with_its_reason(*, after_unknown: bool) -> None:
    body = b'{"status":"refused","reason":"account closed","providerReference":"P"}'
    answer = read(200, body, after_unknown=after_unknown)
    assert answer == Answer(Outcome.REFUSED, "200 OK, refused: account closed", 200, "account closed", "P")
    assert read(200, body, success_status_decides=True).outcome is Outcome.REFUSED


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b' {"a":1}\n',
        b'{"status":"charged"}',
        b'\xef\xbb\xbf{"status":"charged"}',
        b'{"n":1e999}',
        b'{"n":' + b"9" * 5000 + b"}",
    ],
)
@pytest.mark.parametrize("status", [200, 201, 203, 204, 206, 226, 299])
def test_a_success_is_charged(status: int, body: bytes) -> None:
    assert read(status, body).outcome is Outcome.CHARGED


@pytest.mark.parametrize(
    ("body", "reference"),
    [
        (b'{"providerReference":"P-1"}', "P-1"),
        (b'{"providerReference":1234567890123456789012345678901234567890}', "1234567890123456789012345678901234567890"),
        (b'{"providerReference":"  "}', None),
        (b'{"providerReference":true}', None),
        (b'{"providerReference":{"id":1}}', None),
        (b'{"providerReference":"a\\ud800\\u0000b"}', "a\ufffd\ufffdb"),
        (b'{"providerReference":"' + b"x" * 300 + b'"}', "x" * limits.REFERENCE_CHARS_MAX),
    ],
)
def test_the_providers_reference_is_kept_in_a_form_that_can_be_stored(body: bytes, reference: str | None) -> None:
    answer = read(200, body)
    assert answer.outcome is Outcome.CHARGED
    assert answer.provider_reference == reference


DOUBTFUL_BODIES = [
    b" ",
    b"<html>maintenance</html>",
    b"OK",
    b"[]",
    b'"charged"',
    b"null",
    b"true",
    b'{"status":"charged"',
    b'{"status":"charged"} x',
    b'{"status":"Charged"}',
    b'{"status":"charged "}',
    b'{"status":""}',
    b'{"status":null}',
    b'{"status":true}',
    b'{"status":1}',
    b'{"status":["charged"]}',
    b'{"status":"refused","status":"charged"}',
    b'{"status":"charged","st\\u0061tus":"refused"}',
    b'{"Status":"refused"}',
    b'{"STATUS":"charged","status":"charged"}',
    b'{"status":"charged","a":{"b":1,"b":2}}',
    b'{"status":"charged","x":NaN}',
    b'{"status":"charged","x":Infinity}',
    b'{"status":"charged","x":"\xff"}',
    '{"status":"charged"}'.encode("utf-16"),
    b'{"status":"charged","x":' + b"[" * 100_000,
    b'{"status":' + b"[" * 900 + b"]" * 900 + b"}",
]


@pytest.mark.parametrize("body", DOUBTFUL_BODIES, ids=range(len(DOUBTFUL_BODIES)))
def test_a_success_that_cannot_be_read_is_unknown(body: bytes) -> None:
    answer = read(200, body)
    assert answer.outcome is Outcome.UNKNOWN
    assert answer.status == 200


@pytest.mark.parametrize("body", DOUBTFUL_BODIES, ids=range(len(DOUBTFUL_BODIES)))
def test_a_profile_may_say_that_the_status_alone_decides(body: bytes) -> None:
    assert read(200, body, success_status_decides=True).outcome is Outcome.CHARGED


@pytest.mark.parametrize("status", [400, 402, 404, 405, 410, 413, 418, 422, 451, 499])
def test_a_client_error_is_refused_unless_an_earlier_attempt_is_unknown(status: int) -> None:
    body = b'{"reason":"no such number"}'
    answer = read(status, body)
    assert (answer.outcome, answer.status, answer.reason) == (Outcome.REFUSED, status, "no such number")
    assert read(status, body, after_unknown=True).outcome is Outcome.UNKNOWN


def test_a_refusal_without_a_body_has_its_status_for_a_reason() -> None:
    assert read(404).reason == "404 Not Found"


@pytest.mark.parametrize(
    "status", [300, 301, 302, 303, 304, 307, 308, 408, 409, 500, 501, 502, 503, 504, 599, 600, 999]
)
@pytest.mark.parametrize("after_unknown", [False, True])
@pytest.mark.parametrize("decides", [False, True])
def test_everything_else_is_unknown(status: int, *, after_unknown: bool, decides: bool) -> None:
    body = b'{"status":"charged"}'
    assert read(status, body, after_unknown=after_unknown, success_status_decides=decides).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("status", [200, 202, 400, 429, 500])
@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip", "GZIP"])
def test_a_compressed_answer_is_unknown_whatever_its_status(status: int, encoding: str) -> None:
    assert read(status, b'{"status":"charged"}', {"content-encoding": encoding}).outcome is Outcome.UNKNOWN
    assert read(status, b"", {"content-encoding": encoding}, success_status_decides=True).outcome is Outcome.UNKNOWN


def test_an_answer_that_says_it_is_not_compressed_is_read() -> None:
    assert read(200, b"{}", {"content-encoding": "Identity"}).outcome is Outcome.CHARGED


# --- A provider's own field and words ---------------------------------------------------------------------------------

OWN_WORDS: dict[str, Any] = {
    "status_field": "state",
    "provider_reference_field": "txId",
    "charged_words": "DONE,0,true",
    "refused_words": "DECLINED,17",
    "pending_words": "SUBMITTED,99",
}


@pytest.mark.parametrize(
    ("body", "outcome", "answer"),
    [
        (b'{"state":"DONE","txId":"P"}', Outcome.CHARGED, LookupAnswer.CHARGED),
        (b'{"state":0,"txId":"P"}', Outcome.CHARGED, LookupAnswer.CHARGED),
        (b'{"state":true,"txId":"P"}', Outcome.CHARGED, LookupAnswer.CHARGED),
        (b'{"state":"DECLINED","txId":"P"}', Outcome.REFUSED, LookupAnswer.REFUSED),
        (b'{"state":17,"txId":"P"}', Outcome.REFUSED, LookupAnswer.REFUSED),
        (b'{"state":"SUBMITTED","txId":"P"}', Outcome.PENDING, LookupAnswer.PENDING),
        (b'{"state":99,"txId":"P"}', Outcome.PENDING, LookupAnswer.PENDING),
        (b'{"state":"charged","txId":"P"}', Outcome.UNKNOWN, LookupAnswer.UNREADABLE),
        (b'{"state":"done","txId":"P"}', Outcome.UNKNOWN, LookupAnswer.UNREADABLE),
        (b'{"state":0.0,"txId":"P"}', Outcome.UNKNOWN, LookupAnswer.UNREADABLE),
        (b'{"state":false,"txId":"P"}', Outcome.UNKNOWN, LookupAnswer.UNREADABLE),
        (b'{"state":{"DONE":1},"txId":"P"}', Outcome.UNKNOWN, LookupAnswer.UNREADABLE),
        (b'{"status":"refused","txId":"P"}', Outcome.CHARGED, LookupAnswer.UNREADABLE),
    ],
)
def test_the_call_and_the_look_up_are_read_by_the_same_words(
    body: bytes, outcome: Outcome, answer: LookupAnswer
) -> None:
    called = read(200, body, **OWN_WORDS)
    assert (called.outcome, called.provider_reference) == (outcome, "P")
    looked_up = read_lookup(settings(**OWN_WORDS), Received(200, {}, body), "r")
    assert (looked_up.answer, looked_up.provider_reference) == (answer, "P")


@pytest.mark.parametrize(
    "body", [b'{"State":"DECLINED"}', b'{"state":"DONE","STATE":"DECLINED"}', b'{"state":"DONE","state":"x"}']
)
def test_a_status_field_in_another_letter_case_is_not_a_missing_one(body: bytes) -> None:
    assert read(200, body, **OWN_WORDS).outcome is Outcome.UNKNOWN
    assert read_lookup(settings(**OWN_WORDS), Received(200, {}, body), "r").answer is LookupAnswer.UNREADABLE


# --- Retry-After ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected_s"),
    [
        (None, None),
        ("30", 30.0),
        (" 0 ", 0.0),
        ("86400", limits.RETRY_AFTER_S_MAX),
        ("9" * 10_000, limits.RETRY_AFTER_S_MAX),
        ("Tue, 24 Nov 2026 12:01:00 GMT", 60.0),
        ("Tuesday, 24-Nov-26 12:01:00 GMT", 60.0),
        ("Tue Nov 24 12:01:00 2026", 60.0),
        ("Tue, 24 Nov 2026 11:59:00 GMT", 0.0),
        ("Sun Nov  6 08:49:37 1994", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", limits.RETRY_AFTER_S_MAX),
        ("-5", None),
        ("1.5", None),
        ("30, 60", None),
        ("soon", None),
        ("", None),
        ("٣٠", None),
        ("Tue, 31 Feb 2026 12:00:00 GMT", None),
        ("\x00", None),
    ],
)
def test_retry_after_is_read_in_all_its_forms_and_garbage_is_ignored(
    value: str | None, expected_s: float | None
) -> None:
    assert read_retry_after(value, NOW) == expected_s


def test_retry_after_is_told_to_people() -> None:
    answer = read(429, b"", {"retry-after": "30"})
    assert answer == Answer(Outcome.NOT_CHARGED, "429 Too Many Requests, Retry-After 30 s", 429, retry_after_s=30.0)


# --- What people read -------------------------------------------------------------------------------------------------


def test_what_is_said_is_one_printable_line_without_phone_numbers() -> None:
    answer = read(500, b"upstream\r\n\x1b[31mbroke\x1b[0m for +4917012345678 \xff\xe2\x80\xae")
    assert answer.said == "500 Internal Server Error: upstream [31mbroke [0m for +••••••••••678 \ufffd"
    assert answer.reason is not None
    assert "49170" not in answer.reason


@pytest.mark.parametrize("field", ["reason", "message", "error", "detail", "title"])
def test_a_reason_is_taken_from_its_field(field: str) -> None:
    assert read(500, json.dumps({field: "upstream broke"}).encode()).said == "500 Internal Server Error: upstream broke"


@given(st.text(max_size=3000), st.integers(1, 2000))
def test_one_line_holds_its_promise(text: str, chars_max: int) -> None:
    line = one_line(text, chars_max)
    assert len(line) <= chars_max
    assert line.isprintable()
    assert not any(line[i : i + 5].isdecimal() for i in range(len(line) - 4))


bodies = st.one_of(
    st.binary(max_size=500),
    st.sampled_from(DOUBTFUL_BODIES),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.dictionaries(st.text(), inner)
    ).map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries(
        {},
        optional={
            "status": st.text() | st.integers(),
            "providerReference": st.text() | st.integers(),
            "reason": st.text(),
        },
    ).map(lambda value: json.dumps(value).encode()),
)


@given(
    status=st.integers(200, 599),
    body=bodies,
    headers=st.dictionaries(st.sampled_from(["retry-after", "content-encoding"]), st.text(max_size=40)),
    after_unknown=st.booleans(),
)
def test_no_answer_raises_or_breaks_what_is_kept_of_it(
    *, status: int, body: bytes, headers: dict[str, str], after_unknown: bool
) -> None:
    answer = read(status, body, headers, after_unknown=after_unknown)
    reading = read_lookup(settings(), Received(status, headers, body), "r")
    for text in (
        answer.said,
        answer.reason or "",
        answer.provider_reference or "",
        reading.said,
        reading.provider_reference or "",
    ):
        assert text.isprintable()
        assert len(text.encode("utf-8")) <= 4 * limits.REASON_CHARS_MAX
        assert len(text) <= limits.REASON_CHARS_MAX
    assert answer.outcome is not Outcome.NOT_SENT
    if answer.outcome is Outcome.CHARGED:
        assert 200 <= status < 300
    if after_unknown and answer.outcome is Outcome.REFUSED:
        assert 200 <= status < 300
    if answer.retry_after_s is not None:
        assert 0 <= answer.retry_after_s <= limits.RETRY_AFTER_S_MAX


# --- The look-up ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b'{"status":"charged"}', LookupAnswer.CHARGED),
        (200, b'{"status":"refused","reason":"closed"}', LookupAnswer.REFUSED),
        (200, b'{"status":"pending"}', LookupAnswer.PENDING),
        (404, b"", LookupAnswer.NOT_FOUND),
        (404, b"<html>not here</html>", LookupAnswer.NOT_FOUND),
        (404, b'{"status":"charged"}', LookupAnswer.NOT_FOUND),
        (200, b"", LookupAnswer.UNREADABLE),
        (200, b"{}", LookupAnswer.UNREADABLE),
        (200, b'{"status":"not_found"}', LookupAnswer.UNREADABLE),
        (200, b'{"status":"unreadable"}', LookupAnswer.UNREADABLE),
        (200, b'{"status":["charged"]}', LookupAnswer.UNREADABLE),
        (200, b'{"status":"refused","status":"charged"}', LookupAnswer.UNREADABLE),
        (200, b"<html>", LookupAnswer.UNREADABLE),
        (201, b'{"status":"charged"}', LookupAnswer.UNREADABLE),
        (202, b'{"status":"pending"}', LookupAnswer.UNREADABLE),
        (204, b"", LookupAnswer.UNREADABLE),
        (301, b"", LookupAnswer.UNREADABLE),
        (401, b"", LookupAnswer.UNREADABLE),
        (410, b"", LookupAnswer.UNREADABLE),
        (429, b"", LookupAnswer.UNREADABLE),
        (500, b'{"status":"charged"}', LookupAnswer.UNREADABLE),
    ],
)
@pytest.mark.parametrize("decides", [False, True])
def test_a_look_up_decides_only_by_what_it_plainly_says(
    status: int, body: bytes, expected: LookupAnswer, *, decides: bool
) -> None:
    assert read_lookup(settings(success_status_decides=decides), Received(status, {}, body), "r").answer is expected


def test_a_compressed_look_up_decides_nothing() -> None:
    received = Received(200, {"content-encoding": "gzip"}, b'{"status":"charged"}')
    assert read_lookup(settings(), received, "r").answer is LookupAnswer.UNREADABLE


def test_a_look_up_tells_the_providers_reference_and_reason() -> None:
    received = Received(200, {}, b'{"status":"refused","reason":"closed","providerReference":7}')
    assert read_lookup(settings(), received, "r") == LookupReading(
        LookupAnswer.REFUSED, "200 OK, refused: closed", 200, "7"
    )


# --- The requests -----------------------------------------------------------------------------------------------------


def call(traceparent: str | None = None) -> Call:
    return Call("source:topic:0:7", b"{ }", traceparent, 0.0, after_unknown=False)


def test_the_call_carries_its_key_its_token_and_the_records_own_bytes() -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    made = request(settings(auth_token="secret"), call(trace))
    assert (made.method, made.url, made.body) == ("POST", "https://provider.example/recharges", b"{ }")
    assert made.headers["Idempotency-Key"] == "source:topic:0:7"
    assert made.headers["Authorization"] == "Bearer secret"
    assert made.headers["Content-Type"] == "application/json"
    assert made.headers["traceparent"] == trace
    assert made.headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    "trace", ["", "garbage", "00-aé", f"00-{'a' * 32}-{'b' * 16}-01\r\nX: y", f"00-{'a' * 32}-{'b' * 16}-01\n"]
)
def test_a_malformed_trace_from_outside_is_left_out(trace: str) -> None:
    assert "traceparent" not in request(settings(), call(trace)).headers


def test_neither_token_nor_record_is_ever_printed() -> None:
    made = request(settings(auth_token="secret"), Call("r", b"+4917012345678", None, 0.0, after_unknown=False))
    assert "secret" not in repr(made)
    assert "49170" not in repr(made)
    assert "49170" not in repr(Call("r", b"+4917012345678", None, 0.0, after_unknown=False))


def test_a_look_up_without_a_template_is_refused() -> None:
    with pytest.raises(ValueError, match="RECHARGE_PROVIDER__LOOKUP_URL"):
        lookup_request(settings(), "r")


def test_a_reference_cannot_leave_its_place_in_the_look_ups_url() -> None:
    made = lookup_request(settings(lookup_url="https://provider.example/r/{reference}?v=1"), "a/../b?c#d%é:e")
    assert made.url == "https://provider.example/r/a%2F..%2Fb%3Fc%23d%25%C3%A9%3Ae?v=1"
    assert made.method == "GET"


# --- Where the reference travels --------------------------------------------------------------------------------------


def test_the_reference_travels_in_the_header_that_the_provider_wants() -> None:
    made = request(settings(reference_header="X-Order-Id"), call())
    assert made.headers["X-Order-Id"] == "source:topic:0:7"
    assert "Idempotency-Key" not in made.headers


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (b'{"amount":1.50}', b'{"orderId":"source:topic:0:7","amount":1.50}'),
        (b' \r\n\t{ "a" : "\xc3\xa9{" } \n', b' \r\n\t{"orderId":"source:topic:0:7", "a" : "\xc3\xa9{" } \n'),
        (b"{}", b'{"orderId":"source:topic:0:7"}'),
        (b"{ \n}", b'{"orderId":"source:topic:0:7" \n}'),
        (b'{"a":{"orderId":"inner"}}', b'{"orderId":"source:topic:0:7","a":{"orderId":"inner"}}'),
    ],
)
def test_the_reference_is_written_into_the_body_and_no_other_byte_changes(body: bytes, sent: bytes) -> None:
    made = request(settings(reference_field="orderId"), Call("source:topic:0:7", body, None, 0.0, after_unknown=False))
    again = request(settings(reference_field="orderId"), Call("source:topic:0:7", body, None, 9.0, after_unknown=True))
    assert made.body == again.body == sent
    assert "Idempotency-Key" not in made.headers


@pytest.mark.parametrize(
    "body",
    [
        b'{"orderId":"mine"}',
        b'{"a":1,"ORDERID":null}',
        b'{"\\u006frderId":1}',
        b"[]",
        b"",
        b'{"a":1,"a":2}',
        b"{",
    ],
)
def test_a_record_in_which_the_reference_has_no_place_is_never_sent(body: bytes) -> None:
    with pytest.raises(RecordUnfitError) as refused:
        request(settings(reference_field="orderId"), Call("r", body, None, 0.0, after_unknown=False))
    assert "mine" not in str(refused.value)


@given(
    st.dictionaries(st.text(), st.integers() | st.text() | st.none() | st.lists(st.text())),
    st.sampled_from([None, 2]),
    st.text(" \n\t\r", max_size=3),
)
def test_a_body_with_the_reference_is_the_same_record_and_one_field_more(
    fields: dict[str, object], indent: int | None, space: str
) -> None:
    body = (space + json.dumps(fields, indent=indent) + space).encode()
    if any(name.casefold() == "orderid" for name in fields):
        return
    made = request(settings(reference_field="orderId"), Call("a:b:0:1", body, None, 0.0, after_unknown=False))
    assert json.loads(made.body) == {"orderId": "a:b:0:1", **fields}
