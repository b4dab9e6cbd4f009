"""The worker process's parts: ledger, provider, activities, and Temporal's worker over them."""

import asyncio
import re
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import structlog
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkflowRunner

from activities.await_answer import AwaitAnswer
from activities.calls import CallsInFlight
from activities.hold import Hold
from activities.ledger import Ledger, LedgerUnavailable
from activities.ledger.waiting import WaitingRecords
from activities.look_up import LookUp
from activities.provider import Provider
from activities.recharge import Recharge, nobody_waits
from activities.record_result import RecordResult
from app.alarms import Alarms
from app.deployment import Deployment
from app.environment import WorkerEnvironment
from app.health import Health
from app.observed import WORKER
from app.process import unless_stopped
from app.telling_runner import TellingRunner
from app.temporal import check_search_attributes
from app.tracing import TracingInterceptor
from app.worker_metrics import WorkerSource
from app.worker_watch import WorkerWatch
from ingest.beside import WorkerBeside
from recharge import limits, telemetry, tracing
from recharge.contract import calls_task_queue
from recharge.problem import Problem
from recharge.sending import KeyRules
from recharge.settings import DuplicateProtection, ProviderSettings
from workflows.recharge import RechargeWorkflow

log = structlog.get_logger(__name__)

_SAID_BY_TEMPORAL = re.compile(r'code: (?P<code>\w+), message: "(?P<message>[^"\\]*)"')


class WorkerEnded(Problem):
    """Temporal gives one of our workers no work any more, and does not for a reason that waiting would change. Its text is one line."""


async def wait_for_ledger(ledger: Ledger) -> None:
    """Check the ledger, waiting for a server that is not there yet.

    Raises LedgerUnfit or LedgerNotMigrated where waiting would not help.
    """
    delay_s = limits.START_RETRY_FIRST_S
    told = False
    while True:
        try:
            await ledger.check()
            await ledger.check_rights()
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
    client: Client,
    settings: WorkerEnvironment,
    stop: asyncio.Event,
    deployment: Deployment | None,
    health: Health,
    beside: WorkerBeside | None = None,
) -> AsyncIterator[None]:
    """A worker that runs while the body does, as one of a deployment's where there is one. `health` tells of it. `beside`
    hears of it where there is an intake in this process, on the same client.

    At the end, a failure included, it finishes its activities, and then every call that is still in flight.

    Raises:
        Stopped: `stop` was set while the ledger was waited for.
        WorkerEnded: Temporal refuses it.
    """
    url = settings.mysql.url.get_secret_value()
    ledger = Ledger(url, keys=key_rules(settings.provider))
    # One for the long looks, and one for the short question whether the ledger is there.
    waiting = WaitingRecords(url, connections_max=2)
    provider = Provider(settings.provider)
    calls = CallsInFlight()
    try:
        await unless_stopped(stop, wait_for_ledger(ledger))
        await check_search_attributes(client)
        workflows, sending = _temporal_workers(client, settings, deployment, ledger, provider, calls, beside=beside)
        async with sending, workflows:
            alarms = Alarms(waiting, settings.provider)
            watch = WorkerWatch(client, settings.temporal.task_queue, waiting)
            watching = [alarms.run()]
            if telemetry.is_on():
                watching.append(watch.run())
            if deployment is not None:
                watching.append(deployment.watch(client))
            async with _in_background(watching):
                health.add(WORKER, WorkerSource((workflows, sending), watch, calls, alarms))
                log.info("worker is polling", task_queue=settings.temporal.task_queue, ledger=ledger.where)
                yield
                health.remove(WORKER)
            await asyncio.gather(workflows.shutdown(), sending.shutdown())
    except RuntimeError as error:  # the SDK's word for a worker that failed
        said = _SAID_BY_TEMPORAL.search(str(error.__cause__))
        if said is None:
            raise
        raise WorkerEnded(
            f"Temporal gives the worker no work any more: {said['code']}: {said['message']} Is TEMPORAL_NAMESPACE "
            f"{client.namespace!r} still there, and may this process still use it?"
        ) from error
    finally:
        await calls.drained()
        await waiting.close()
        await ledger.close()


