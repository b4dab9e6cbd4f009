"""Every record is read as exactly what it says, or refused with one reason; nothing that arrives can raise."""

import hashlib
import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recharge import limits
from recharge.contract import Ordering, Position, Transfer
from recharge.record import KNOWN_FIELDS, Invalid, content_digest, decode, fingerprint, from_kafka

DONOR = "+5511987654321"
RECEIVER = "5511912345678"
VALID = {
    "operationType": "OneShotTransfer",
    "phoneNumberDonor": DONOR,
    "phoneNumberReceiver": RECEIVER,
    "amount": "0.10",
}
KNOWN_FOLDED = {name.casefold() for name in KNOWN_FIELDS}
POSITION = Position("topups-2026", "credit-transfers", 3, 42)


def encoded(**changes: object) -> bytes:
    return json.dumps({**VALID, **changes}).encode()


def with_amount(literal: str) -> bytes:
    """The record with the amount written as this JSON text, digit for digit."""
    return encoded(amount="AMOUNT").replace(b'"AMOUNT"', literal.encode())


def reason_of(value: bytes | None) -> str:
    decoded = decode(value)
    assert isinstance(decoded, Invalid), f"accepted: {value!r}"
    assert decoded.reason
    assert decoded.reason.isprintable(), "a reason is one line"
    assert len(decoded.reason) <= limits.REASON_CHARS_MAX
    return decoded.reason


def accepted(value: bytes) -> Transfer:
    decoded = decode(value)
    assert isinstance(decoded, Transfer), f"refused: {decoded}"
    return decoded


def test_a_whole_record_is_read() -> None:
    value = encoded(
        currency="BRL", requestId="r-1", operationDate="2026-11-24", frequency=7, operationCost="0", more={"a": [1]}
    )
    assert accepted(value) == Transfer("OneShotTransfer", DONOR, RECEIVER, "0.10", currency="BRL", request_id="r-1")


@pytest.mark.parametrize("operation_type", ["OneShotTransfer", "RecurringTransfer", "BlackListIn"])
def test_every_operation_type_is_accepted(operation_type: str) -> None:
    assert accepted(encoded(operationType=operation_type)).operation_type == operation_type


@pytest.mark.parametrize(
    ("literal", "amount"),
    [
        ("0.10", "0.10"),
        ('"0.10"', "0.10"),
        ("1", "1"),
        ("0.0001", "0.0001"),
        ("999999999999999.9999", "999999999999999.9999"),
        ('"999999999999999.9999"', "999999999999999.9999"),
        ("1e2", "100"),
        ("1.50E+3", "1500"),
        ("1500e-3", "1.500"),
        ("1e-4", "0.0001"),
        ("1e0000000014", "100000000000000"),
        ("0.1e1", "1"),
    ],
)
def test_an_amount_is_read_digit_for_digit(literal: str, amount: str) -> None:
    assert accepted(with_amount(literal)).amount == amount


@settings(deadline=None)
@given(st.integers(1, 10**19 - 1), st.integers(0, 4), st.booleans())
def test_no_amount_is_ever_changed(digits: int, places: int, quoted: bool) -> None:  # a drawn value
    written = format(Decimal(digits).scaleb(-places), "f") if places else str(digits)
    decoded = decode(with_amount(f'"{written}"' if quoted else written))
    if len(written.partition(".")[0]) > limits.AMOUNT_INTEGER_DIGITS_MAX:
        assert isinstance(decoded, Invalid)
    else:
        assert isinstance(decoded, Transfer)
        assert decoded.amount == written


@settings(deadline=None)
@given(st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,8})?([eE][+-]?[0-9]{1,12})?", fullmatch=True))
def test_an_accepted_number_equals_what_was_written_and_fits_the_column(literal: str) -> None:
    decoded = decode(with_amount(literal))
    if isinstance(decoded, Transfer):
        assert Decimal(decoded.amount) == Decimal(literal)
        assert Decimal(decoded.amount) > 0
        integer, _, fraction = decoded.amount.partition(".")
        assert len(integer) <= limits.AMOUNT_INTEGER_DIGITS_MAX
        assert len(fraction) <= limits.AMOUNT_FRACTION_DIGITS_MAX


