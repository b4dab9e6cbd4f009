"""Keeps processes of ours running on the local stack: one that died is told and started again."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from devstack.processes import ManagedProcess
from devstack.site import Site

Told = Callable[[str, ManagedProcess], None]

_RESTART_DELAY_S = 0.3
_FAILED_STARTS_MAX = 3
_STARTED_S = 5.0
"""A process that lived this long had started; one that ends sooner, again and again, is not restarted for ever."""


class FailedToStart(Exception):
    """A process ended again and again right after its start. Its text has the end of its log."""


@dataclass
class Supervisor:
    """One command of ours on a site, restarted when it dies. `current` is the running process."""

    site: Site
    command: str
    on_died: Told
    on_started: Told
    current: ManagedProcess | None = None

    async def run(self) -> None:
        """Keep it running until cancelled, then end it gracefully.

        Raises FailedToStart where it does not come up.
        """
        failed_starts = 0
        try:
            while True:
                started_s = asyncio.get_running_loop().time()
                self.current = self.site.spawn(self.command)
                self.on_started(self.command, self.current)
                await self.current.wait()
                self.on_died(self.command, self.current)
                lived_s = asyncio.get_running_loop().time() - started_s
                failed_starts = 0 if lived_s > _STARTED_S else failed_starts + 1
                if failed_starts >= _FAILED_STARTS_MAX:
                    raise FailedToStart(
                        f"recharge {self.command} does not come up; the end of its log:\n{self.current.tail(5)}"
                    )
                await asyncio.sleep(_RESTART_DELAY_S)
        finally:
            if self.current is not None and self.current.returncode is None:
                await self.current.terminate()
