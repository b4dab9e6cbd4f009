"""How what the ledger holds is written for people and scripts: times, amounts, and texts that came from outside."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from recharge.privacy import mask_phone

_CENTS = Decimal("0.01")
_MINUTE_S = 60
_HOUR_S = 3600
_DAY_S = 86_400


def time(moment: datetime | None) -> str | None:
    """A time of MySQL's in ISO 8601, in UTC."""
    return None if moment is None else moment.isoformat(timespec="microseconds") + "Z"


def amount(value: Decimal | None) -> str | None:
    """The amount with two decimals, or with as many as it has."""
    if value is None:
        return None
    cents = value.quantize(_CENTS)
    return f"{cents:f}" if cents == value else f"{value.normalize():f}"


def age(seconds: float) -> str:
    """A time span in its two largest units, such as `2 h 5 min`."""
    whole = max(0, int(seconds))
    if whole < _MINUTE_S:
        return f"{whole} s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S} s"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S} min"
    return f"{whole // _DAY_S} d {whole % _DAY_S // _HOUR_S} h"


@dataclass(frozen=True, slots=True)
class Discretion:
    """What may be shown of customers' numbers.

    Args:
        mask: hides what may be a number inside a text.
        reveal: show everything as it is.
    """

    mask: Callable[[str], str]
    reveal: bool = False

    def text(self, value: str | None) -> str | None:
        """A text of the provider's, a producer's or a person's."""
        return value if value is None or self.reveal else self.mask(value)

    def phone(self, number: str | None) -> str | None:
        """A phone number."""
        return number if number is None or self.reveal else mask_phone(number)

    def raw(self, value: bytes | None) -> str | None:
        """Bytes of the record, which are shown only where everything is."""
        return value.decode(errors="backslashreplace") if value is not None and self.reveal else None


Json = Mapping[str, "Json"] | Sequence["Json"] | str | int | float | bool | None
"""What `--json` writes."""
