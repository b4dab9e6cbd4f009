"""`recharge dev`: the whole local stack with an intake and a worker, until Ctrl-C."""

import asyncio
import shutil
import sys
from pathlib import Path

from rich.console import Console

from app.local import local_stack
from app.supervisor import Supervisor, Told
from devstack.processes import ManagedProcess
from devstack.site import Site
from devstack.stack import Devstack


async def run(folder: Path, stop: asyncio.Event) -> None:
    """Keep everything up until `stop` is set. A worker or an intake that died is told and started again."""
    console = Console()
    async with local_stack(folder, lambda text: console.print(f"[dim]{text}[/dim]", highlight=False)) as (stack, site):
        supervisors = [Supervisor(site, command, _died(console), _started(console)) for command in ("worker", "ingest")]
        console.print("\n[bold]recharge dev[/bold]")
        console.print(_addresses(stack, site), soft_wrap=True, highlight=False)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(supervisor.run()) for supervisor in supervisors]
            await stop.wait()
            for task in tasks:
                task.cancel()
    console.print("stopped; the data stays in", str(folder), highlight=False)


def _addresses(stack: Devstack, site: Site) -> str:
    """What a person needs, a line each, never wrapped, so that it can be copied."""
    rows = {
        "Temporal Web UI": f"{stack.temporal.ui_url}/namespaces/{stack.temporal.namespace}/workflows",
        "Temporal": stack.temporal.address,
        "Kafka (SASL_SSL)": f"{stack.kafka.bootstrap_servers}, topic {site.topic}",
        "MySQL (TLS)": stack.mysql.address,
        "provider simulator": stack.simulator.url,
        "three records at once": f"curl -X POST {stack.simulator.control_url}/dummyProducerCrash",
        "records of yours": f"RECHARGE_ENV_FILE={site.folder}/producer.env {_program()} produce FILE",
        "a command of yours": f"RECHARGE_ENV_FILE={site.environment_file} {_program()} COMMAND",
        "logs": f"{site.folder}/*.log",
    }
    return "\n".join(f"  {name:<22}{value}" for name, value in rows.items())


def _program() -> str:
    """How this very program is called from the shell: by its whole path where the shell would not find it, or would find another one."""
    here = Path(sys.executable).with_name("recharge")
    return "recharge" if shutil.which("recharge") == str(here) else str(here)


def _started(console: Console) -> Told:
    return lambda command, process: console.print(
        f"{command} runs, process {process.pid}, log {process.log_file}", soft_wrap=True, highlight=False
    )


def _died(console: Console) -> Told:
    def told(command: str, process: ManagedProcess) -> None:
        status = process.returncode
        how = f"was killed by signal {-status}" if status is not None and status < 0 else f"ended with status {status}"
        console.print(
            f"[bold red]{command} {how}[/bold red] (process {process.pid}); a new one is started",
            soft_wrap=True,
            highlight=False,
        )

    return told
