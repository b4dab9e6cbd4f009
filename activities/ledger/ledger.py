"""The ledger's operations: open an attempt, close it, ask what is known, judge by a look-up, and write the final state.

Each runs in one transaction that locks the record's row first, and each may be repeated: it recognises its own rows.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from activities.ledger import lookups as lookup_rows
from activities.ledger.closing import close
from activities.ledger.connection import LedgerConnection
from activities.ledger.decisions import Wish, insert_action, instead_of, outranks_a_hold, unused_decision
from activities.ledger.engine import LedgerEngine
from activities.ledger.errors import LedgerContradiction
from activities.ledger.obstacles import claim
from activities.ledger.opening import facts_of_new, insert_attempt, own_opening
from activities.ledger.reading import AttemptRow, read_facts, read_known
from activities.ledger.rows import cut_reason, insert_row, move, new_row, read_now
from activities.ledger.states import finalise, follow, hold, known_of, record_invalid
from activities.ledger.usual import Opened, answer_usually, leads_to, open_usually
from activities.profile import Answer, LookupReading
from recharge import limits
from recharge.contract import Finding, RechargeResult, RecordInput
from recharge.late_evidence import NotFoundRules, decided_before
from recharge.outcome import FINAL_STATES, Action, LookupAnswer, Outcome, ResolvedBy, State, Verdict
from recharge.sending import Facts, KeyRules, judge

log = structlog.get_logger(__name__)

_NEVER_LEFT = Answer(Outcome.NOT_SENT, "not sent: the ledger went away while the attempt was opened")


@dataclass(frozen=True, slots=True)
class LookupFacts:
    """What is known about a record that waits for certainty, and when the provider was last asked. Times are MySQL's."""

    finding: Finding
    now: datetime
    attempt: AttemptRow | None
    asked: int
    answered_at: datetime | None


