"""The safeguards that can be taken away, one at a time: the rule of each, the name that is replaced, and the tests that find the loss."""

import contextlib
import os
from typing import Final

from devstack.errors import DevstackError
from devstack.without.calling import CALLING
from devstack.without.deciding import DECIDING
from devstack.without.intake import INTAKE
from devstack.without.safeguard import Safeguard, taken_away
from devstack.without.sending import SENDING

SAFEGUARDS: Final = SENDING + CALLING + DECIDING + INTAKE

TOLD_BY: Final = "DEVSTACK_WITHOUT"
"""The variable by which a test tells its own child processes what to go without. The service itself does not know it."""


def by_name(name: str) -> Safeguard:
    """The safeguard of this name.

    Raises:
        DevstackError: there is none.
    """
    for safeguard in SAFEGUARDS:
        if safeguard.name == name:
            return safeguard
    raise DevstackError(f"there is no safeguard {name!r}; there are {', '.join(each.name for each in SAFEGUARDS)}.")


def taken_away_as_told() -> contextlib.AbstractContextManager[None]:
    """Take the safeguard away that a test's child process is told by its environment; nothing where it is told none."""
    name = os.environ.get(TOLD_BY)
    return contextlib.nullcontext() if name is None else taken_away(by_name(name))
