"""The safeguards that can be taken away, one at a time: the rule of each, the name that is replaced, and the tests that find the loss."""

from typing import Final

from devstack.errors import DevstackError
from devstack.without.calling import CALLING
from devstack.without.intake import INTAKE
from devstack.without.safeguard import Safeguard
from devstack.without.sending import SENDING

SAFEGUARDS: Final = SENDING + CALLING + INTAKE


def by_name(name: str) -> Safeguard:
    """The safeguard of this name.

    Raises:
        DevstackError: there is none.
    """
    for safeguard in SAFEGUARDS:
        if safeguard.name == name:
            return safeguard
    raise DevstackError(f"there is no safeguard {name!r}; there are {', '.join(each.name for each in SAFEGUARDS)}.")
