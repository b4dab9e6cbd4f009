"""Which names nobody may decide under: the words that the service itself writes where a person's name stands. Pure."""

from recharge.contract import CANCELLED_BY, INGESTER_PREFIX, THE_SERVICE
from recharge.outcome import ResolvedBy
from recharge.sending import LOOKUP_VERDICT

_RESERVED = frozenset(word.casefold() for word in (LOOKUP_VERDICT, *ResolvedBy, CANCELLED_BY, THE_SERVICE))
_INGESTER = INGESTER_PREFIX.strip().casefold()


def problem_of(by: str) -> str | None:
    """Why nobody may decide under this name; None where it may stand.

    A verdict by `lookup` counts as the provider's own word: it uses up the one 'not found' that may let a record be sent again, and the
    audit wants a look-up behind it. A pause by an ingester's name counts as the intake's own. The other words name nobody.
    """
    name = by.strip()
    word = name.casefold()
    if word not in _RESERVED and not word.startswith(_INGESTER):
        return None
    return f"{name!r} is a word of the service's own; give the name of whoever decides"
