"""Which release this is, and how servers learn it: a process of ours begins the name that it gives itself with `recharge@VERSION`."""

import re
from importlib.metadata import version

_NAMED = re.compile(r"recharge@(?P<release>\S+)")


def release() -> str:
    """The version of this release."""
    return version("recharge")


def name() -> str:
    """What a process of this release calls itself."""
    return f"recharge@{release()}"


def release_of(named: str) -> str | None:
    """The release of whoever calls itself so; None where it does not say."""
    found = _NAMED.match(named)
    return None if found is None else found["release"]
