"""The keys by which what Temporal stores is encrypted: how they are written in the settings, and read from there."""

import base64
import binascii
import re
from dataclasses import dataclass, field

from recharge import limits

_BETWEEN = re.compile(r"[\s,]+")
_ID = re.compile(rf"[A-Za-z0-9._-]{{1,{limits.PAYLOAD_KEY_ID_CHARS_MAX}}}")
KEY_BYTES = 32
"""AES-256."""


@dataclass(frozen=True, slots=True)
class PayloadKey:
    """One key. Its id stands in clear beside everything that it encrypted, so that it is found again."""

    id: str
    secret: bytes = field(repr=False)


def read_keys(text: str) -> tuple[PayloadKey, ...]:
    """The keys of a setting: `ID:BASE64`, several with commas or white space between. The first encrypts, all decrypt.

    Raises ValueError with a text that follows the setting's name, and holds nothing of a key.
    """
    keys = [_read_key(number, part) for number, part in enumerate(filter(None, _BETWEEN.split(text)), start=1)]
    if not keys:
        raise ValueError("holds no key; leave it out where nothing is to be encrypted")
    if len(keys) > limits.PAYLOAD_KEYS_MAX:
        raise ValueError(f"must hold at most {limits.PAYLOAD_KEYS_MAX} keys")
    for number, key in enumerate(keys, start=1):
        for other in keys[: number - 1]:
            if key.id == other.id:
                raise ValueError(f"holds the id of its key number {number} twice, so nobody could tell the keys apart")
            if key.secret == other.secret:
                raise ValueError(f"holds its key number {number} twice, under two ids")
    return tuple(keys)


def _read_key(number: int, text: str) -> PayloadKey:
    # What is wrong is told by its place alone: a part that cannot be read may be the key itself.
    key_id, colon, encoded = text.partition(":")
    if not colon or not _ID.fullmatch(key_id):
        raise ValueError(
            f"must be ID:BASE64, or several with commas or lines between; its key number {number} has no id of "
            f"1 to {limits.PAYLOAD_KEY_ID_CHARS_MAX} letters, digits, '.', '_' and '-' before a colon"
        )
    try:
        secret = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"has no base64 after the colon of its key number {number}") from None
    if len(secret) != KEY_BYTES:
        raise ValueError(
            f"must hold keys of {KEY_BYTES} bytes, and its key number {number} has {len(secret)}; "
            f"make one by: openssl rand -base64 {KEY_BYTES}"
        )
    return PayloadKey(key_id, secret)
