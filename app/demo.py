"""`recharge demo`: three records on the real servers, an error and a killed worker in their way, and each carried out once."""

import asyncio
import contextlib
import json
import tempfile
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from app.demo_verdict import Evidence, gather, is_met, show
from app.local import LocalProblem, local_stack
from app.supervisor import Supervisor
from app.timeline import Timeline
from devstack.processes import ManagedProcess
from devstack.simulator.seed import seed_records
from devstack.site import Site
from devstack.stack import Devstack

_DEADLINE_S = 60.0
_POLL_S = 0.2
_AUDIT_TIMEOUT_S = 60.0


async def run(folder: Path | None, *, keep: bool = False) -> int:
    """Play the demo and return its exit status: 0 where every record was carried out once, in order, and committed."""
    console = Console(highlight=False)
    async with AsyncExitStack() as cleanup:
        if folder is None:
            folder = Path(
                cleanup.enter_context(tempfile.TemporaryDirectory(prefix="recharge-demo-", ignore_cleanup_errors=True))
            )
        console.print(
            "[bold]recharge demo[/bold]: three records in one partition; the second meets an error and a crash.\n"
        )
        stack, site = await cleanup.enter_async_context(
            local_stack(folder, lambda text: console.print(f"[dim]  {text}[/dim]"))
        )
        timeline = Timeline(console, stack.simulator.client)
        timeline.follow_logs(lambda: (process.log_file for process in site.processes))
        running = await cleanup.enter_async_context(_running(_supervisors(site, timeline)))
        workflow_ids = await _produce(stack, site, timeline)
        link = f"{stack.temporal.ui_url}/namespaces/{stack.temporal.namespace}/workflows/{workflow_ids[1]}"
        console.print(f"[dim]  the second record in Temporal's Web UI: {link}[/dim]\n", soft_wrap=True)
        async with _in_background(timeline):
            evidence = await _unless_failed(running, _until_final(stack, site, workflow_ids))
        audit_passed = await _audit(stack, site, console)
        show(console, evidence)
        if keep:
            console.print(f"\nTemporal's Web UI, until Ctrl-C: {link}", soft_wrap=True)
            await asyncio.Event().wait()
    console.print("`recharge demo --keep` leaves the Web UI up; `make dev` keeps the whole stack.", style="dim")
    return 0 if audit_passed and is_met(evidence) else 1


def _supervisors(site: Site, timeline: Timeline) -> list[Supervisor]:
    """Worker and intake, each started again when it dies."""

    def started(command: str, process: ManagedProcess) -> None:
        timeline.tell("demo", f"{command} runs as process {process.pid}")

    def died(command: str, process: ManagedProcess) -> None:
        timeline.tell("demo", f"{command} {process.pid} has died; a new one is started")

    return [Supervisor(site, command, died, started) for command in ("worker", "ingest")]


@asynccontextmanager
async def _running(supervisors: list[Supervisor]) -> AsyncIterator[asyncio.Task[None]]:
    """Keep the processes up while the body runs. The task ends only where one of them does not come up at all."""

    async def all_of_them() -> None:
        async with asyncio.TaskGroup() as group:
            for supervisor in supervisors:
                group.create_task(supervisor.run())

    task = asyncio.create_task(all_of_them())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def _in_background(timeline: Timeline) -> AsyncIterator[None]:
    task = asyncio.create_task(timeline.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _produce(stack: Devstack, site: Site, timeline: Timeline) -> list[str]:
    """Send the three records and return their workflow ids."""
    records = seed_records()
    first = (await stack.kafka.end_offsets(site.topic))[0]
    await stack.kafka.produce(site.topic, [(b"demo", json.dumps(record).encode(), 0, []) for record in records])
    workflow_ids = [f"{site.source}:{site.topic}:0:{first + number}" for number in range(len(records))]
    for number, workflow_id in enumerate(workflow_ids, start=1):
        timeline.name(workflow_id, f"record {number}")
        timeline.tell("kafka", f"record produced, offset {first + number - 1}", workflow_id)
    return workflow_ids


async def _audit(stack: Devstack, site: Site, console: Console) -> bool:
    """Let `recharge audit` compare everything with the provider's statement, and show what it says; whether every promise was kept."""
    audit = site.spawn("audit", "--statement", f"{stack.simulator.client.statement_url}?prefix={site.source}:")
    status = await audit.wait(_AUDIT_TIMEOUT_S)
    console.print("\n[bold]recharge audit[/bold]")
    console.print(audit.tail(), markup=False, soft_wrap=True)
    return status == 0


async def _until_final(stack: Devstack, site: Site, workflow_ids: list[str]) -> Evidence:
    """Wait until everything is committed, or until the demo's time is over, and return what is there."""
    loop = asyncio.get_running_loop()
    ends_s = loop.time() + _DEADLINE_S
    while True:
        evidence = await gather(stack, site, workflow_ids)
        if is_met(evidence) or loop.time() > ends_s:
            return evidence
        await asyncio.sleep(_POLL_S)


async def _unless_failed(running: asyncio.Task[None], work: Coroutine[Any, Any, Evidence]) -> Evidence:
    """The evidence, or LocalProblem where a process does not come up: nothing would ever be final then."""
    task = asyncio.create_task(work)
    await asyncio.wait({task, running}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        return task.result()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    problems = running.exception()
    text = str(problems.exceptions[0]) if isinstance(problems, BaseExceptionGroup) else str(problems)
    raise LocalProblem(text)
