"""A process's own addresses, as Prometheus and a probe read them."""

import asyncio
import json
import urllib.error
import urllib.request
from typing import Any, NamedTuple, TypeAlias

from devstack.processes import ManagedProcess, wait_until
from recharge import limits
from tests.support.intake import FINAL_TIMEOUT_S

Ports: TypeAlias = tuple[int, int, int]

TOLD_WITHIN_S = limits.READY_SILENCE_S + limits.READY_LOOK_INTERVAL_S + 8.0
"""How soon a probe must see that a server is away, on a busy machine."""


class Answer(NamedTuple):
    """A status and a body; 0 where nobody answers."""

    status: int
    text: str

    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.text)


async def get(port: int, path: str, timeout_s: float = 5.0) -> Answer:
    """Read one of the addresses of a process on this machine."""

    def ask() -> Answer:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=timeout_s) as answer:
                return Answer(answer.status, answer.read().decode())
        except urllib.error.HTTPError as refused:
            with refused:
                return Answer(refused.code, refused.read().decode())
        except OSError:
            return Answer(0, "")

    return await asyncio.to_thread(ask)


def samples(text: str) -> dict[str, float]:
    """The samples of an exposition, each under its name with its labels as they are written."""
    lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


async def metrics(port: int) -> dict[str, float]:
    """What a process shows to Prometheus."""
    return samples((await get(port, "/metrics")).text)


def listening(port: int, **more: str) -> dict[str, str]:
    """The settings of a process that can be looked at."""
    return {"RECHARGE_HTTP__LISTEN": f"127.0.0.1:{port}", **more}


async def until_ready(port: int, process: ManagedProcess) -> None:
    """Wait until every part of a process is there."""
    await wait_until(lambda: is_ready(port), FINAL_TIMEOUT_S, f"{port} is ready", process=process, interval_s=0.1)


async def is_ready(port: int) -> bool:
    """Whether every part of a process is there."""
    return (await get(port, "/readyz")).status == 200


async def problems(port: int) -> dict[str, str]:
    """The parts that are not ready, each with its problem."""
    answer = (await get(port, "/readyz")).json()
    found = {name: part["problem"] for name, part in answer["parts"].items() if not part["ready"]}
    assert answer["ready"] is not bool(found)
    return found


async def until_problems(port: int, *names: str) -> dict[str, str]:
    """Wait until exactly these parts are told as not ready."""
    found: dict[str, str] = {}

    async def told() -> bool:
        nonlocal found
        found = await problems(port)
        return found.keys() == set(names)

    await wait_until(told, TOLD_WITHIN_S, f"{port} has trouble with {names}", interval_s=0.2)
    return found