@pytest.mark.parametrize(
    ("literal", "problem"),
    [
        ("0", "amount is zero"),
        ("0.0000", "amount is zero"),
        ("-0", "amount is zero"),
        ("0e999999999", "amount is zero"),
        ("-0.01", "amount is negative"),
        ('"-5"', "amount is negative"),
        ("true", "amount must be a number"),
        ("false", "amount must be a number"),
        ("null", "amount is null"),
        ("[]", "amount must be a number"),
        ("{}", "amount must be a number"),
        ('""', "amount is not a decimal number"),
        ('" 1"', "amount is not a decimal number"),
        ('"1,5"', "amount is not a decimal number"),
        ('"1e2"', "amount is not a decimal number"),
        ('"+1"', "amount is not a decimal number"),
        ('"01"', "amount is not a decimal number"),
        ('"1_0"', "amount is not a decimal number"),
        ('"\uff11"', "amount is not a decimal number"),
        ('"NaN"', "amount is not a decimal number"),
        ("0.00001", "amount has too many digits"),
        ("0.10000", "amount has too many digits"),
        ("1000000000000000", "amount has too many digits"),
        ("1e15", "amount has too many digits"),
        ("1e999999999", "amount has too many digits"),
        ("1e99999999999999999999999999", "amount has too many digits"),
        ("1e-999999999", "amount has too many digits"),
        ("9" * 100_000, "amount has too many digits"),
        ("0." + "0" * 100_000 + "1", "amount has too many digits"),
        ("NaN", "the value is not JSON: it holds NaN or Infinity"),
        ("Infinity", "the value is not JSON: it holds NaN or Infinity"),
        ("-Infinity", "the value is not JSON: it holds NaN or Infinity"),
        ("01", "the value is not JSON"),
        ("1.", "the value is not JSON"),
    ],
    ids=lambda text: text[:40],
)
def test_an_amount_that_is_not_exact_and_above_zero_is_refused(literal: str, problem: str) -> None:
    assert reason_of(with_amount(literal)).startswith(problem)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "the value is null"),
        (b"", "the value is not JSON"),
        (b"\xff\xfe{\x00}\x00", "the value is not UTF-8"),
        (b'{"a":"\xed\xa0\x80"}', "the value is not UTF-8"),
        (b"\xef\xbb\xbf" + encoded(), "the value begins with a byte order mark"),
        (b"{", "the value is not JSON"),
        (encoded() + b"{}", "the value is not JSON"),
        (encoded() + b"\x00", "the value is not JSON"),
        (b'{"a":"\n"}', "the value is not JSON"),
        (b"[]", "the value is JSON, but not an object"),
        (b"null", "the value is JSON, but not an object"),
        (b"1" * 5000, "the value is JSON, but not an object"),
        (b'"text"', "the value is JSON, but not an object"),
        (encoded()[:-1] + b',"amount":"9"}', "amount stands twice in the same object"),
        (encoded()[:-1] + b',"amo\\u0075nt":"9"}', "amount stands twice in the same object"),
        (
            encoded()[:-1] + b',"x":[{"y":{"5511987654321":1,"5511987654321":1}}]}',
            "a field stands twice in the same object",
        ),
        (encoded(Amount="9"), "amount stands twice, in different letter case"),
        (encoded(x=[float("inf")]), "the value is not JSON: it holds NaN or Infinity"),
        (b"[" * 100_000, "the value is nested deeper than 32 levels"),
        (b'{"a":' * 100_000, "the value is nested deeper than 32 levels"),
        (b'"' + b'\\"' * 200_000 + b"[" * 100, "the value is not JSON"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_value_that_is_not_one_json_object_is_refused(value: bytes | None, problem: str) -> None:
    assert reason_of(value).startswith(problem)


def test_nesting_is_accepted_up_to_its_limit_and_brackets_in_texts_do_not_count() -> None:
    def nested(levels: int) -> object:
        return [nested(levels - 1)] if levels else "[" * 100 + '\\"{{{'

    accepted(encoded(x=nested(limits.JSON_DEPTH_MAX - 1)))
    assert reason_of(encoded(x=nested(limits.JSON_DEPTH_MAX))) == "the value is nested deeper than 32 levels"


@pytest.mark.parametrize("name", ["operationType", "phoneNumberDonor", "phoneNumberReceiver", "amount"])
def test_a_required_field_is_missed_by_its_name(name: str) -> None:
    assert reason_of(json.dumps({k: v for k, v in VALID.items() if k != name}).encode()) == f"{name} is missing"
    assert reason_of(encoded(**{name: None})) == f"{name} is null"


@pytest.mark.parametrize("name", ["phoneNumberDonor", "phoneNumberReceiver"])
@pytest.mark.parametrize(
    "number",
    [
        "",
        "1234",
        "1" * 16,
        "++12345",
        "12345+",
        "12 345",
        "+55-11-98765",
        "\uff11\uff12\uff13\uff14\uff15",
        "12345\n",
        "\u0661" * 6,
    ],
)
def test_a_malformed_phone_number_is_refused_by_name_and_never_repeated(name: str, number: str) -> None:
    reason = reason_of(encoded(**{name: number}))
    assert reason.startswith(f"{name} is not a phone number")
    assert number == "" or number not in reason


@pytest.mark.parametrize("number", ["12345", "+12345", "1" * 15, "+" + "1" * 15])
def test_numbers_of_five_to_fifteen_digits_are_accepted_as_written(number: str) -> None:
    assert accepted(encoded(phoneNumberDonor=number)).donor == number


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("operationType", "Refund", "operationType is none of OneShotTransfer, RecurringTransfer, BlackListIn"),
        ("operationType", "oneshottransfer", "operationType is none of"),
        ("operationType", 1, "operationType must be a string"),
        ("phoneNumberDonor", 5511987654321, "phoneNumberDonor must be a string"),
        ("currency", 1, "currency must be a string"),
        ("currency", "", "currency is empty"),
        ("currency", "X" * 17, "currency is longer than 16 characters"),
        ("currency", "B\x7fL", "currency holds a control character (U+007F)"),
        ("currency", "\u202eRUE", "currency holds an invisible character that formats text (U+202E)"),
        ("currency", "EU\u200bR", "currency holds an invisible character that formats text (U+200B)"),
        ("operationDate", "\ufeff2026", "operationDate holds an invisible character that formats text (U+FEFF)"),
        ("frequency", "\u2066weekly", "frequency holds an invisible character that formats text (U+2066)"),
        ("requestId", "r\u2028", "requestId holds a line separator (U+2028)"),
        ("requestId", "r\u2029", "requestId holds a paragraph separator (U+2029)"),
        ("operationDate", ["2026"], "operationDate must be a string"),
        ("operationDate", "\ud800", "operationDate holds a lone surrogate (U+D800)"),
        ("operationDate", "\x85", "operationDate holds a control character"),
        ("frequency", True, "frequency must be a string or a number"),
        ("frequency", "a\tb", "frequency holds a control character"),
        ("frequency", 10**300, "frequency is longer than 255 characters"),
        ("operationCost", "-1", "operationCost is negative"),
        ("operationCost", False, "operationCost must be a number"),
        ("operationCost", "1.23456", "operationCost has too many digits"),
        ("requestId", {}, "requestId must be a string"),
        ("requestId", "", "requestId is empty"),
        ("requestId", "r" * 256, "requestId is longer than 255 characters"),
        ("requestId", "r\x00", "requestId holds a control character"),
    ],
)
def test_each_wrong_field_has_its_reason(field: str, value: object, problem: str) -> None:
    assert reason_of(encoded(**{field: value})).startswith(problem)


