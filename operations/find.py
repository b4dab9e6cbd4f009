"""`recharge find`: the query by which Temporal finds the records of a customer, or the record at a position.

Temporal holds a keyed hash of each number and not the number, so only those who hold the key can make the query.
"""

import re

from recharge import contract, limits
from recharge.privacy import account_hash

_NUMBER = re.compile(rf"\+?[0-9]{{{limits.PHONE_DIGITS_MIN},{limits.PHONE_DIGITS_MAX}}}")
_GROUPING = re.compile(r"[\s-]")
_TOPIC = re.compile(rf"[A-Za-z0-9._-]{{1,{limits.TOPIC_CHARS_MAX}}}")


class FindProblem(Exception):
    """What was given names nothing that can be found. Its text is one line, and never holds the number."""


def by_phone(number: str, hash_key: bytes) -> str:
    """The query for the records whose donor or receiver has this number, with or without a plus sign, and with blanks and hyphens in it.

    Raises FindProblem where it is no number.
    """
    plain = _GROUPING.sub("", number)
    if not _NUMBER.fullmatch(plain):
        raise FindProblem(
            f"this is no phone number: {limits.PHONE_DIGITS_MIN} to {limits.PHONE_DIGITS_MAX} digits were expected, "
            "and a + may stand before them, as in the records"
        )
    return f"{contract.ACCOUNTS.name} = '{account_hash(hash_key, plain)}'"


def by_position(partition: int, offset: int, topic: str | None) -> str:
    """The query for the record at a partition and offset, of one topic or of every one.

    Raises FindProblem where the topic's name cannot be one.
    """
    query = f"{contract.PARTITION.name} = {partition} AND {contract.OFFSET.name} = {offset}"
    if topic is None:
        return query
    if not _TOPIC.fullmatch(topic):
        raise FindProblem(
            f"{topic!r} is no name of a topic: letters, digits, dots, hyphens and underscores were expected"
        )
    return f"{contract.TOPIC.name} = '{topic}' AND {query}"
