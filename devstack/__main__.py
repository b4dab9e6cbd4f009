"""`python -m devstack`: the stack in ./.devstack until Ctrl-C."""

import asyncio
import signal
import sys
from pathlib import Path

from rich.console import Console

from devstack.errors import DevstackError
from devstack.stack import Devstack


async def _serve(console: Console) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - this coroutine is run by asyncio.run, which makes it a task
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        async with Devstack(Path(".devstack"), lambda message: console.print(message, highlight=False)) as stack:
            console.print(f"Temporal  {stack.temporal.address}  Web UI {stack.temporal.ui_url}")
            console.print(f"Kafka     {stack.kafka.bootstrap_servers}")
            console.print(f"MySQL     {stack.mysql.address}")
            console.print(f"Provider  {stack.simulator.url}  control {stack.simulator.control_url}")
            console.print("Ctrl-C ends it.")
            await stopped.wait()
    except asyncio.CancelledError:
        console.print("The stack is down.")


def main() -> int:
    """Run the stack; the exit status."""
    console = Console(soft_wrap=True)
    try:
        asyncio.run(_serve(console))
    except DevstackError as error:
        Console(stderr=True).print(f"devstack: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
