"""How customers' numbers are shown and found without standing in clear."""

import hashlib
import hmac
import re

from recharge.limits import PHONE_DIGITS_MIN

SHOWN_DIGITS = 3
_LONG_NUMBER = re.compile(rf"[0-9]{{{PHONE_DIGITS_MIN},}}")


def mask_phone(number: str) -> str:
    """The number with all but its last three digits hidden: `•••••••567`. Its length is kept, since it helps people to recognise it."""
    if len(number) <= SHOWN_DIGITS:
        return "•" * len(number)
    return "•" * (len(number) - SHOWN_DIGITS) + number[-SHOWN_DIGITS:]


def mask_long_numbers(text: str) -> str:
    """The text with every run of digits hidden that is long enough for a phone number."""
    return _LONG_NUMBER.sub(lambda match: mask_phone(match[0]), text)


def phone_digits(number: str) -> str:
    """The number without a leading plus sign, as numbers are compared and hashed."""
    return number.removeprefix("+")


def keyed_hash(hash_key: bytes, data: bytes) -> str:
    """Lower-case hex of HMAC-SHA-256, by which a key or a number is found again by those who hold the hash key."""
    return hmac.new(hash_key, data, hashlib.sha256).hexdigest()


def account_hash(hash_key: bytes, number: str) -> str:
    """The keyed hash under which a number's records are found in Temporal, the same with and without a plus sign."""
    return keyed_hash(hash_key, phone_digits(number).encode())
