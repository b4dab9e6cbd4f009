"""What one Kafka record asks for: bytes in, a transfer or a named reason out, and never an exception.

The provider is sent the record's bytes as they are, so a record counts as valid only where every JSON parser reads
the same from it: with a key that stands twice, or an amount that lost its digits in a float, we and the provider
would see two different recharges. Reasons name the field and the problem. They never repeat a value, since any value
may hold a customer's number.
"""

import base64
import hashlib
import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from recharge import limits
from recharge.contract import DuplicateRequests, Ordering, Position, RecordInput, Transfer
from recharge.json_text import JsonRefusedError, Number, read_object


class OperationType(StrEnum):
    """The operations that a record may ask for."""

    ONE_SHOT_TRANSFER = "OneShotTransfer"
    RECURRING_TRANSFER = "RecurringTransfer"
    BLACK_LIST_IN = "BlackListIn"


@dataclass(frozen=True, slots=True)
class Invalid:
    """A record that cannot be carried out, with the reason in one line that may be shown to anybody."""

    reason: str


@dataclass(frozen=True, slots=True)
class IntakeRules:
    """What the intake's settings ask of every record; it travels in the workflow's input, so that a change never splits a record."""

    duplicate_requests: DuplicateRequests = DuplicateRequests.REJECT
    stale_after_s: float | None = None


DEFAULT_RULES = IntakeRules()


class _RefusedError(Exception):
    """Carries the reason why a field is refused to `decode`."""


KNOWN_FIELDS = (
    "operationType",
    "phoneNumberDonor",
    "phoneNumberReceiver",
    "amount",
    "currency",
    "operationDate",
    "frequency",
    "operationCost",
    "requestId",
)
"""The fields whose meaning this service knows. All others travel on to the provider unread."""

_PHONE_NUMBER = re.compile(rf"\+?[0-9]{{{limits.PHONE_DIGITS_MIN},{limits.PHONE_DIGITS_MAX}}}")
_WORKFLOW_ID = re.compile(rf"[A-Za-z0-9._:-]{{1,{limits.WORKFLOW_ID_CHARS_MAX}}}")
# Version ff and identities of zeros alone are not valid by W3C's rules.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
# What nobody sees, by Unicode's categories: it changes how a text reads, or tells two that look alike apart.
_UNSEEN = {
    "Cc": "a control character",
    "Cf": "an invisible character that formats text",
    "Cs": "a lone surrogate",  # a pair is one character by now
    "Zl": "a line separator",
    "Zp": "a paragraph separator",
}
_JSON_NUMBER = re.compile(r"(?P<minus>-)?(?P<digits>(?:0|[1-9][0-9]*)(?:\.[0-9]+)?)(?:[eE](?P<exponent>[-+]?[0-9]+))?")
_PLAIN_NUMBER = re.compile(r"(?P<minus>-)?(?P<digits>(?:0|[1-9][0-9]*)(?:\.[0-9]+)?)(?P<exponent>)")
# An amount in its longest lawful spelling is far shorter, with or without an exponent; longer ones are not computed.
_AMOUNT_CHARS_MAX = 64
_EXPONENT_DIGITS_MAX = 2


def fingerprint(key: bytes | None, value: bytes | None, timestamp_ms: int) -> str:
    """The record's identity beside its position: lower-case hex of SHA-256 over key, value and timestamp.

    Key and value are each hashed as one byte (0 null, 1 present), eight bytes of big-endian length (zero for null)
    and the bytes; the timestamp as eight big-endian bytes with a sign, since Kafka writes -1 where a record has none.
    """
    return hashlib.sha256(_framed(key) + _framed(value) + timestamp_ms.to_bytes(8, "big", signed=True)).hexdigest()


def content_digest(key: bytes | None, value: bytes | None) -> str:
    """The fingerprint without the timestamp: equal for the same record on a mirrored or re-created topic."""
    return hashlib.sha256(_framed(key) + _framed(value)).hexdigest()


