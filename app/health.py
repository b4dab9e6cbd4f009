"""Whether a process lives, and whether it is ready: what /healthz and /readyz answer, and what the metrics say of it.

It *lives* while its loops turn. A server that is away does not end that: a restart would help nobody. It is *ready* while every part can
do its work now, and says for each that cannot why.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from recharge import instruments
from recharge.telemetry import Reading

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that has to be there. `problem` says in one line what is wrong with it; None where nothing is."""

    name: str
    problem: str | None


class Source(Protocol):
    """One half of the service, the intake or the worker, as health and metrics see it."""

    def parts(self) -> Iterable[Part]:
        """What it needs, and what is wrong with each."""

    def stalled(self) -> str | None:
        """Which of its loops does not turn, in one line; None while they do."""

    def readings(self) -> Iterable[Reading]:
        """Its gauges."""


class Health:
    """The halves that run in this process. Those that are expected and not there yet are waited for, so it is not ready.

    `stop` is the process's own stop event: one that stops is not ready any more.
    """

    def __init__(self, stop: asyncio.Event, expected: Iterable[str]) -> None:
        self._stop = stop
        self._expected = list(expected)
        self._sources: dict[str, Source] = {}
        self._was_stalled = False

    def add(self, name: str, source: Source) -> None:
        """One of the expected halves has begun."""
        self._sources[name] = source

    def remove(self, name: str) -> None:
        """It has ended."""
        self._sources.pop(name, None)

    def parts(self) -> Iterator[Part]:
        """Every part, the process itself first."""
        yield Part("process", "it is stopping" if self._stop.is_set() else None)
        for name in self._expected:
            source = self._sources.get(name)
            if source is None:
                yield Part(name, "not begun: it waits for a server, or checks its settings")
            else:
                yield from source.parts()

    def stalled(self) -> list[str]:
        """The loops that do not turn. The log tells it once, since whoever asks restarts the process for it."""
        problems = [problem for source in self._sources.values() if (problem := source.stalled()) is not None]
        if problems and not self._was_stalled:
            _log.error("a loop hangs; a restart helps, and whoever mends it needs this line", problems=problems)
        elif self._was_stalled and not problems:
            _log.info("every loop turns again")
        self._was_stalled = bool(problems)
        return problems

    def readings(self) -> Iterator[Reading]:
        """Every gauge of this process but for that of its build."""
        for part in self.parts():
            yield Reading(instruments.READY, float(part.problem is None), (part.name,))
        yield Reading(instruments.STALLED, float(bool(self.stalled())))
        for source in self._sources.values():
            yield from source.readings()


def ready_answer(health: Health) -> tuple[bool, Mapping[str, object]]:
    """What /readyz says: whether all is well, and the body."""
    parts = {part.name: {"ready": part.problem is None, "problem": part.problem} for part in health.parts()}
    is_ready = all(part["ready"] for part in parts.values())
    return is_ready, {"ready": is_ready, "parts": parts}


def health_answer(health: Health) -> tuple[bool, Mapping[str, object]]:
    """What /healthz says. That it says anything shows that the event loop turns."""
    stalled = health.stalled()
    return not stalled, {"healthy": not stalled, "problems": stalled}
