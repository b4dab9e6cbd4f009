"""What can be measured of the service: one table of instruments, and how a process counts. Pure: `app.exposition` shows it to Prometheus.

Counters and histograms are fed where something happens, by `count` and `observe`, which cost one call of a function that does nothing
unless a process binds its meters by `bind`. Gauges are read when somebody asks: `Reading`s of the state that the parts keep anyway, so
that what is gone (a partition that was given away) is gone from the metrics too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Kind(StrEnum):
    """What an instrument is, as Prometheus names it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Of(StrEnum):
    """Who shows an instrument. `recharge run` is both."""

    ANY = "any"
    INTAKE = "intake"
    WORKER = "worker"


@dataclass(frozen=True, slots=True)
class Instrument:
    """One thing that is measured. Its name ends in its unit, by Prometheus's conventions; `buckets` are upper bounds of a histogram.

    `values` are those of the only label of a counter or a histogram. Each is shown from the start, as 0: Prometheus sees no rise in a
    series that begins at 1, so the first failure of a process would raise no alert.
    """

    name: str
    kind: Kind
    of: Of
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """What a gauge says at this moment, with the values of its labels in their order."""

    instrument: Instrument
    value: float
    labels: tuple[str, ...] = ()


class Meters(Protocol):
    """Takes in what is counted."""

    def count(self, instrument: Instrument, labels: Sequence[str]) -> None:
        """One more."""

    def observe(self, instrument: Instrument, value: float, labels: Sequence[str]) -> None:
        """One value of a histogram, in the unit that its name ends in."""


class _NoMeters:
    def count(self, instrument: Instrument, labels: Sequence[str]) -> None:
        """Nothing is measured."""

    def observe(self, instrument: Instrument, value: float, labels: Sequence[str]) -> None:
        """Nothing is measured."""


_meters: Meters = _NoMeters()


def bind(meters: Meters | None) -> None:
    """Count there from now on in this process; None: nowhere."""
    global _meters  # noqa: PLW0603  # as with traces, there is one for the whole process
    _meters = meters or _NoMeters()


def is_on() -> bool:
    """Whether anybody reads what is measured here. What has to be asked for only to be told is left out else."""
    return not isinstance(_meters, _NoMeters)


def count(instrument: Instrument, *labels: str) -> None:
    """One more, with the values of the instrument's labels in their order. Never a phone number, nor an id of a record."""
    _meters.count(instrument, labels)


def observe(instrument: Instrument, value: float, *labels: str) -> None:
    """One value of a histogram, in the unit that its name ends in."""
    _meters.observe(instrument, value, labels)
