"""Worker deployments, as an operator moves them on."""

import asyncio
import sysconfig
from pathlib import Path

from devstack.processes import wait_until
from devstack.stack import Devstack

_TOO_EARLY = (b"no Worker Deployment found", b"is missing active task queues")
"""What Temporal says while it has not heard yet of a worker, or of each of its queues."""


async def make_current(stack: Devstack, name: str, build_id: str) -> None:
    """As an operator does it, by the very command that the log names, as soon as Temporal knows the worker."""
    arguments = ("--deployment-name", name, "--build-id", build_id, "--yes", "--address", stack.temporal.address)
    temporal = str(Path(sysconfig.get_path("scripts")) / "temporal")
    command = (temporal, "worker", "deployment", "set-current-version", *arguments)

    async def is_done() -> bool:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await asyncio.wait_for(process.communicate(), 60)
        is_too_early = any(told in output for told in _TOO_EARLY)
        assert is_too_early or process.returncode == 0, output.decode()
        return not is_too_early

    await wait_until(is_done, 60, f"build {build_id} of {name} is current", interval_s=0.2)