@pytest.mark.parametrize("text", ["R$", "€", "دينار", "円", "1 000", "\u00a0", "\U0001f4b6"])  # what people write
def test_texts_of_any_script_are_accepted_as_written(text: str) -> None:
    assert accepted(encoded(currency=text, requestId=text)).currency == text


@pytest.mark.parametrize("name", ["currency", "operationDate", "frequency", "operationCost", "requestId"])
def test_an_optional_field_that_is_null_counts_as_absent(name: str) -> None:
    assert accepted(encoded(**{name: None})) == accepted(encoded())


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(["0.10", DONOR, "1e9", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.sampled_from(list(VALID)), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(
    st.binary()
    | st.lists(st.sampled_from([b"{", b"}", b"[", b"]", b'"', b"\\", b",", b":", b"1", b"\xff"])).map(b"".join)
)
def test_no_bytes_make_it_raise(value: bytes) -> None:
    assert isinstance(decode(value), Invalid)


@settings(deadline=None)
@given(
    st.dictionaries(
        st.text() | st.sampled_from([*VALID, "currency", "requestId", "frequency", "operationCost"]), JSON_VALUES
    )
)
def test_no_json_makes_it_raise(fields: dict[str, object]) -> None:
    for value in (json.dumps(fields), json.dumps({**VALID, **fields})):
        decoded = decode(value.encode())
        if isinstance(decoded, Invalid):
            assert decoded.reason.isprintable()


@settings(deadline=None)
@given(st.dictionaries(st.text().filter(lambda name: name.casefold() not in KNOWN_FOLDED), JSON_VALUES))
def test_unknown_fields_do_not_matter(unknown: dict[str, object]) -> None:
    assert accepted(json.dumps({**unknown, **VALID}).encode()) == accepted(encoded())


def test_the_fingerprint_hashes_the_bytes_that_the_protocol_names() -> None:
    framed = b"\x01" + bytes(7) + b"\x01k" + b"\x01" + bytes(7) + b"\x02vv"
    assert content_digest(b"k", b"vv") == hashlib.sha256(framed).hexdigest()
    assert fingerprint(b"k", b"vv", 258) == hashlib.sha256(framed + bytes(6) + b"\x01\x02").hexdigest()
    assert fingerprint(None, None, -1) == hashlib.sha256(bytes(18) + b"\xff" * 8).hexdigest()


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.none() | st.binary(max_size=3), st.none() | st.binary(max_size=3), st.integers(-1, 3)), unique=True
    )
)
def test_different_records_have_different_fingerprints(records: list[tuple[bytes | None, bytes | None, int]]) -> None:
    assert len({fingerprint(*record) for record in records}) == len(records)