def _runner(client: Client, beside: WorkerBeside | None) -> WorkflowRunner:
    if beside is None:
        return UnsandboxedWorkflowRunner()
    return TellingRunner(beside.endings, client.data_converter.payload_converter)


@asynccontextmanager
async def _in_background(works: Iterable[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Let these run while the body does."""
    tasks = [asyncio.create_task(work) for work in works]
    for task in tasks:
        task.add_done_callback(_tell_failure)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _tell_failure(task: "asyncio.Task[None]") -> None:
    """Tell at once of what should have run on."""
    if not task.cancelled() and isinstance(error := task.exception(), Exception):
        log.error("what watches over the worker has failed", exc_info=error)


def _temporal_workers(  # noqa: PLR0913  # what they are made of
    client: Client,
    settings: WorkerEnvironment,
    deployment: Deployment | None,
    ledger: Ledger,
    provider: Provider,
    calls: CallsInFlight,
    *,
    beside: WorkerBeside | None,
) -> tuple[Worker, Worker]:
    """The worker of the workflows, and that of the calls, whose queue may have a rate to keep."""
    timeout_s, calls_per_s = settings.provider.timeout_s, settings.provider.calls_per_s
    recharge = Recharge(
        ledger,
        provider,
        calls,
        timeout_s=timeout_s,
        local_calls_max=limits.LOCAL_CALLS_MAX if calls_per_s is None else 0,
        has_begun=nobody_waits if beside is None else beside.beginnings.over,
    ).recharge
    # The call and its closing always end by themselves; to cut them short would only make a doubt of them.
    shutdown_timeout = timedelta(seconds=timeout_s + limits.ACTIVITY_SLACK_S)
    heartbeat_throttle = timedelta(seconds=limits.HEARTBEAT_THROTTLE_S)
    deployment_config = None if deployment is None else deployment.config()
    interceptors = [TracingInterceptor()] if tracing.is_on() else []
    workflows = Worker(
        client,
        task_queue=settings.temporal.task_queue,
        workflows=[RechargeWorkflow],
        activities=[
            recharge,  # the first attempt, which is a local activity
            AwaitAnswer(ledger, calls).await_answer,
            LookUp(ledger, provider, settings.provider).look_up,
            RecordResult(ledger).record_result,
            Hold(ledger).hold,
        ],
        interceptors=interceptors,
        deployment_config=deployment_config,
        # The sandbox loads the workflow's module anew for every record, a fifth of our work. It guards the tests instead,
        # where a forgotten import raises, and every recorded history is replayed.
        workflow_runner=_runner(client, beside),
        # A workflow's steps are carried out in the event loop's own thread, which is what this does outside a debugger. To hand each
        # to a thread and back takes a twelfth of all our work. A step that never ended would block the loop, and `/healthz` with it.
        debug_mode=True,
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=limits.STICKY_TIMEOUT_S),
        max_cached_workflows=limits.WORKFLOWS_CACHED_MAX,
        max_concurrent_workflow_tasks=limits.WORKFLOW_TASKS_IN_FLIGHT_MAX,
        max_concurrent_activities=limits.ACTIVITIES_IN_FLIGHT_MAX,
        max_concurrent_local_activities=limits.LOCAL_ACTIVITIES_IN_FLIGHT_MAX,
        max_heartbeat_throttle_interval=heartbeat_throttle,
        graceful_shutdown_timeout=shutdown_timeout,
    )
    sending = Worker(
        client,
        task_queue=calls_task_queue(settings.temporal.task_queue),
        activities=[recharge],
        interceptors=interceptors,
        deployment_config=deployment_config,
        max_concurrent_activities=limits.ACTIVITIES_IN_FLIGHT_MAX,
        max_task_queue_activities_per_second=calls_per_s,
        max_heartbeat_throttle_interval=heartbeat_throttle,
        graceful_shutdown_timeout=shutdown_timeout,
    )
    return workflows, sending
