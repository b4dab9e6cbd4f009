"""What waits for certainty or for a person, as log lines and as metrics, before it is too late for it."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import structlog

from activities.ledger import LedgerError, Trouble
from activities.ledger.trouble import RETRIED_OUTCOMES
from activities.ledger.waiting import WAITING_STATES, Waiting, WaitingRecords
from recharge import instruments, limits
from recharge.outcome import State
from recharge.settings import DuplicateProtection, ProviderSettings
from recharge.telemetry import Reading

log = structlog.get_logger(__name__)

_TROUBLE_LOOKS = 2
"""Looks in a row that have to find records being retried before it is told: one 429 is no trouble."""


def horizon_s(settings: ProviderSettings) -> float:
    """The age of a doubt at which only a person can resolve it any more; 0 where that is so from the beginning."""
    match settings.duplicate_protection:
        case DuplicateProtection.LOOKUP:
            return settings.lookup_forgets_after_s
        case DuplicateProtection.IDEMPOTENCY_KEY:
            return settings.key_lifetime_s
        case DuplicateProtection.NONE:
            return 0.0


@dataclass(frozen=True, slots=True)
class _Look:
    """What one look at the ledger found, and when, by the monotonic clock."""

    at_s: float
    waiting: Mapping[State, Waiting]
    doubt_s: float
    trouble: Sequence[Trouble]


class Alarms:
    """Looks at the ledger at a steady interval. A line is logged when something changes, and again while a horizon comes near."""

    def __init__(self, ledger: WaitingRecords, settings: ProviderSettings) -> None:
        self._ledger = ledger
        self._horizon_s = horizon_s(settings)
        self._told: dict[State, int] = {}
        self._looks_in_trouble = 0
        self._last: _Look | None = None

    async def run(self) -> None:
        """Look until cancelled. A ledger that is away is the workers' matter to tell."""
        while True:
            try:
                await self.look()
                await self._count_final()
            except LedgerError as error:
                # Also where the ledger refuses us: that is mended some day, and the alarms have to be there then.
                log.debug("the ledger could not be looked at", error=str(error))
            await asyncio.sleep(limits.ALARM_INTERVAL_S)

    async def look(self) -> None:
        """Look once, and tell what is new.

        Raises LedgerError.
        """
        at_s = time.monotonic()
        look = _Look(
            at_s,
            await self._ledger.by_state(),
            await self._ledger.oldest_doubt_s(),
            await self._ledger.provider_trouble(),
        )
        self._last = look
        self._tell(look.waiting, look.doubt_s)
        self._tell_provider(look.trouble)

    def readings(self) -> Iterator[Reading]:
        """What waits, as the last look found it; nothing where that is too long ago to be believed."""
        yield Reading(instruments.DOUBT_HORIZON, self._horizon_s)
        last = self._last
        if last is None or time.monotonic() - last.at_s > limits.WAITING_LOOK_AGE_S_MAX:
            return
        for state, waiting in last.waiting.items():
            yield Reading(instruments.RECORDS_WAITING, waiting.count, (state,))
            yield Reading(instruments.RECORDS_WAITING_OLDEST, waiting.oldest_s, (state,))
        yield Reading(instruments.OLDEST_DOUBT, last.doubt_s)
        for outcome in RETRIED_OUTCOMES:
            records = sum(each.records for each in last.trouble if each.outcome is outcome)
            yield Reading(instruments.PROVIDER_RETRYING, records, (outcome,))

    async def _count_final(self) -> None:
        """Keep the total of final records near the present, so that `recharge status` need not count the whole ledger."""
        for _ in range(limits.FINAL_COUNT_STEPS_MAX):
            if not await self._ledger.count_final():
                return

    def _tell(self, waiting: Mapping[State, Waiting], doubt_s: float) -> None:
        for state in WAITING_STATES:
            now = waiting[state]
            if state in {State.IN_DOUBT, State.HELD} and now.count != self._told.get(state, 0):
                log.warning("records wait for a decision", state=state, count=now.count, oldest_s=round(now.oldest_s))
            self._told[state] = now.count
        if self._horizon_s and doubt_s > self._horizon_s * limits.HORIZON_ALARM_SHARE:
            log.error(
                "a doubt comes near the time after which the provider forgets it",
                oldest_s=round(doubt_s),
                horizon_s=round(self._horizon_s),
            )

    def _tell_provider(self, trouble: Sequence[Trouble]) -> None:
        """Say once that records are retried, and once that it is over."""
        if not trouble:
            if self._looks_in_trouble >= _TROUBLE_LOOKS:
                log.info("no record is retried any more")
            self._looks_in_trouble = 0
            return
        self._looks_in_trouble += 1
        if self._looks_in_trouble == _TROUBLE_LOOKS:
            log.warning(
                "the provider carries nothing out for these records; they are retried",
                records=sum(each.records for each in trouble),
                newest=trouble[0].newest,
                outcome=trouble[0].outcome,
            )