def test_the_workflow_gets_the_record_byte_for_byte() -> None:
    value = b" " + encoded(amount=0.10, more="\u00e9")
    record = from_kafka(POSITION, b"\x00key", value, 1_700_000_000_000, ordering=Ordering.KEY, traceparent=None)
    assert record.position == POSITION
    assert (record.raw_key, record.raw_value) == (b"\x00key", value)
    assert record.size_bytes == 4 + len(value)
    assert record.invalid_reason is None
    assert record.transfer == Transfer("OneShotTransfer", DONOR, RECEIVER, "0.1")
    assert record.ordering is Ordering.KEY
    assert record.fingerprint == fingerprint(b"\x00key", value, 1_700_000_000_000)


def test_a_record_of_nothing_is_invalid_and_told_from_an_empty_one() -> None:
    null = from_kafka(POSITION, None, None, -1, ordering=Ordering.PARTITION, traceparent=None)
    empty = from_kafka(POSITION, b"", b"", -1, ordering=Ordering.PARTITION, traceparent=None)
    assert null.invalid_reason == "the value is null"
    assert (null.raw_key, null.raw_value, null.transfer) == (None, None, None)
    assert (empty.raw_key, empty.raw_value) == (b"", b"")
    assert null.fingerprint != empty.fingerprint


def test_a_record_at_the_size_limit_is_read_and_one_byte_more_is_cut_but_told_whole() -> None:
    value = encoded()
    key = b"k" * (limits.RECORD_BYTES_MAX - len(value))
    assert from_kafka(POSITION, key, value, 0, ordering=Ordering.PARTITION, traceparent=None).transfer is not None

    record = from_kafka(POSITION, key + b"k", value, 0, ordering=Ordering.PARTITION, traceparent=None)
    assert record.invalid_reason == "the record is larger than 512 KiB, key and value together"
    assert record.transfer is None
    assert record.size_bytes == limits.RECORD_BYTES_MAX + 1
    assert record.fingerprint == fingerprint(key + b"k", value, 0)
    assert record.content_digest == content_digest(key + b"k", value)
    assert record.raw_value == value, "a large key does not hide the value"

    value = b"v" * (limits.RECORD_BYTES_MAX + 1)
    record = from_kafka(POSITION, b"key", value, 0, ordering=Ordering.PARTITION, traceparent=None)
    assert record.raw_key == b"key"
    assert record.raw_value is not None
    assert len(record.raw_key + record.raw_value) == limits.CUT_RECORD_BYTES


@pytest.mark.parametrize(
    ("traceparent", "kept"),
    [
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", True),
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nX: y", False),
        ("", False),
    ],
)
def test_only_a_wellformed_traceparent_travels_on(traceparent: str, kept: bool) -> None:  # a case's answer
    record = from_kafka(POSITION, None, encoded(), 0, ordering=Ordering.NONE, traceparent=traceparent)
    assert record.traceparent == (traceparent if kept else None)
