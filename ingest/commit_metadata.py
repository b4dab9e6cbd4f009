"""What travels in the metadata of a commit: the completed ranges, so that a restart need not start their records again.

    recharge/1 SOURCE:TOPIC:PARTITION:OFFSET BODY

The second word names where the ranges belong and the committed offset itself. A mirrored cluster copies metadata verbatim, and a
topic that was cut off reaches the same offsets again; both are told by it, or by the digests. BODY is base85 of a checksum, then for
each range its distance from the one before, its length (both as LEB128), and its digest. A reader that cannot make sense of it
starts the records again, which costs two calls to Temporal each and is otherwise harmless.
"""

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from recharge.contract import Position
from recharge.limits import COMMIT_METADATA_CHARS_MAX

_FORMAT = "recharge/1"
_DIGEST_BYTES = 8
_CHECKSUM_BYTES = 8
_OFFSET_BITS = 63
_DIGEST_MODULUS = 1 << (8 * _DIGEST_BYTES)


@dataclass(frozen=True, slots=True)
class CompletedRange:
    """Neighbouring records of a partition that are all final, beyond the commit offset.

    Neighbours are those that Kafka delivers one after the other; between their offsets there may be gaps.
    """

    first: int
    """The offset of its first record."""
    last: int
    """The offset of its last record."""
    digest: int
    """The digests of its records, joined."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a commit's metadata said."""

    ranges: tuple[CompletedRange, ...] = ()
    problem: str | None = None
    """Why it is ignored, where it is."""


def record_digest(offset: int, fingerprint: str) -> int:
    """The digest of one record: where it stands and what it is."""
    text = f"{offset}:{fingerprint}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:_DIGEST_BYTES], "big")


def joined(one: int, other: int) -> int:
    """The digest of two sets of records together.

    It is a sum, so that a range may grow at both ends and swallow its neighbours without a look at what it holds. The order is in it all
    the same, since each record's own digest covers its offset.
    """
    return (one + other) % _DIGEST_MODULUS


def encode(at: Position, ranges: Sequence[CompletedRange]) -> str:
    """The metadata of a commit at this position. Empty where there are no ranges; the farthest are left out where not all have room.

    Args:
        at: source, topic, partition, and the offset that is committed.
        ranges: in the order of their offsets, none before the committed one.
    """
    head = f"{_FORMAT} {at.workflow_id} "
    body_bytes_max = (COMMIT_METADATA_CHARS_MAX - len(head)) * 4 // 5 - _CHECKSUM_BYTES
    body = bytearray()
    expected = at.offset
    for each in ranges:
        part = _varint(each.first - expected) + _varint(each.last - each.first)
        part += each.digest.to_bytes(_DIGEST_BYTES, "big")
        if len(body) + len(part) > body_bytes_max:
            break
        body += part
        expected = each.last + 1
    if not body:
        return ""
    return head + base64.b85encode(_checksum(head, bytes(body)) + bytes(body)).decode()


def decode(text: str, at: Position) -> Decoded:
    """What the metadata of the commit at this position says. Never raises: what cannot be used is told in `problem`."""
    if not text:
        return Decoded()
    words = text.split(" ")
    if len(words) != 3 or words[0] != _FORMAT:  # noqa: PLR2004  # the format has three words
        return Decoded(problem=f"it is not in the format {_FORMAT}")
    if words[1] != at.workflow_id:
        return Decoded(problem=f"it belongs to {words[1]}, not to {at.workflow_id}")
    try:
        body = _body(f"{_FORMAT} {at.workflow_id} ", words[2])
        return Decoded(tuple(_ranges(body, at.offset)))
    except ValueError as error:
        return Decoded(problem=f"it is damaged: {error}")


def _body(head: str, text: str) -> bytes:
    data = base64.b85decode(text)
    if base64.b85encode(data).decode() != text:
        raise ValueError("it is not what base85 would write")
    checksum, body = data[:_CHECKSUM_BYTES], data[_CHECKSUM_BYTES:]
    if checksum != _checksum(head, body):
        raise ValueError("its checksum is wrong")
    return body


def _ranges(body: bytes, offset: int) -> Iterator[CompletedRange]:
    index = 0
    while index < len(body):
        distance, index = _read_varint(body, index)
        length, index = _read_varint(body, index)
        digest = body[index : index + _DIGEST_BYTES]
        index += _DIGEST_BYTES
        if index > len(body):
            raise ValueError("its last range is cut off")
        first = offset + distance
        yield CompletedRange(first, first + length, int.from_bytes(digest, "big"))
        offset = first + length + 1


def _checksum(head: str, body: bytes) -> bytes:
    return hashlib.sha256(head.encode() + body).digest()[:_CHECKSUM_BYTES]


def _varint(value: int) -> bytes:
    if value < 0:
        raise ValueError("completed ranges overlap, are not in order, or lie before the committed offset")
    encoded = bytearray()
    while value > 0x7F:  # noqa: PLR2004  # seven bits a byte
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _read_varint(body: bytes, index: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, _OFFSET_BITS, 7):
        if index >= len(body):
            raise ValueError("a number is cut off")
        byte = body[index]
        index += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, index
    raise ValueError("a number is longer than any offset")
