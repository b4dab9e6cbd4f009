"""What a safeguard is, and how one is taken away from the process at hand. The product knows nothing of it."""

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from devstack.errors import DevstackError

Weakening = Callable[[Any], Any]
"""Takes what stands under the dotted name (a function, a property, a statement), and returns what stands there without the safeguard."""

_PACKAGES: Final = frozenset({"recharge", "activities", "workflows", "ingest", "operations", "app", "tests"})
"""Whose modules may have imported the name."""


@dataclass(frozen=True, slots=True)
class Safeguard:
    """One safeguard of the product.

    `target` is the dotted name of the one thing that is replaced. `found_by` are the tests that find the loss, by their ids for pytest;
    of a test with parameters one case has to fail.
    """

    name: str
    rule: str
    """The rule that it keeps, in a few words."""
    without: str
    """What the service does without it."""
    target: str
    weaken: Weakening
    found_by: tuple[str, ...] = ()
    is_quick: bool = False
    """Its tests need no server and take a second or two."""
    runs_max: int = 1
    """How often its tests are run at most until one of them fails: more than once where the loss shows in a race."""


def quick(name: str, rule: str, without: str, target: str, weaken: Weakening, *found_by: str) -> Safeguard:
    """A row whose tests need no server."""
    return Safeguard(name, rule, without, target, weaken, found_by, is_quick=True)


def slow(
    name: str, rule: str, without: str, target: str, weaken: Weakening, *found_by: str, runs_max: int = 1
) -> Safeguard:
    """A row whose tests run on real servers."""
    return Safeguard(name, rule, without, target, weaken, found_by, runs_max=runs_max)


def replaced(safeguard: Safeguard) -> tuple[Any, str, Any]:
    """What holds the name, the last part of the name, and what stands there.

    Raises:
        DevstackError: the product has nothing of this name any more.
    """
    parts = safeguard.target.split(".")
    for count in range(len(parts) - 1, 0, -1):
        try:
            holder: Any = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        try:
            for part in parts[count:-1]:
                holder = vars(holder)[part]
            return holder, parts[-1], vars(holder)[parts[-1]]
        except KeyError:
            break
    raise DevstackError(
        f"{safeguard.target}, the safeguard {safeguard.name!r}, is not in the product any more: mend the table of safeguards."
    )


@contextlib.contextmanager
def taken_away(safeguard: Safeguard) -> Iterator[None]:
    """Replace the safeguard in this process, wherever its name was imported, and put it back in the end.

    Raises:
        DevstackError: the product has nothing of this name any more.
    """
    holder, name, original = replaced(safeguard)
    weakened = safeguard.weaken(original)
    places = [(holder, name)]
    if isinstance(holder, ModuleType):
        places += _imported(original, but_not=holder)
    for place, as_name in places:
        setattr(place, as_name, weakened)
    try:
        yield
    finally:
        for place, as_name in places:
            setattr(place, as_name, original)


def _imported(original: object, *, but_not: ModuleType) -> list[tuple[Any, str]]:
    """Every module that has the name from another one, and as what."""
    ours = [module for name, module in sys.modules.items() if name.partition(".")[0] in _PACKAGES]
    return [
        (module, name)
        for module in ours
        if module is not but_not
        for name, value in vars(module).items()
        if value is original
    ]