def _framed(data: bytes | None) -> bytes:
    if data is None:
        return bytes(9)
    return b"\x01" + len(data).to_bytes(8, "big") + data


def from_kafka(  # noqa: PLR0913  # the parts of a Kafka record, and how it came
    position: Position,
    key: bytes | None,
    value: bytes | None,
    timestamp_ms: int,
    *,
    ordering: Ordering,
    traceparent: str | None,
    intake: IntakeRules = DEFAULT_RULES,
    redrive_of: str | None = None,
) -> RecordInput:
    """The workflow's input for one Kafka record: decoded where it is valid, with the reason where it is not.

    A record above RECORD_BYTES_MAX is invalid, and travels cut to CUT_RECORD_BYTES. A malformed `traceparent` is
    dropped, as W3C asks for, since it would end up in a header of the provider's call. Raises nothing for what Kafka
    can deliver.
    """
    size_bytes = len(key or b"") + len(value or b"")
    kept_key, kept_value = key, value
    decoded: Transfer | Invalid
    if size_bytes > limits.RECORD_BYTES_MAX:
        decoded = Invalid(
            f"the record is larger than {limits.RECORD_BYTES_MAX // limits.KIB} KiB, key and value together"
        )
        kept_key, kept_value = _cut(key, value)
    else:
        decoded = decode(value)
    return RecordInput(
        source=position.source,
        topic=position.topic,
        partition=position.partition,
        offset=position.offset,
        fingerprint=fingerprint(key, value, timestamp_ms),
        content_digest=content_digest(key, value),
        timestamp_ms=timestamp_ms,
        size_bytes=size_bytes,
        key_base64=_base64(kept_key),
        value_base64=_base64(kept_value),
        transfer=decoded if isinstance(decoded, Transfer) else None,
        invalid_reason=decoded.reason if isinstance(decoded, Invalid) else None,
        ordering=ordering,
        traceparent=traceparent if traceparent is not None and _TRACEPARENT.fullmatch(traceparent) else None,
        duplicate_requests=intake.duplicate_requests,
        stale_after_s=intake.stale_after_s,
        redrive_of=redriven_id(redrive_of),
    )


def redriven_id(header: str | None) -> str | None:
    """The workflow id that the header of a redriven record names; None where there is no header or it cannot be an id."""
    return header if header is not None and _WORKFLOW_ID.fullmatch(header) else None


