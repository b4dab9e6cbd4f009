"""What a profile's functions are given and return: a call and its request, an HTTP answer, and what either means."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from recharge.outcome import LookupAnswer, Outcome


class RecordUnfitError(Exception):
    """A record that this provider can never be sent as it stands. Raised by a profile's `request`; the text says why, without a value."""


@dataclass(frozen=True, slots=True)
class Call:
    """One sending of a recharge: what is sent, and until when (seconds of CLOCK_BOOTTIME) a byte of it may leave.

    `after_unknown` says that an earlier attempt of the same recharge may have been carried out.
    """

    reference: str
    body: bytes = field(repr=False)
    traceparent: str | None
    deadline_boottime_s: float
    after_unknown: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """How one sending ended. `said` is one line for people, with long numbers masked."""

    outcome: Outcome
    said: str
    status: int | None = None
    reason: str | None = None
    provider_reference: str | None = None
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class LookupReading:
    """What the provider said when it was asked about a reference. `said` is one line for people."""

    answer: LookupAnswer
    said: str
    status: int | None = None
    provider_reference: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request as the profile wants it. Headers (a secret) and body (telephone numbers) are never printed."""

    method: str
    url: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Received:
    """An HTTP answer that arrived whole. The names of the headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
