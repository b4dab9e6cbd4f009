"""The service that is swept: the process behind the wire, and where that is only one half of it, the other half beside it."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, assert_never

from devstack.processes import ManagedProcess
from devstack.site import Site
from devstack.stack import Devstack
from devstack.wire.proxy import Hop, Wire

_STOP_TIMEOUT_S: Final = 30.0
_COMMIT_OFFSET: Final = re.compile(r'"commit_offset": ?(\d+)')


class Part(StrEnum):
    """What is killed or frozen, by the command that runs it."""

    RUN = "run"
    """Intake and worker in one process."""
    INGEST = "ingest"
    """The intake alone; its worker goes on."""
    WORKER = "worker"
    """The worker alone; its intake goes on."""

    @property
    def other(self) -> "Part | None":
        """What runs beside it, not behind the wire."""
        match self:
            case Part.RUN:
                return None
            case Part.INGEST:
                return Part.WORKER
            case Part.WORKER:
                return Part.INGEST
            case _:
                assert_never(self)


class SweptService:
    """The processes of one site.

    Args:
        without: a safeguard that its processes run without (`devstack.without`).
    """

    def __init__(self, stack: Devstack, site: Site, wire: Wire, part: Part, without: str | None = None) -> None:
        self._site = site
        self._part = part
        self._without = without
        self._through_the_wire = through(wire, stack, site)
        self._settings: Mapping[str, str] = {}
        self._swept: ManagedProcess | None = None
        self._other: ManagedProcess | None = None

    @property
    def swept(self) -> ManagedProcess:
        """The process behind the wire."""
        assert self._swept is not None  # noqa: S101 - `fit` comes first
        return self._swept

    def is_fit(self, settings: Mapping[str, str]) -> bool:
        """Whether it runs, and with these settings.

        Raises:
            ProcessEndedError: it has run and does no more.
        """
        for process in (self._swept, self._other):
            if process is not None:
                process.raise_if_ended("the next record was sent on its way")
        return self._swept is not None and settings == self._settings

    async def restart(self, settings: Mapping[str, str]) -> None:
        """Run it all anew, with these settings over the site's."""
        for process in (self._swept, self._other):
            if process is not None:
                await process.terminate(_STOP_TIMEOUT_S)
        self._settings = settings
        if self._part.other is not None:
            self._other = self._spawn(self._part.other)
        self.start()

    def start(self) -> None:
        """Run the swept process, for the first time or after it was killed."""
        self._swept = self._spawn(self._part, self._through_the_wire)

    def standby(self) -> ManagedProcess:
        """Run a second worker, not behind the wire."""
        return self._spawn(Part.WORKER)

    def _spawn(self, part: Part, through: Mapping[str, str] | None = None) -> ManagedProcess:
        return self._site.spawn(part, env={**(through or {}), **self._settings}, without=self._without)

    def logged_commit_offset(self) -> int:
        """The highest offset that the intake which runs now says to have committed; 0 where it has said nothing yet."""
        intake = self._other if self._part is Part.WORKER and self._other is not None else self.swept
        return max(map(int, _COMMIT_OFFSET.findall(intake.log_file.read_text(encoding="utf-8"))), default=0)


def through(wire: Wire, stack: Devstack, site: Site) -> Mapping[str, str]:
    """The settings by which a service of the site goes through the wire."""
    real = {
        stack.temporal.address: Hop.TEMPORAL,
        stack.mysql.address: Hop.MYSQL,
        f"127.0.0.1:{stack.simulator.port}": Hop.PROVIDER,
        stack.kafka.bootstrap_servers: Hop.KAFKA,
    }
    changed: dict[str, str] = {}
    for name, value in site.environment.items():
        for address, hop in real.items():
            if address in value and hop in wire.ports:
                changed[name] = value.replace(address, f"127.0.0.1:{wire.ports[hop]}")
    return changed
