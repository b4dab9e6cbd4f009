"""What the provider saw and did, as events, and the views of them that tests and the demo ask for.

Everything the simulator knows is a fold over its events, so that a restart knows what the process before it knew.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Self


class EventKind(StrEnum):
    """The kinds of events."""

    POST_RECEIVED = "post_received"
    POST_ANSWERED = "post_answered"
    LOOKUP_RECEIVED = "lookup_received"
    LOOKUP_ANSWERED = "lookup_answered"
    CHARGED = "charged"
    REFUSED = "refused"
    ACCEPTED = "accepted"
    CONNECTION_CLOSED = "connection_closed"
    CONNECTION_RESET = "connection_reset"
    CONNECTION_FAULT = "connection_fault"
    CLIENT_KILLED = "client_killed"
    CLIENT_FROZEN = "client_frozen"
    CLIENT_THAWED = "client_thawed"
    CLIENT_NOT_FOUND = "client_not_found"
    RULES_SET = "rules_set"
    MODES_SET = "modes_set"


class Status(StrEnum):
    """What the provider says of a recharge."""

    CHARGED = "charged"
    REFUSED = "refused"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. Numbers start at 1 and rise by one, also over restarts; the reference may be empty."""

    number: int
    at: datetime
    kind: EventKind
    reference: str
    detail: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """The event as the journal and the control API write it."""
        return {
            "number": self.number,
            "at": self.at.isoformat(timespec="microseconds"),
            "kind": self.kind,
            "reference": self.reference,
            "detail": self.detail,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The event that `as_json` wrote. Raises KeyError, TypeError or ValueError where it is another thing."""
        return cls(
            number=int(value["number"]),
            at=datetime.fromisoformat(value["at"]),
            kind=EventKind(value["kind"]),
            reference=str(value["reference"]),
            detail=dict(value["detail"]),
        )


@dataclass(frozen=True, slots=True)
class Post:
    """A POST that reached the provider, the `number`-th of its reference; `body` is the text that was sent."""

    reference: str
    number: int
    at: datetime
    behaviour: str
    body: str
    traceparent: str | None

    @classmethod
    def of(cls, event: Event) -> Self:
        """The view of a POST_RECEIVED event."""
        detail = event.detail
        return cls(
            reference=event.reference,
            number=int(detail["number"]),
            at=event.at,
            behaviour=str(detail["behaviour"]),
            body=str(detail["body"]),
            traceparent=detail["traceparent"],
        )


@dataclass(frozen=True, slots=True)
class Lookup:
    """A look-up that reached the provider, the `number`-th of its reference."""

    reference: str
    number: int
    at: datetime
    behaviour: str

    @classmethod
    def of(cls, event: Event) -> Self:
        """The view of a LOOKUP_RECEIVED event."""
        return cls(event.reference, int(event.detail["number"]), event.at, str(event.detail["behaviour"]))


@dataclass(frozen=True, slots=True)
class Charge:
    """A charge that was carried out. `amount_text` is the amount as it stood in the JSON, character by character."""

    reference: str
    provider_reference: str
    amount: Decimal
    amount_text: str
    status: Status
    charged_at: datetime

    @classmethod
    def of(cls, event: Event) -> Self:
        """The view of a CHARGED event."""
        amount_text = str(event.detail["amount"])
        return cls(
            reference=event.reference,
            provider_reference=str(event.detail["provider_reference"]),
            amount=Decimal(amount_text),
            amount_text=amount_text,
            status=Status.CHARGED,
            charged_at=event.at,
        )
