"""What waits for certainty or for a person, as metrics and as log lines, before it is too late for it."""

import asyncio
from collections.abc import Sequence

import structlog
from prometheus_client import CollectorRegistry, Gauge, start_http_server

from activities.ledger import LedgerUnavailable, Trouble
from activities.ledger.trouble import RETRIED_OUTCOMES
from activities.ledger.waiting import WAITING_STATES, Waiting, WaitingRecords
from recharge import limits
from recharge.outcome import State
from recharge.settings import DuplicateProtection, HttpSettings, ProviderSettings

log = structlog.get_logger(__name__)

_TROUBLE_LOOKS = 2
"""Looks in a row that have to find records being retried before it is told: one 429 is no trouble."""

REGISTRY = CollectorRegistry()
_WAITING = Gauge("recharge_records_waiting", "Records in an open state that waits.", ["state"], registry=REGISTRY)
_OLDEST = Gauge(
    "recharge_records_waiting_oldest_seconds", "Age of the oldest record in that state.", ["state"], registry=REGISTRY
)
_DOUBT = Gauge(
    "recharge_oldest_doubt_seconds",
    "Age of the oldest attempt without an answer, since its opening.",
    registry=REGISTRY,
)
_PROVIDER = Gauge(
    "recharge_provider_retrying_records",
    "Records that the provider carries nothing out for, and that are tried again, by the outcome of their newest answered attempt.",
    ["outcome"],
    registry=REGISTRY,
)
_HORIZON = Gauge(
    "recharge_doubt_horizon_seconds",
    "Age at which the provider forgets: the key's life, or how long references can be looked up. Zero where it offers neither.",
    registry=REGISTRY,
)


class HttpProblem(Exception):
    """The address for metrics cannot be used. Its text is one line."""


def serve_metrics(settings: HttpSettings) -> None:
    """Serve the metrics where the settings say so.

    Raises HttpProblem where the address cannot be listened on.
    """
    if settings.address is not None:
        host, port = settings.address
        try:
            start_http_server(port, host, registry=REGISTRY)
        except OSError as error:
            raise HttpProblem(
                f"RECHARGE_HTTP__LISTEN={settings.listen} cannot be listened on: {error.strerror}"
            ) from error
        log.info("metrics are served", address=f"{host}:{port}")


def horizon_s(settings: ProviderSettings) -> float:
    """The age of a doubt at which only a person can resolve it any more; 0 where that is so from the beginning."""
    match settings.duplicate_protection:
        case DuplicateProtection.LOOKUP:
            return settings.lookup_forgets_after_s
        case DuplicateProtection.IDEMPOTENCY_KEY:
            return settings.key_lifetime_s
        case DuplicateProtection.NONE:
            return 0.0


class Alarms:
    """Looks at the ledger at a steady interval. A line is logged when something changes, and again while a horizon comes near."""

    def __init__(self, ledger: WaitingRecords, settings: ProviderSettings) -> None:
        self._ledger = ledger
        self._horizon_s = horizon_s(settings)
        self._told: dict[State, int] = {}
        self._looks_in_trouble = 0
        _HORIZON.set(self._horizon_s)

    async def run(self) -> None:
        """Look until cancelled. A ledger that is away is the workers' matter to tell."""
        while True:
            try:
                self._tell(await self._ledger.by_state(), await self._ledger.oldest_doubt_s())
                self._tell_provider(await self._ledger.provider_trouble())
            except LedgerUnavailable as error:
                log.debug("the ledger could not be looked at", error=str(error))
            await asyncio.sleep(limits.ALARM_INTERVAL_S)

    def _tell(self, waiting: dict[State, Waiting], doubt_s: float) -> None:
        for state in WAITING_STATES:
            now = waiting[state]
            _WAITING.labels(state).set(now.count)
            _OLDEST.labels(state).set(now.oldest_s)
            if state in {State.IN_DOUBT, State.HELD} and now.count != self._told.get(state, 0):
                log.warning("records wait for a decision", state=state, count=now.count, oldest_s=round(now.oldest_s))
            self._told[state] = now.count
        _DOUBT.set(doubt_s)
        if self._horizon_s and doubt_s > self._horizon_s * limits.HORIZON_ALARM_SHARE:
            log.error(
                "a doubt comes near the time after which the provider forgets it",
                oldest_s=round(doubt_s),
                horizon_s=round(self._horizon_s),
            )

    def _tell_provider(self, trouble: Sequence[Trouble]) -> None:
        """Say once that records are retried, and once that it is over."""
        for outcome in RETRIED_OUTCOMES:
            _PROVIDER.labels(outcome).set(sum(each.records for each in trouble if each.outcome is outcome))
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