class Ledger(LedgerEngine):
    """One process's view of the ledger. All methods raise `LedgerError`s and nothing else.

    `keys` are the provider's promise to ignore a repetition under the same idempotency key, where it makes one.
    """

    def __init__(
        self, url: str, *, keys: KeyRules | None = None, connections_max: int = limits.LEDGER_CONNECTIONS_MAX
    ) -> None:
        super().__init__(url, connections_max=connections_max)
        self._keys = keys

    async def open_attempt(self, record: RecordInput, token: str, *, timeout_s: float) -> Opened | Finding:
        """Write down the intention to send, or tell why nothing may be sent.

        `token` is random and names this opening: where the reply to a COMMIT was lost, the repeated transaction finds its
        own row by it. The caller takes its own reading of the clock before calling, so that its deadline never lies after
        the row's `deadline_at`.

        Raises FingerprintMismatch where the position belongs to another record.
        """
        opened = await self.transact_usual(lambda c: open_usually(c, record, token, timeout_s))
        if opened is not None:
            return opened

        async def work(connection: LedgerConnection) -> Opened | Finding:
            if await insert_row(connection, new_row(record, State.SENDING)):
                facts = await facts_of_new(connection, record)
                finding = judge(facts, self._keys)
                if finding.state is State.SENDING:
                    return await insert_attempt(connection, record, token, timeout_s, ())
                await follow(connection, record, facts, finding)
                return finding
            known = await known_of(connection, record)
            rows = known.attempts
            if (own := own_opening(rows, token)) is not None:
                return own
            facts = await read_facts(connection, record, known, owner_of=claim)
            finding = judge(facts, self._keys)
            if finding.state is State.SENDING:
                await move(connection, record, State.SENDING)
                return await insert_attempt(connection, record, token, timeout_s, rows)
            await follow(connection, record, facts, finding)
            return finding

        return await self.transact(work)

    async def close_attempt(self, record: RecordInput, token: str, answer: Answer) -> Finding:
        """Write down what came of an attempt, also when the answer comes late, and tell where that leads.

        An answer to a record's first attempt that ends the record makes it final in the same transaction, where nothing else was
        decided meanwhile; in all other cases that is left to `record_result`.

        An answer whose attempt was given up meanwhile makes the record final by itself where nothing else has been decided;
        else it is kept beside the decision, and where it contradicts that, it is an alarm.
        """
        ending = leads_to(answer)
        if ending is not None:
            finding = await self.transact_usual(lambda c: answer_usually(c, record, token, answer, ending))
            if finding is not None:
                return finding

        async def work(connection: LedgerConnection) -> Finding:
            known = await known_of(connection, record)
            row, rows = known.row, known.attempts
            mine = next((attempt for attempt in rows if attempt.token == token), None)
            if mine is None:
                raise LedgerContradiction(
                    f"{record.workflow_id}: the attempt that was just sent is not in the ledger; rows of the ledger are never deleted"
                )
            state = State(row["state"])
            # A repetition under the same key is the same recharge, so an answer to the first speaks of it as well.
            repeated = self._keys is not None and mine.facts.verdict is not Verdict.NOT_CHARGED
            later = rows[-1].facts.number > mine.facts.number and not repeated
            action = None if known.decided is None else known.decided.action
            before = decided_before(answer.outcome, state, verdict=mine.facts.verdict, action=action)
            closed = await close(connection, record, mine, answer, before, later_attempt=later)
            attempts = [closed if attempt is mine else attempt.facts for attempt in rows]
            # Whether a key lives is asked about the attempts that wait, of which this one may not be one.
            now = await read_now(connection) if any(attempt.waits for attempt in attempts) else None
            facts = Facts(
                state,
                attempts,
                now=now,
                reason=row["reason"],
                provider_reference=row["provider_reference"],
                status=row["status"],
                resolved_by=row["resolved_by"] and ResolvedBy(row["resolved_by"]),
            )
            finding = _not_without_a_pause(judge(facts, self._keys))
            await follow(connection, record, facts, finding)
            if finding.state is State.RETRYING:
                finding = replace(finding, said=answer.said, status=answer.status)
            return replace(finding, retry_after_s=answer.retry_after_s)

        return await self.transact(work)

    async def close_unsent(self, record: RecordInput, tokens: Collection[str]) -> list[int]:
        """Close those of these openings that stand as `not_sent`, and return their numbers. The caller knows that no call left for them.

        An opening that does not stand now never will: its transaction holds the lock of the record's row until it is committed or gone.
        Where the record is final by another attempt, that these did nothing is no news, and no alarm.
        """

        async def work(connection: LedgerConnection) -> list[AttemptRow]:
            known = await read_known(connection, record)
            if known is None:
                return []
            others = [attempt.facts for attempt in known.attempts if attempt.token not in tokens]
            if State(known.row["state"]) in FINAL_STATES and not all(attempt.did_nothing for attempt in others):
                return []
            return [attempt for attempt in known.attempts if attempt.token in tokens]

        standing = await self.transact(work)
        for attempt in standing:
            await self.close_attempt(record, attempt.token, _NEVER_LEFT)
        return [attempt.facts.number for attempt in standing]

    async def lookup_facts(self, record: RecordInput) -> LookupFacts:
        """What is known now: has an answer come late, has a person decided, and when was the provider last asked?"""

        async def work(connection: LedgerConnection) -> LookupFacts:
            known = await read_known(connection, record)
            if known is None:
                # Asked before anything was sent, by a cancellation that came first.
                finding, now = Finding(State.SENDING, "nothing was sent so far"), await read_now(connection)
                return LookupFacts(finding, now, None, 0, None)
            rows = known.attempts
            facts = await read_facts(connection, record, known)
            finding = judge(facts, self._keys)
            if finding.state is State.HELD:
                await hold(connection, record, facts, finding)
            asked, answered_at = await lookup_rows.history(
                connection, record.workflow_id, rows[-1].facts.number if rows else 0
            )
            now = facts.now or await read_now(connection)
            return LookupFacts(finding, now, rows[-1] if rows else None, asked, answered_at)

        return await self.transact(work)

    async def ended_call(self, record: RecordInput) -> Finding | None:
        """What the call of the newest attempt came to; None while it may still be under way in some worker.

        An attempt that is open when its deadline has passed, by MySQL's clock, is what its worker left behind.
        """

        async def work(connection: LedgerConnection) -> Finding | None:
            known = await read_known(connection, record)
            if known is None:
                return Finding(State.RETRYING, "nothing was sent so far")
            facts = await read_facts(connection, record, known)
            newest = known.attempts[-1] if known.attempts else None
            if newest is not None and newest.closed_at is None and facts.state not in FINAL_STATES:
                now = facts.now or await read_now(connection)
                if now < newest.deadline_at + timedelta(seconds=limits.DEADLINE_GRACE_S):
                    return None
            finding = _not_without_a_pause(judge(facts, self._keys))
            await follow(connection, record, facts, finding)
            return finding

        return await self.transact(work)

    async def apply_lookup(
        self,
        record: RecordInput,
        attempt: AttemptRow,
        reading: LookupReading,
        *,
        asked_at: datetime,
        rules: NotFoundRules,
    ) -> Finding:
        """Write down one question and its answer, pass the verdict that follows from it, and tell where that leads."""

        async def work(connection: LedgerConnection) -> Finding:
            known = await known_of(connection, record)
            rows = known.attempts
            acknowledged = await lookup_rows.acknowledged(connection, record.workflow_id, rows)
            await lookup_rows.insert_lookup(connection, record.workflow_id, attempt.facts.number, reading, asked_at)
            if reading.answer is LookupAnswer.CHARGED:
                await lookup_rows.take_charge(connection, record, attempt, known, reading)
                known = await known_of(connection, record)
            elif State(known.row["state"]) not in FINAL_STATES and lookup_rows.is_newest(attempt, rows):
                counts = not acknowledged and lookup_rows.counts(rows, rules, asked_at)
                await lookup_rows.pass_verdict(connection, record.workflow_id, rows, reading.answer, counts=counts)
                known = await known_of(connection, record)
            return judge(await read_facts(connection, record, known), self._keys)

        return await self.transact(work)

    async def hold(self, record: RecordInput, *, by: str, note: str) -> None:
        """Write down that nothing more is sent until a person decides.

        Nothing happens to a record that is final or on hold already, nor to one that a person's decision makes final: nothing is
        sent for it anyway.
        """

        async def work(connection: LedgerConnection) -> None:
            await insert_row(connection, new_row(record, State.HELD))
            known = await known_of(connection, record)
            state, decided = State(known.row["state"]), known.decided
            if state in FINAL_STATES or outranks_a_hold(decided) is not None:
                return
            if decided is None or not decided.holds_it:
                why = f"{note}{instead_of(unused_decision(decided, known.attempts, state))}"
                await insert_action(connection, Wish(record.workflow_id, Action.HOLD, by, why))
            if state is not State.HELD:
                await move(connection, record, State.HELD, reason=cut_reason(f"on hold by {by}: {note}"))

        await self.transact(work)

    async def record_result(self, record: RecordInput, finding: Finding) -> RechargeResult:
        """Make the record final. The ledger judges by its own rows; `finding` only tells an `invalid` record from the others.

        Raises LedgerContradiction where the rows do not bear out a final state.
        """

        async def work(connection: LedgerConnection) -> RechargeResult:
            if finding.state is State.INVALID:
                return await record_invalid(connection, record, finding)
            known = await known_of(connection, record)
            judged = judge(await read_facts(connection, record, known), self._keys)
            if judged.state not in FINAL_STATES:
                raise LedgerContradiction(
                    f"{record.workflow_id}: asked to record {finding.state}, but the ledger says: {judged.said}"
                )
            if State(known.row["state"]) not in FINAL_STATES:
                await finalise(connection, record, judged)
            return judged.result(record.fingerprint)

        return await self.transact(work)


def _not_without_a_pause(finding: Finding) -> Finding:
    """Where nothing was carried out, or the provider ignores a repetition, the record is sent again, but not at once."""
    return replace(finding, state=State.RETRYING) if finding.state is State.SENDING else finding
