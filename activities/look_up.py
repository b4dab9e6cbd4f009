"""How a record that waits for certainty finds it: a late answer or a decision in the ledger, or the provider's look-up."""

from datetime import datetime, timedelta

import structlog
from temporalio import activity

from activities.failures import backoff_s, from_ledger, not_answered
from activities.heartbeats import heartbeats
from activities.ledger import Ledger, LedgerError, LookupFacts
from activities.provider import Provider
from recharge import instruments, limits, telemetry, tracing
from recharge.contract import LOOK_UP_ACTIVITY, Finding, LookUpTask, RecordInput
from recharge.late_evidence import NotFoundRules
from recharge.outcome import FINAL_STATES, State
from recharge.settings import DuplicateProtection, ProviderSettings

log = structlog.get_logger(__name__)


class LookUp:
    """The activity that a record in doubt or pending waits in. It fails for as long as nothing is known, and Temporal runs it again."""

    def __init__(self, ledger: Ledger, provider: Provider, settings: ProviderSettings) -> None:
        self._ledger = ledger
        self._provider = provider
        self._settings = settings
        self._rules = NotFoundRules(settings.processing_time_s, settings.lookup_forgets_after_s)

    @activity.defn(name=LOOK_UP_ACTIVITY)
    async def look_up(self, task: LookUpTask) -> Finding:
        """Find out how the newest attempt ended: read the ledger, and ask the provider when it is time to."""
        try:
            async with heartbeats():
                if task.once:
                    return (await self._ledger.lookup_facts(task.record)).finding
                finding, due_in_s = await self._find_out(task.record)
        except LedgerError as error:
            raise from_ledger(error) from error
        if finding.state in FINAL_STATES or finding.state is State.SENDING:
            log.info("certainty", workflow_id=task.record.workflow_id, state=finding.state, said=finding.said)
            return finding
        poll_s = backoff_s(
            activity.info().attempt, first_s=limits.LEDGER_POLL_FIRST_S, coefficient=2.0, max_s=limits.LEDGER_POLL_S_MAX
        )
        raise not_answered(finding.said, poll_s if due_in_s is None else max(min(poll_s, due_in_s), _SHORTEST_WAIT_S))

    async def _find_out(self, record: RecordInput) -> tuple[Finding, float | None]:
        """The finding, and in how many seconds the provider is to be asked (None: not at all)."""
        facts = await self._ledger.lookup_facts(record)
        due_at = self._due_at(facts)
        if due_at is None:
            return facts.finding, None
        if due_at > facts.now or facts.attempt is None:
            return facts.finding, (due_at - facts.now).total_seconds()
        with tracing.span("GET look-up", tracing.Kind.CLIENT) as span:
            reading = await self._provider.look_up(record.workflow_id)
            span.note("recharge.lookup", reading.answer)
        telemetry.count(instruments.LOOKUPS, reading.answer)
        log.info(
            "provider looked up",
            workflow_id=record.workflow_id,
            answer=reading.answer,
            status=reading.status,
            said=reading.said,
        )
        finding = await self._ledger.apply_lookup(record, facts.attempt, reading, asked_at=facts.now, rules=self._rules)
        return finding, self._interval_s(facts.asked + 1)

    def _due_at(self, facts: LookupFacts) -> datetime | None:
        """When the provider is to be asked next, by MySQL's clock; None where it is not asked, or not any more."""
        if facts.attempt is None or not self._asks_about(facts.finding.state):
            return None
        if facts.now >= facts.attempt.opened_at + timedelta(seconds=self._settings.lookup_forgets_after_s):
            return None
        if facts.answered_at is not None:
            return facts.answered_at + timedelta(seconds=self._interval_s(facts.asked))
        since = facts.attempt.closed_at or facts.attempt.opened_at
        return since + timedelta(seconds=self._settings.lookup_first_after_s)

    def _asks_about(self, state: State) -> bool:
        """A doubt is looked up where the profile promises that this is safe; a pending recharge wherever it can be asked for."""
        if state is State.PENDING:
            return self._settings.lookup_url is not None
        return state is State.IN_DOUBT and self._settings.duplicate_protection is DuplicateProtection.LOOKUP

    def _interval_s(self, asked: int) -> float:
        first_s = max(self._settings.lookup_first_after_s, limits.LEDGER_POLL_FIRST_S)
        return backoff_s(
            asked,
            first_s=first_s,
            coefficient=limits.LOOKUP_COEFFICIENT,
            max_s=max(first_s, limits.LOOKUP_INTERVAL_S_MAX),
        )


_SHORTEST_WAIT_S = 0.1
"""A look-up that is due in a moment is not waited for in smaller steps than this."""
