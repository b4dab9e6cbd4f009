"""A corner of the stack of its own: topic, group, ledger, task queue, and the settings of a service there."""

import itertools
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final

from devstack.errors import DevstackError
from devstack.mysql import LedgerUrls
from devstack.processes import ManagedProcess
from devstack.server import minimal_environment

# A ledger's name has 28 characters at most, seven of them `ledger_`.
_NAME: Final = re.compile(r"([a-z0-9][a-z0-9-]{0,20})?")


@dataclass(frozen=True)
class SiteNames:
    """What belongs to the site of a name: all of it is different from every other site's."""

    topic: str
    group: str
    source: str
    database: str
    task_queue: str

    @classmethod
    def of(cls, name: str, source: str | None) -> "SiteNames":
        """The names of a site; the one without a name has the service's defaults.

        Raises:
            DevstackError: for a name that cannot be part of all of them.
        """
        if not _NAME.fullmatch(name):
            raise DevstackError(f"{name!r} cannot name a site: use a-z, 0-9 and -, 21 characters at most.")
        suffix = f"-{name}" if name else ""
        return cls(
            topic=f"credit-transfers{suffix}",
            group=f"recharge{suffix}",
            source=source or f"local{suffix}",
            database=f"ledger_{name.replace('-', '_')}" if name else "recharge",
            task_queue=f"recharge{suffix}",
        )


@dataclass
class Site:
    """One isolated corner. Its environments, one for each kind of user, hold every setting and nothing of the shell behind the stack."""

    launcher: ClassVar[tuple[str, ...]] = ("-m", "app")
    """How Python is told to run the service, before its command. A test may run it without one of its safeguards."""

    starter: ClassVar[Callable[..., ManagedProcess]] = staticmethod(ManagedProcess.start)
    """What starts the service's processes. `devstack.preloaded` has a quicker way."""

    names: SiteNames
    folder: Path
    ledger: LedgerUrls
    environment: dict[str, str]
    migrate_environment: dict[str, str]
    producer_environment: dict[str, str]
    operator_environment: dict[str, str]
    reader_environment: dict[str, str]
    _processes: list[ManagedProcess] = field(default_factory=list)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @property
    def topic(self) -> str:
        """The topic's name; its dead letters go to the same with `.dlt`."""
        return self.names.topic

    @property
    def group(self) -> str:
        """The consumer group."""
        return self.names.group

    @property
    def source(self) -> str:
        """The source's name, the first part of every workflow's id."""
        return self.names.source

    @property
    def task_queue(self) -> str:
        """The task queue."""
        return self.names.task_queue

    def environment_of(self, command: str) -> dict[str, str]:
        """The settings with the least rights by which a command does its work."""
        match command:
            case "migrate":
                return self.migrate_environment
            case "produce":
                return self.producer_environment
            case "redrive":
                return self.operator_environment
            case "status" | "show" | "audit":
                return self.reader_environment
            case _:
                return self.environment

    @property
    def environment_file(self) -> Path:
        """The service's settings as a file for RECHARGE_ENV_FILE."""
        return self.folder / "service.env"

    def spawn(
        self, command: str, *arguments: str, env: Mapping[str, str] | None = None, without: str | None = None
    ) -> ManagedProcess:
        """Run `recharge COMMAND ARGUMENT…` with this site's settings; it is ended with the stack, if not before.

        `env` is merged over the settings, which are those of `environment_of`. The log is a file of its own in the
        site's folder. `without` names a safeguard that the process runs without (`devstack.without`).
        """
        settings = self.environment_of(command)
        name = f"{command}-{next(self._numbers)}"
        launcher = self.launcher if without is None else ("-m", "devstack.without", without)
        argv = [sys.executable, *launcher, command, *arguments]
        merged = minimal_environment(PYTHONUNBUFFERED="1") | settings | dict(env or {})
        process = self.starter(name, argv, merged, self.folder / f"{name}.log", self.folder)
        self._processes.append(process)
        return process

    @property
    def processes(self) -> tuple[ManagedProcess, ...]:
        """What `spawn` has started so far, ended ones included."""
        return tuple(self._processes)

    def write_environment_files(self) -> None:
        """Write the settings to files that only their owner may read, one for each user."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, settings in (
            ("service", self.environment),
            ("migrate", self.migrate_environment),
            ("producer", self.producer_environment),
            ("operator", self.operator_environment),
            ("reader", self.reader_environment),
        ):
            file = self.folder / f"{name}.env"
            file.touch(mode=0o600)
            file.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
