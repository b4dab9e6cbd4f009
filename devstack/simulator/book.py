"""What the provider knows: the fold over the journal's events."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from devstack.simulator.events import Charge, Event, EventKind, Lookup, Post, Status
from devstack.simulator.faults import DEFAULT_LOOKUP, DEFAULT_POST, RequestKind, Rule
from devstack.simulator.journal import Journal


@dataclass(frozen=True, slots=True)
class Standing:
    """How a recharge stands at the provider; a pending one that settles itself becomes `final` at `due_at`."""

    status: Status
    provider_reference: str
    amount: str
    at: datetime
    due_at: datetime | None = None
    final: Status | None = None

    @classmethod
    def of(cls, event: Event, status: Status) -> Self:
        """The standing after an event that moved it."""
        due_at = event.detail.get("due_at")
        final = event.detail.get("final")
        return cls(
            status=status,
            provider_reference=str(event.detail["provider_reference"]),
            amount=str(event.detail["amount"]),
            at=event.at,
            due_at=None if due_at is None else datetime.fromisoformat(due_at),
            final=None if final is None else Status(final),
        )


_STATUS_AFTER = {
    EventKind.CHARGED: Status.CHARGED,
    EventKind.REFUSED: Status.REFUSED,
    EventKind.ACCEPTED: Status.PENDING,
}


class Book:
    """All events, written to the journal before they count, and what follows from them.

    Events stay in memory for as long as the process lives: they are what the tests and the demo ask for.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.events: list[Event] = []
        self.posts: list[Post] = []
        self.lookups: list[Lookup] = []
        self.charges: list[Charge] = []
        self.standings: dict[str, Standing] = {}
        self.pending: dict[str, tuple[str, Standing]] = {}  # by provider reference: our reference, standing
        self.honour_keys = False
        self._rules: list[Rule] = []
        self._rule_uses: Counter[int] = Counter()
        self._request_counts: Counter[tuple[RequestKind, str]] = Counter()
        self._first_bodies: dict[str, str] = {}
        self._provider_reference_count = 0
        self._news = asyncio.Event()
        for event in journal.load():
            self._fold(event)

    def record(self, kind: EventKind, reference: str, **detail: Any) -> Event:  # noqa: ANN401 (JSON)
        """Write an event, then let it count. Raises OSError where the journal does not take it."""
        event = Event(len(self.events) + 1, datetime.now(UTC), kind, reference, detail)
        self._journal.append(event)
        self._fold(event)
        self._news.set()
        self._news = asyncio.Event()
        return event

    async def sync(self) -> None:
        """Wait until all that was recorded is on the disk."""
        await self._journal.sync()

    async def wait_for_news(self) -> None:
        """Wait for the next event; a caller looks first and waits then, without an await in between."""
        await self._news.wait()

    def next_number(self, kind: RequestKind, reference: str) -> int:
        """The number that the reference's next request of this kind will bear."""
        return self._request_counts[kind, reference] + 1

    def new_provider_reference(self) -> str:
        """A provider reference that was never given out."""
        self._provider_reference_count += 1
        return f"P-{self._provider_reference_count:06d}"

    def first_body(self, reference: str) -> str | None:
        """The body of the first readable POST of this reference."""
        return self._first_bodies.get(reference)

    def choose(self, kind: RequestKind, reference: str) -> tuple[str, int | None]:
        """The behaviour that the rules ask of the reference's next request, and the position of the rule that asks."""
        number = self.next_number(kind, reference)
        for position, rule in enumerate(self._rules):
            has_uses_left = rule.count is None or self._rule_uses[position] < rule.count
            if has_uses_left and rule.matches(kind, reference, number):
                return rule.behaviour, position
        return (DEFAULT_POST if kind is RequestKind.POST else DEFAULT_LOOKUP), None

    def _fold(self, event: Event) -> None:
        self.events.append(event)
        match event.kind:
            case EventKind.POST_RECEIVED:
                self.posts.append(Post.of(event))
                self._count(RequestKind.POST, event)
                if event.detail["readable"]:
                    self._first_bodies.setdefault(event.reference, event.detail["body"])
            case EventKind.LOOKUP_RECEIVED:
                self.lookups.append(Lookup.of(event))
                self._count(RequestKind.LOOKUP, event)
            case EventKind.CHARGED | EventKind.REFUSED | EventKind.ACCEPTED:
                self._move(event)
            case EventKind.RULES_SET:
                self._rules = [Rule.from_json(rule) for rule in event.detail["rules"]]
                self._rule_uses.clear()
            case EventKind.MODES_SET:
                self.honour_keys = bool(event.detail["honour_keys"])
            case _:
                pass  # The other kinds are told to those who ask, and change nothing.

    def _count(self, kind: RequestKind, event: Event) -> None:
        self._request_counts[kind, event.reference] += 1
        if event.detail["rule"] is not None:
            self._rule_uses[event.detail["rule"]] += 1

    def _move(self, event: Event) -> None:
        status = _STATUS_AFTER[event.kind]
        if status is Status.CHARGED:
            self.charges.append(Charge.of(event))
        given_out = int(event.detail["provider_reference"].removeprefix("P-"))
        self._provider_reference_count = max(self._provider_reference_count, given_out)
        standing = Standing.of(event, status)
        if status is Status.PENDING:
            self.pending[standing.provider_reference] = (event.reference, standing)
        else:
            self.pending.pop(standing.provider_reference, None)
        known = self.standings.get(event.reference)
        # A charge that was carried out stays the truth about its reference, whatever a repeat ended with.
        if known is None or known.status is not Status.CHARGED:
            self.standings[event.reference] = standing
