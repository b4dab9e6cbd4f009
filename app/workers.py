"""The worker process's parts: ledger, provider, activities, and Temporal's worker over them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import structlog
from temporalio.client import Client
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.calls import CallsInFlight
from activities.hold import Hold
from activities.ledger import Ledger, LedgerUnavailable
from activities.ledger.waiting import WaitingRecords
from activities.look_up import LookUp
from activities.provider import Provider
from activities.recharge import Recharge
from activities.record_result import RecordResult
from app.alarms import Alarms, serve_metrics
from app.temporal import check_search_attributes
from recharge import limits
from recharge.sending import KeyRules
from recharge.settings import DuplicateProtection, HttpSettings, MySQLSettings, ProviderSettings, TemporalSettings
from workflows.recharge import RechargeWorkflow

log = structlog.get_logger(__name__)


async def wait_for_ledger(ledger: Ledger) -> None:
    """Check the ledger, waiting for a server that is not there yet.

    Raises LedgerUnfit or LedgerNotMigrated where waiting would not help.
    """
    delay_s = limits.START_RETRY_FIRST_S
    told = False
    while True:
        try:
            await ledger.check()
        except LedgerUnavailable as error:
            if not told:
                log.warning("waiting for the ledger", error=str(error))
                told = True
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, limits.START_RETRY_MAX_S)
        else:
            if told:
                log.info("the ledger is there", where=ledger.where)
            return


def key_rules(settings: ProviderSettings) -> KeyRules | None:
    """The provider's promise to ignore a repetition under the same key, where its profile makes one."""
    if settings.duplicate_protection is not DuplicateProtection.IDEMPOTENCY_KEY:
        return None
    return KeyRules(settings.key_lifetime_s, settings.timeout_s)


@asynccontextmanager
async def worker(
    client: Client, temporal: TemporalSettings, mysql: MySQLSettings, settings: ProviderSettings, http: HttpSettings
) -> AsyncIterator[Worker]:
    """A worker that runs while the body does. At the end it finishes its activities, and then every call that is still in flight."""
    ledger = Ledger(mysql.url.get_secret_value(), keys=key_rules(settings))
    provider = Provider(settings)
    calls = CallsInFlight()
    waiting = WaitingRecords(mysql.url.get_secret_value(), connections_max=1)
    try:
        await wait_for_ledger(ledger)
        await check_search_attributes(client)
        async with Worker(
            client,
            task_queue=temporal.task_queue,
            workflows=[RechargeWorkflow],
            activities=[
                Recharge(ledger, provider, calls, timeout_s=settings.timeout_s).recharge,
                LookUp(ledger, provider, settings).look_up,
                RecordResult(ledger).record_result,
                Hold(ledger).hold,
            ],
            workflow_runner=SandboxedWorkflowRunner(
                restrictions=SandboxRestrictions.default.with_passthrough_modules("recharge")
            ),
            sticky_queue_schedule_to_start_timeout=timedelta(seconds=limits.STICKY_TIMEOUT_S),
            max_cached_workflows=limits.WORKFLOWS_CACHED_MAX,
            max_concurrent_activities=limits.ACTIVITIES_IN_FLIGHT_MAX,
            max_heartbeat_throttle_interval=timedelta(seconds=limits.HEARTBEAT_INTERVAL_S),
            # The call and its closing always end by themselves; to cut them short would only make a doubt of them.
            graceful_shutdown_timeout=timedelta(seconds=settings.timeout_s + limits.ACTIVITY_SLACK_S),
        ) as running:
            serve_metrics(http)
            alarms = asyncio.create_task(Alarms(waiting, settings).run())
            log.info("worker is polling", task_queue=temporal.task_queue, ledger=ledger.where)
            yield running
            alarms.cancel()
        await calls.drained()
    finally:
        await provider.close()
        await waiting.close()
        await ledger.close()
