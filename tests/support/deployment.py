"""Worker deployments, as an operator moves them on."""

import asyncio
import sysconfig
from pathlib import Path

from devstack.stack import Devstack


async def make_current(stack: Devstack, name: str, build_id: str) -> None:
    """As an operator does it, by the very command that the log names."""
    arguments = ("--deployment-name", name, "--build-id", build_id, "--yes", "--address", stack.temporal.address)
    temporal = str(Path(sysconfig.get_path("scripts")) / "temporal")
    command = (temporal, "worker", "deployment", "set-current-version", *arguments)
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, output.decode()
