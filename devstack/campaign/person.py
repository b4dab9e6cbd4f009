"""The operator of a campaign: holds and pauses as the plan says, and decides what waits for a person by the provider's own book."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pymysql

from devstack.campaign.plan import PROCESSING_TIME_S
from devstack.campaign.timeline import Timeline
from devstack.errors import WaitTimeoutError
from devstack.simulator.client import EventKind, SimulatorError
from devstack.site import Site
from devstack.stack import Devstack

_BY: Final = ("--by", "campaign")
_COMMAND_TIMEOUT_S: Final = 90.0
_LOOK_S: Final = 1.0
_AGAIN_AFTER_S: Final = 6.0
"""A decision that was refused, or did not get through, is given again."""
_LOOKUP_PATIENCE_S: Final = 10.0
"""Where the provider can be asked, a person leaves it to the service for so long."""
_SKIPPED_ONE_IN: Final = 4
_NOT_ANSWERING: Final = (pymysql.err.Error, SimulatorError, TimeoutError, OSError)
"""What the operator meets while a server is down; it looks again a moment later."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A record that a person may have to decide about."""

    workflow_id: str
    state: str
    attempts: int
    offset: int


class Book:
    """The provider's truth about our references: a fold over what it did."""

    def __init__(self, stack: Devstack, prefix: str) -> None:
        self._client = stack.simulator.client
        self._prefix = prefix
        self._seen = 0
        self._pending: dict[str, set[str]] = {}
        self.charged: set[str] = set()

    async def read_on(self) -> None:
        """Take in what happened since the last time.

        Raises:
            SimulatorError: the provider does not answer.
        """
        for event in await self._client.events(since=self._seen):
            self._seen = event.number
            if not event.reference.startswith(self._prefix):
                continue
            ours = self._pending.setdefault(event.reference, set())
            if event.kind is EventKind.ACCEPTED:
                ours.add(event.detail["provider_reference"])
            elif event.kind in {EventKind.CHARGED, EventKind.REFUSED}:
                ours.discard(event.detail["provider_reference"])
            if event.kind is EventKind.CHARGED:
                self.charged.add(event.reference)

    def is_pending(self, reference: str) -> bool:
        """Whether the provider has not made up its mind yet."""
        return bool(self._pending.get(reference))


class Operator:
    """A person with the command line, who stands outside of all wires."""

    def __init__(self, stack: Devstack, site: Site, timeline: Timeline, *, can_look_up: bool) -> None:
        self._stack = stack
        self._site = site
        self._timeline = timeline
        self._patience_s = _LOOKUP_PATIENCE_S if can_look_up else 0.0
        self._book = Book(stack, f"{site.source}:{site.topic}:")
        self._told_s: dict[str, float] = {}
        self._skipped: set[str] = set()

    async def decide_what_waits(self) -> None:
        """Answer every doubt, until this is cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                # First what waits, then the book: nothing of what waits can be carried out any more after that.
                waiting = await self._waiting()
                if waiting:
                    await self._book.read_on()
            except _NOT_ANSWERING:
                continue
            await self._decide(waiting)

    async def hold(self, partition: int, share: float) -> None:
        """Hold one of the records of a partition that are not final, if there is one."""
        try:
            rows = await self._stack.mysql.execute(
                f"SELECT workflow_id FROM {self._database}.recharges "  # noqa: S608  # the stack's own names
                "WHERE partition_id = %s AND final_at IS NULL ORDER BY record_offset",
                [partition],
            )
        except _NOT_ANSWERING as error:
            self._timeline.note("not done", command="hold", why=str(error))
            return
        if rows:
            (workflow_id,) = rows[int(share * len(rows))]
            await self._command("hold", workflow_id, *_BY, "--note", "the plan says so")

    async def pause(self) -> None:
        """Pause the intake."""
        await self._command("pause", *_BY, "--note", "the plan says so")

    async def resume(self) -> bool:
        """Let the intake go on; whether it does."""
        return await self._command("resume", *_BY, "--note", "the plan says so", or_said="is not paused") == 0

    @property
    def _database(self) -> str:
        return self._site.names.database

    async def _waiting(self) -> list[_Waiting]:
        """What waits, and has no call under way that could still be carried out."""
        rows = await self._stack.mysql.execute(
            "SELECT r.workflow_id, r.state, COUNT(a.id), r.record_offset "  # noqa: S608  # the stack's own names
            f"FROM {self._database}.recharges r LEFT JOIN {self._database}.recharge_attempts a "
            "ON a.workflow_id = r.workflow_id WHERE r.state IN ('in_doubt', 'pending', 'held') "
            "GROUP BY r.id HAVING MAX(r.updated_at) < UTC_TIMESTAMP(6) - INTERVAL %s SECOND AND "
            "COALESCE(MAX(a.deadline_at), '2000-01-01') < UTC_TIMESTAMP(6) - INTERVAL %s SECOND ORDER BY r.id",
            [self._patience_s, PROCESSING_TIME_S + 2.0],
        )
        return [_Waiting(*row) for row in rows]

    async def _decide(self, waiting: Sequence[_Waiting]) -> None:
        now_s = time.monotonic()
        by_verdict: dict[str, list[str]] = {}
        for each in waiting:
            told_s = self._told_s.get(each.workflow_id, float("-inf"))
            if now_s - told_s > _AGAIN_AFTER_S and (verdict := self._verdict(each)) is not None:
                self._told_s[each.workflow_id] = now_s
                by_verdict.setdefault(verdict, []).append(each.workflow_id)
        await asyncio.gather(
            *(
                self._command("resolve", *ids, verdict, *_BY, "--note", "the provider's book says so")
                for verdict, ids in by_verdict.items()
            )
        )

    def _verdict(self, each: _Waiting) -> str | None:
        """What the provider's book says; None while the provider itself does not know."""
        if each.workflow_id in self._book.charged:
            return "--charged"
        if self._book.is_pending(each.workflow_id):
            return None
        # What was never sent may also be left alone for good.
        if each.workflow_id in self._skipped or (not each.attempts and each.offset % _SKIPPED_ONE_IN == 0):
            self._skipped.add(each.workflow_id)
            return "--skip"
        return "--not-charged"

    async def _command(self, *arguments: str, or_said: str | None = None) -> int | None:
        """Run one command as a person does; its exit status, or None where it does not end.

        A command that ended because of what it says in `or_said` counts as done.
        """
        process = self._site.spawn(*arguments)
        try:
            status = await process.wait(_COMMAND_TIMEOUT_S)
        except WaitTimeoutError:
            await process.kill_and_wait()
            self._timeline.note("operator", command=" ".join(arguments), status="did not end")
            return None
        if or_said is not None and or_said in process.tail():
            status = 0
        self._timeline.note("operator", command=" ".join(arguments), status=status)
        return status
