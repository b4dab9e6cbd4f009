"""The provider's own business: what it charges, refuses or accepts for later, under its promise about repeated keys."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from devstack.simulator.book import Book, Standing
from devstack.simulator.events import EventKind, Status

_KIND_OF_FINAL = {Status.CHARGED: EventKind.CHARGED, Status.REFUSED: EventKind.REFUSED}


class NotPendingError(Exception):
    """A recharge was to be settled that is not pending; the message says how it stands."""


class Provider:
    """Carries out recharges. Each method returns only when what it did is on the disk.

    Where the mode `honour_keys` is on, a reference that has a standing keeps it and nothing is done again; otherwise
    every call is carried out, which is what makes a double sending visible.
    """

    def __init__(self, book: Book) -> None:
        self._book = book
        self._timers: set[asyncio.Task[None]] = set()

    def resume(self) -> None:
        """Go on with what was accepted before a restart and settles itself."""
        for standing in [standing for _, standing in self._book.pending.values()]:
            self._start_timer(standing)

    async def charge(self, reference: str, amount: str) -> Standing:
        """Carry out a charge."""
        return await self._move(EventKind.CHARGED, Status.CHARGED, reference, amount)

    async def refuse(self, reference: str, amount: str) -> Standing:
        """Refuse a recharge for good."""
        return await self._move(EventKind.REFUSED, Status.REFUSED, reference, amount)

    async def accept(self, reference: str, amount: str, after_s: float | None, final: Status) -> Standing:
        """Accept a recharge that becomes `final` after `after_s`, or when `settle` says so where that is None."""
        if after_s is None:
            return await self._move(EventKind.ACCEPTED, Status.PENDING, reference, amount)
        due_at = datetime.now(UTC) + timedelta(seconds=after_s)
        standing = await self._move(
            EventKind.ACCEPTED, Status.PENDING, reference, amount, due_at=due_at.isoformat(), final=final
        )
        self._start_timer(standing)
        return standing

    async def settle(self, reference: str, final: Status) -> None:
        """Bring a pending recharge to its end, once for each time it was accepted. Raises NotPendingError."""
        pending = [standing for ours, standing in self._book.pending.values() if ours == reference]
        if not pending:
            standing = self._book.standings.get(reference)
            how = "unknown" if standing is None else standing.status
            raise NotPendingError(f"the recharge {reference} is {how}, not pending")
        for standing in pending:
            self._end(reference, standing, final)
        await self._book.sync()

    def _end(self, reference: str, standing: Standing, final: Status) -> None:
        self._book.record(
            _KIND_OF_FINAL[final], reference, amount=standing.amount, provider_reference=standing.provider_reference
        )

    async def _move(
        self,
        kind: EventKind,
        status: Status,
        reference: str,
        amount: str,
        **detail: Any,  # noqa: ANN401 (JSON)
    ) -> Standing:
        known = self._book.standings.get(reference)
        if known is None or not self._book.honour_keys:
            provider_reference = self._book.new_provider_reference()
            event = self._book.record(kind, reference, amount=amount, provider_reference=provider_reference, **detail)
            known = Standing.of(event, status)
        # Also a standing found here may have been written by a call whose sync is still under way.
        await self._book.sync()
        return known

    def _start_timer(self, standing: Standing) -> None:
        timer = asyncio.create_task(self._settle_when_due(standing))
        self._timers.add(timer)
        timer.add_done_callback(self._timers.discard)

    async def _settle_when_due(self, standing: Standing) -> None:
        if standing.due_at is None or standing.final is None:
            return
        await asyncio.sleep(max(0.0, (standing.due_at - datetime.now(UTC)).total_seconds()))
        pending = self._book.pending.get(standing.provider_reference)
        if pending is not None:  # not settled by the control API in the meantime
            self._end(pending[0], standing, standing.final)
            await self._book.sync()
