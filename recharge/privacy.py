"""How customers' numbers are shown and found without standing in clear."""

import hashlib
import hmac
import re

from recharge.limits import PHONE_DIGITS_MIN

SHOWN_DIGITS = 3
GROUPED_DIGITS_MIN = 7
"""Digits in groups are a phone number from so many on: a smaller amount, a version or a time of day has fewer."""

_BETWEEN = "[ \t\u00a0\u2009\u202f.()/\u2010-\u2013-]"
"""What people write between the groups of a number, three of them at most: `(591) (7) 123-4567`. A line's end is none of it."""
_DATE = "(?:19|20)[0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])(?![0-9])"
_TIME = "[0-2][0-9]:[0-5][0-9](?::[0-5][0-9](?:[.,][0-9]{1,9})?)?(?![0-9])"
_NUMBER = re.compile(
    # What is no phone number although it has many digits. Each begins where a word begins, so that a long word is walked through once.
    # A workflow id, of whose names none is a bare number:
    r"(?<![A-Za-z0-9._-])(?:(?![0-9._-]{5,}:)[A-Za-z0-9._-]+:){2}[0-9]{1,10}:[0-9]{1,19}(?![0-9])"
    # an offset, and the command that names several:
    r"|\boffsets?\"?[ :=]{1,2}[0-9]{1,19}(?: to [0-9]{1,19})?(?![0-9])"
    r"|\baccept-gap [0-9]{1,10}:[0-9]{1,19}-[0-9]{1,19}(?![0-9])"
    # a date, a time of day, and both:
    rf"|(?<![0-9]){_DATE}(?:[T ]{_TIME})?"
    rf"|(?<![0-9:]){_TIME}"
    # an amount with its cents. Seven digits before them could be a phone number that somebody's spreadsheet took for an amount:
    rf"|(?<![0-9+])[0-9]{{1,6}}\.[0-9]{{2}}(?!{_BETWEEN}{{0,3}}[0-9])"
    # an address with its port, and one of a private network without:
    r"|(?<![A-Za-z0-9.-])[A-Za-z][A-Za-z0-9-]*(?:\.[A-Za-z][A-Za-z0-9-]*)+:[0-9]{1,5}(?![0-9])"
    r"|(?:\blocalhost|(?<![0-9.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}|\]):[0-9]{1,5}(?![0-9])"
    r"|(?<![0-9.])(?:10\.[0-9]{1,3}|127\.[0-9]{1,3}|192\.168|172\.(?:1[6-9]|2[0-9]|3[01]))(?:\.[0-9]{1,3}){2}(?![0-9]|\.[0-9])"
    # and what is written in hexadecimal: UUIDs, traces, addresses in memory, digests and tokens.
    r"|(?<![0-9A-Za-z])[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?![0-9A-Za-z])"
    r"|(?<![0-9A-Za-z])[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?![0-9A-Za-z])"
    r"|(?<![0-9A-Za-z])0x[0-9a-fA-F]{1,16}(?![0-9A-Za-z])"
    r"|(?<![0-9A-Za-z])(?=[0-9]*[a-f])[0-9a-f]{32,64}(?![0-9A-Za-z])"
    # All other digits, with their groups, where no date begins:
    rf"|(?P<number>\d+(?:{_BETWEEN}{{1,3}}(?!{_DATE})\d+)*)"
)
_MAY_HOLD_ONE = re.compile(rf"\d(?:{_BETWEEN}{{0,3}}\d){{{PHONE_DIGITS_MIN - 1}}}")
"""Found much sooner than what `_NUMBER` tells apart, and most lines of a log have none."""


def mask_phone(number: str) -> str:
    """The number with all but its last three digits hidden: `•••••••567`. Its length is kept, since it helps people to recognise it."""
    if len(number) <= SHOWN_DIGITS:
        return "•" * len(number)
    return "•" * (len(number) - SHOWN_DIGITS) + number[-SHOWN_DIGITS:]


def mask_text(text: str) -> str:
    """The text with all digits hidden that may be a phone number, but for its last three: five in a row, seven in groups, or more.

    What is ours and has many digits can still be read: workflow ids, offsets, times, addresses, and words in hexadecimal.
    """
    return text if _MAY_HOLD_ONE.search(text) is None else _NUMBER.sub(_shown, text)


def _shown(match: re.Match[str]) -> str:
    number: str | None = match["number"]
    if number is None:
        return match[0]
    groups = re.findall(r"\d+", number)
    count = sum(map(len, groups))
    if count < GROUPED_DIGITS_MIN and max(map(len, groups)) < PHONE_DIGITS_MIN:
        return number
    left = iter(range(count, 0, -1))
    return "".join("•" if each.isdecimal() and next(left) > SHOWN_DIGITS else each for each in number)


def phone_digits(number: str) -> str:
    """The number without a leading plus sign, as numbers are compared and hashed."""
    return number.removeprefix("+")


def keyed_hash(hash_key: bytes, data: bytes) -> str:
    """Lower-case hex of HMAC-SHA-256, by which a key or a number is found again by those who hold the hash key."""
    return hmac.new(hash_key, data, hashlib.sha256).hexdigest()


def account_hash(hash_key: bytes, number: str) -> str:
    """The keyed hash under which a number's records are found in Temporal, the same with and without a plus sign."""
    return keyed_hash(hash_key, phone_digits(number).encode())