def _cut(key: bytes | None, value: bytes | None) -> tuple[bytes | None, bytes | None]:
    # The key gets the half at most, so that a monstrous one does not hide the value.
    kept_key = None if key is None else key[: limits.CUT_RECORD_BYTES // 2]
    kept_value = None if value is None else value[: limits.CUT_RECORD_BYTES - len(kept_key or b"")]
    return kept_key, kept_value


def _base64(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode("ascii")


def decode(value: bytes | None) -> Transfer | Invalid:
    """Read a record's value. Never raises, whatever the bytes.

    Digits of amounts count as they are written: 0.10000 has five after the point and is refused, although it equals
    0.1, since nobody should have to wonder which digits were dropped. A JSON number may have an exponent (1e2 is
    100); a string may not, since not every provider would read one from it. An optional field that is null counts as
    absent.
    """
    try:
        return _transfer(read_object(value, KNOWN_FIELDS))
    except (JsonRefusedError, _RefusedError) as refused:
        return Invalid(str(refused))


def _transfer(fields: dict[str, object]) -> Transfer:
    operation_type = _operation_type(fields)
    donor = _phone_number(fields, "phoneNumberDonor")
    receiver = _phone_number(fields, "phoneNumberReceiver")
    amount = _decimal(_required(fields, "amount"), "amount")
    if amount is None:
        raise _RefusedError("amount is zero")
    currency = _text(fields, "currency", limits.CURRENCY_CHARS_MAX)
    request_id = _text(fields, "requestId", limits.TEXT_FIELD_CHARS_MAX)
    _check_carried_fields(fields)
    return Transfer(
        operation_type=operation_type,
        donor=donor,
        receiver=receiver,
        amount=amount,
        currency=currency,
        request_id=request_id,
    )


def _check_carried_fields(fields: dict[str, object]) -> None:
    """Check the fields that only travel on to the provider."""
    _text(fields, "operationDate", limits.TEXT_FIELD_CHARS_MAX)
    frequency = fields.get("frequency")
    if isinstance(frequency, Number):
        if len(frequency.text) > limits.TEXT_FIELD_CHARS_MAX:
            raise _RefusedError(f"frequency is longer than {limits.TEXT_FIELD_CHARS_MAX} characters")
    else:
        _text(fields, "frequency", limits.TEXT_FIELD_CHARS_MAX, kind="a string or a number")
    cost = fields.get("operationCost")
    if cost is not None:
        _decimal(cost, "operationCost")


def _required(fields: dict[str, object], name: str) -> object:
    value = fields.get(name)
    if value is None:
        raise _RefusedError(f"{name} is null" if name in fields else f"{name} is missing")
    return value


def _operation_type(fields: dict[str, object]) -> str:
    value = _required(fields, "operationType")
    if not isinstance(value, str):
        raise _RefusedError("operationType must be a string")
    if value not in tuple(OperationType):
        raise _RefusedError(f"operationType is none of {', '.join(OperationType)}")
    return value


def _phone_number(fields: dict[str, object], name: str) -> str:
    value = _required(fields, name)
    if not isinstance(value, str):
        raise _RefusedError(f"{name} must be a string")
    if not _PHONE_NUMBER.fullmatch(value):
        digits = f"{limits.PHONE_DIGITS_MIN} to {limits.PHONE_DIGITS_MAX} digits"
        raise _RefusedError(f"{name} is not a phone number: {digits}, of which only a '+' may stand before")
    return value


def _text(fields: dict[str, object], name: str, chars_max: int, *, kind: str = "a string") -> str | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise _RefusedError(f"{name} must be {kind}")
    if value == "":
        raise _RefusedError(f"{name} is empty")
    if len(value) > chars_max:
        raise _RefusedError(f"{name} is longer than {chars_max} characters")
    if not value.isprintable():
        _refuse_unseen(name, value)
    return value


def _refuse_unseen(name: str, value: str) -> None:
    for character in value:
        unseen = _UNSEEN.get(unicodedata.category(character))
        if unseen is not None:
            raise _RefusedError(f"{name} holds {unseen} (U+{ord(character):04X})")


def _decimal(value: object, name: str) -> str | None:
    """The exact number in plain notation, or None for zero; refused where DECIMAL(19,4) cannot hold it as written."""
    match value:
        case Number(text):
            number = _JSON_NUMBER.fullmatch(text)
        case str(text):
            number = _PLAIN_NUMBER.fullmatch(text)
        case _:
            raise _RefusedError(f"{name} must be a number, or a string that holds one")
    if number is None:
        raise _RefusedError(f"{name} is not a decimal number in plain notation, such as 0.10")
    if number["digits"].strip("0.") == "":
        return None
    if number["minus"]:
        raise _RefusedError(f"{name} is negative")
    exponent = (number["exponent"] or "").lstrip("+-").lstrip("0")
    if len(text) > _AMOUNT_CHARS_MAX or len(exponent) > _EXPONENT_DIGITS_MAX:
        raise _RefusedError(_too_many_digits(name))
    plain = format(Decimal(text), "f")
    integer, _, fraction = plain.partition(".")
    if len(integer) > limits.AMOUNT_INTEGER_DIGITS_MAX or len(fraction) > limits.AMOUNT_FRACTION_DIGITS_MAX:
        raise _RefusedError(_too_many_digits(name))
    return plain


def _too_many_digits(name: str) -> str:
    return (
        f"{name} has too many digits: at most {limits.AMOUNT_INTEGER_DIGITS_MAX} before "
        f"and {limits.AMOUNT_FRACTION_DIGITS_MAX} after the point"
    )
