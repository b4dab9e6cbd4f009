"""How customers' numbers are shown and found without standing in clear."""

import hashlib
import hmac
import re

from recharge.limits import PHONE_DIGITS_MIN

SHOWN_DIGITS = 3
GROUPED_DIGITS_MIN = 7
"""Digits in groups are a phone number from so many on: an amount or a time of day has fewer."""
_NUMBER = re.compile(r"[0-9](?:[ .()/-]{0,2}[0-9])*")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?: [0-9]{2})?")


def mask_phone(number: str) -> str:
    """The number with all but its last three digits hidden: `•••••••567`. Its length is kept, since it helps people to recognise it."""
    if len(number) <= SHOWN_DIGITS:
        return "•" * len(number)
    return "•" * (len(number) - SHOWN_DIGITS) + number[-SHOWN_DIGITS:]


def mask_long_numbers(text: str) -> str:
    """The text with all digits hidden that may be a phone number, also where they are written in groups. Dates stay."""
    return _NUMBER.sub(lambda match: _hidden(match[0]), text)


def _hidden(number: str) -> str:
    groups = re.split(r"[^0-9]+", number)
    count = sum(map(len, groups))
    is_long = max(map(len, groups)) >= PHONE_DIGITS_MIN or count >= GROUPED_DIGITS_MIN
    if not is_long or _DATE.fullmatch(number):
        return number
    left = iter(range(count, 0, -1))
    return "".join("•" if each.isdigit() and next(left) > SHOWN_DIGITS else each for each in number)


def phone_digits(number: str) -> str:
    """The number without a leading plus sign, as numbers are compared and hashed."""
    return number.removeprefix("+")


def keyed_hash(hash_key: bytes, data: bytes) -> str:
    """Lower-case hex of HMAC-SHA-256, by which a key or a number is found again by those who hold the hash key."""
    return hmac.new(hash_key, data, hashlib.sha256).hexdigest()


def account_hash(hash_key: bytes, number: str) -> str:
    """The keyed hash under which a number's records are found in Temporal, the same with and without a plus sign."""
    return keyed_hash(hash_key, phone_digits(number).encode())
