"""A person's decisions in the ledger: what was decided, by whom and why; what was refused; and the verdict that follows.

A decision is written here before anything else hears of it, so it stands without a worker. It never changes a record's state.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import RowMapping, insert, select

from activities.ledger.connection import LedgerConnection
from activities.ledger.engine import LedgerEngine
from activities.ledger.lookups import judge_attempt
from activities.ledger.reading import AttemptRow, read_attempts, read_decided
from activities.ledger.rows import NOW, cut, cut_reason, read_now
from activities.ledger.tables import operator_actions, recharges
from recharge import limits
from recharge.outcome import FINAL_STATES, Action, Outcome, State, Verdict
from recharge.sending import Decided

_VERDICTS = {Action.CHARGED: Verdict.CHARGED, Action.NOT_CHARGED: Verdict.NOT_CHARGED}


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person wants to be decided about one record."""

    workflow_id: str
    action: Action
    by: str
    note: str
    provider_reference: str | None = None
    is_closed: bool = False
    """Its workflow was terminated or has failed, so nothing is done for it unless a person decides."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What became of a wish. `refused_because` is None where the decision stands."""

    workflow_id: str
    state: State | None
    refused_because: str | None = None
    standing: Decided | None = None
    """The decision that stands instead, where the wish was refused because of it or because the record is final."""
    is_answered: bool = False
    """The provider has answered for good, so the record becomes final without anybody's decision."""
    replaced: Decided | None = None
    """The decision that had not had its effect yet, and has none now, since the record was put on hold after it."""


REDRIVE = "redrive"
"""The action of a person who produced a record anew. It decides nothing about the record itself, so it is no `Action`."""

REOPEN = "reopen"
"""`not_charged`, about a record that was not begun: there is no attempt to judge and nobody has seen an obstacle that it could
release. So it decides nothing and is no `Action`; it says who had the workflow opened again."""


class _BegunMeanwhile(Exception):
    """The record that was not begun has a row now, and is decided about by that."""


async def insert_action(
    connection: LedgerConnection,
    wish: Wish,
    *,
    word: str | None = None,
    refused_because: str | None = None,
    token: str | None = None,
) -> None:
    """Add one row about what a person decided, or was refused, under the action's own word or another one.

    By its token it is recognised where the reply to a COMMIT was lost.
    """
    await connection.execute(
        insert(operator_actions).values(
            workflow_id=wish.workflow_id,
            action=word or wish.action,
            decided_by=cut(wish.by, limits.NAME_CHARS_MAX),
            note=cut_reason(wish.note),
            provider_reference=cut(wish.provider_reference, limits.REFERENCE_CHARS_MAX),
            decided_at=NOW,
            refused_because=cut_reason(refused_because),
            token=token,
        )
    )


class Decisions(LedgerEngine):
    """The ledger, as the commands of a person write to it."""

    async def record_redrive(self, workflow_id: str, *, by: str, note: str) -> None:
        """Write down that a person produces this record anew, before it is produced."""

        async def work(connection: LedgerConnection) -> None:
            await connection.execute(
                insert(operator_actions).values(
                    workflow_id=workflow_id,
                    action=REDRIVE,
                    decided_by=cut(by, limits.NAME_CHARS_MAX),
                    note=cut_reason(note),
                    decided_at=NOW,
                )
            )

        await self.transact(work)

    async def decide(self, wish: Wish, *, processing_time_s: float) -> Ruling:
        """Write the decision down, or refuse it with the reason; a refusal is a row of its own.

        `processing_time_s` is the longest that the provider may go on with a request after we stopped waiting for it.
        """
        token = secrets.token_hex(16)

        async def work(connection: LedgerConnection) -> Ruling:
            row = await _locked(connection, wish.workflow_id)
            if row is None:
                return await _decide_before_it_began(connection, wish, token)
            state = State(row["state"])
            mine = await _own_row(connection, wish.workflow_id, token)
            if mine is not None:
                return Ruling(wish.workflow_id, state, mine["refused_because"])
            rows = await read_attempts(connection, wish.workflow_id)
            decided = await read_decided(connection, wish.workflow_id)
            now = await read_now(connection)
            refused = _refusal(wish, row, rows, decided, now, processing_time_s)
            await insert_action(connection, wish, refused_because=refused, token=token)
            if refused is None:
                await _judge(connection, wish, rows)
            unused = unused_decision(decided, rows, state)
            return Ruling(
                wish.workflow_id,
                state,
                refused,
                standing=None if refused is None else decided if state in FINAL_STATES else unused,
                is_answered=_answer(rows) is not None,
                replaced=unused if refused is None else None,
            )

        try:
            return await self.transact(work)
        except _BegunMeanwhile:
            return await self.transact(work)  # Rows of records are never deleted, so this time there is one.


async def _locked(connection: LedgerConnection, workflow_id: str) -> RowMapping | None:
    query = select(recharges.c.state).where(recharges.c.workflow_id == workflow_id).with_for_update()
    return (await connection.execute(query)).mappings().one_or_none()


