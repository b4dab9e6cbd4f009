"""What a process says of itself: that it lives while its loops turn, that it is ready while it can do its work, and where it hangs."""

import asyncio
import re
from collections.abc import Iterable

import structlog.testing

from app.health import Health, Part, health_answer, ready_answer
from app.standstill import where_it_waits
from recharge import instruments
from recharge.telemetry import Reading


class Half:
    """One half of the service, as a test has it."""

    def __init__(self) -> None:
        self.problem: str | None = None
        self.hangs: str | None = None

    def parts(self) -> Iterable[Part]:
        return [Part("ledger", self.problem), Part("polling", None)]

    def stalled(self) -> str | None:
        return self.hangs

    def readings(self) -> Iterable[Reading]:
        return [Reading(instruments.CALLS_IN_FLIGHT, 7)]


def test_a_process_is_ready_only_while_all_that_it_expects_is_there_and_it_is_not_stopping() -> None:
    stop, half = asyncio.Event(), Half()
    health = Health(stop, ["worker"])
    assert not ready_answer(health)[0]
    assert health_answer(health)[0]
    health.add("worker", half)
    assert ready_answer(health)[0]
    half.problem = "MySQL is away"
    is_ready, body = ready_answer(health)
    assert not is_ready
    assert body["parts"] == {
        "process": {"ready": True, "problem": None},
        "ledger": {"ready": False, "problem": "MySQL is away"},
        "polling": {"ready": True, "problem": None},
    }
    assert health_answer(health) == (True, {"healthy": True, "problems": []})
    assert Reading(instruments.READY, 0.0, ("ledger",)) in list(health.readings())
    half.problem = None
    stop.set()
    assert not ready_answer(health)[0]


def test_a_process_whose_loop_does_not_turn_is_not_healthy_and_its_log_tells_it_once() -> None:
    half = Half()
    health = Health(asyncio.Event(), ["worker"])
    health.add("worker", half)
    half.hangs = "it hangs"
    with structlog.testing.capture_logs() as logs:
        assert health_answer(health) == (False, {"healthy": False, "problems": ["it hangs"]})
        assert Reading(instruments.STALLED, 1.0) in list(health.readings())
        half.hangs = None
        assert health_answer(health)[0]
    assert [(line["log_level"], line.get("problems")) for line in logs] == [("error", ["it hangs"]), ("info", None)]


async def test_where_a_task_waits_is_told_by_the_names_and_lines_of_its_calls() -> None:
    waited = asyncio.Event()

    class Reader:
        async def poll(self) -> None:
            await waited.wait()

    async def work() -> None:
        await Reader().poll()

    task: asyncio.Task[object] = asyncio.create_task(work())
    await asyncio.sleep(0)
    told = where_it_waits(task)
    assert re.fullmatch(r"\S+work:\d+ > \S+Reader\.poll:\d+ > Event\.wait:\d+", told), told
    waited.set()
    await task
    assert where_it_waits(task) == ""