async def _decide_before_it_began(connection: LedgerConnection, wish: Wish, token: str) -> Ruling:
    """Decide about a record that has no row to lock, since its workflow ended before a worker took it.

    The decision is written first and the row looked for once more afterwards, by a locking read; opening an attempt does both
    the other way round. So of a decision and an attempt at the same time at least one sees the other.
    """
    if not wish.is_closed:
        return Ruling(wish.workflow_id, None, "the ledger has no such record; it may not have been started yet")
    mine = await _own_row(connection, wish.workflow_id, token)
    if mine is not None:
        return Ruling(wish.workflow_id, None, mine["refused_because"])
    decided = await read_decided(connection, wish.workflow_id)
    refused = _told(unused_decision(decided, [], State.SENDING))
    if wish.action is Action.HOLD:
        refused = "its workflow ended before anything was sent, so nothing is sent; to go on, use: recharge resolve"
    word = REOPEN if wish.action is Action.NOT_CHARGED else None
    await insert_action(connection, wish, word=word, refused_because=refused, token=token)
    if await _locked(connection, wish.workflow_id) is not None:
        raise _BegunMeanwhile
    return Ruling(wish.workflow_id, None, refused, decided if refused is not None else None)


async def _own_row(connection: LedgerConnection, workflow_id: str, token: str) -> RowMapping | None:
    """The row that an earlier try of the same transaction wrote, where only the reply to its COMMIT was lost."""
    query = select(operator_actions).where(
        operator_actions.c.workflow_id == workflow_id, operator_actions.c.token == token
    )
    return (await connection.execute(query)).mappings().one_or_none()


async def _judge(connection: LedgerConnection, wish: Wish, rows: list[AttemptRow]) -> None:
    """Pass the verdict on the attempts that wait. They share one reference, so one word speaks of all of them."""
    if wish.action is Action.HOLD:
        return
    verdict = _VERDICTS.get(wish.action)
    for row in rows:
        if row.facts.waits:
            await judge_attempt(connection, wish.workflow_id, row, verdict, wish.by, wish.provider_reference)


def _refusal(
    wish: Wish,
    row: RowMapping,
    rows: list[AttemptRow],
    decided: Decided | None,
    now: datetime,
    processing_time_s: float,
) -> str | None:
    state = State(row["state"])
    if state in FINAL_STATES:
        return f"it is final already: {state}"
    if wish.action is Action.HOLD:
        on_hold = decided is not None and decided.holds_it
        return "it is on hold already" if on_hold else outranks_a_hold(decided)
    answer = _answer(rows)
    if answer is not None:
        return f"the provider has answered meanwhile: {answer}; its workflow makes it final by that"
    return (
        _told(unused_decision(decided, rows, state))
        or _not_waiting(state, is_closed=wish.is_closed)
        or _too_early(wish, rows, now, processing_time_s)
    )


def outranks_a_hold(decided: Decided | None) -> str | None:
    """Why nobody puts a record on hold that a decision makes final: nothing is sent for it anyway, and the decision stands."""
    return _told(decided if decided is not None and decided.ends_it else None)


def _told(unused: Decided | None) -> str | None:
    """Why nobody may decide anew; None where no decision stands in the way."""
    return None if unused is None else f"it was decided already: {unused.action}, by {unused.by}: {unused.note}"


def _answer(rows: list[AttemptRow]) -> Outcome | None:
    """A word of the provider's that decides the record by itself, whatever a person thinks of it."""
    if any(row.facts.was_charged_by_the_provider for row in rows):
        return Outcome.CHARGED
    return next((row.facts.outcome for row in rows if row.facts.outcome is Outcome.REFUSED), None)


def unused_decision(decided: Decided | None, rows: list[AttemptRow], state: State) -> Decided | None:
    """The newest decision, where it has not had its effect yet and is no hold. Another one does not overrule it."""
    if decided is None or decided.holds_it:
        return None
    judged = bool(rows) and rows[-1].facts.verdict is Verdict.NOT_CHARGED
    unused = judged or (state is State.HELD and not any(attempt.facts.waits for attempt in rows))
    return decided if decided.ends_it or unused else None


def instead_of(unused: Decided | None) -> str:
    """What is told of a hold that takes the place of a decision; nothing where there is none."""
    if unused is None:
        return ""
    return f"; it stands instead of {unused.action} by {unused.by}, which had not taken effect: {unused.note}"


def _not_waiting(state: State, *, is_closed: bool) -> str | None:
    if state in {State.IN_DOUBT, State.PENDING, State.HELD} or is_closed:
        return None
    return f"it is {state} and does not wait for a person; to stop it first, use: recharge hold"


def _too_early(wish: Wish, rows: list[AttemptRow], now: datetime, processing_time_s: float) -> str | None:
    """An attempt whose call may still be on its way is not judged, nor is one called not charged while the provider may be at it."""
    waiting = [row for row in rows if row.facts.waits]
    # Under a key a later attempt may be closed while an earlier one is still open.
    times = [row.deadline_at + timedelta(seconds=limits.DEADLINE_GRACE_S) for row in waiting if row.closed_at is None]
    if wish.action is Action.NOT_CHARGED:
        grace = timedelta(seconds=limits.DEADLINE_GRACE_S + processing_time_s)
        times = [row.deadline_at + grace for row in waiting]
    earliest = max(times, default=now)
    if now >= earliest:
        return None
    wait_s = (earliest - now).total_seconds()
    return f"the last request may still be worked on; this will be taken from {earliest:%Y-%m-%d %H:%M:%S} UTC on, in {wait_s:.0f} s"
