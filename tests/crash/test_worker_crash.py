"""A worker killed or frozen at any step of a recharge: nothing is charged twice, and what cannot be known is in doubt."""

from dataclasses import dataclass

import pytest

from devstack.processes import ManagedProcess, wait_until
from tests.crash.conftest import KILLED, CrashingService, CrashingServiceMaker
from tests.support.intake import FINAL_TIMEOUT_S
from tests.support.records import value
from tests.support.service import logged_by, until_logged

NONE = {"RECHARGE_PROVIDER__TIMEOUT_S": "2", "RECHARGE_PROVIDER__PROCESSING_TIME_S": "0"}
LOOKUP = NONE | {
    "RECHARGE_PROVIDER__DUPLICATE_PROTECTION": "lookup",
    "RECHARGE_PROVIDER__LOOKUP_FIRST_AFTER_S": "0.2",
}

Expected = tuple[str, int, int]
"""The record's state, the POSTs and the charges that there must be in the end."""

SUCCEEDED: Expected = ("succeeded", 1, 1)
NEVER_LEFT: Expected = ("in_doubt", 0, 0)
SENT_IN_VAIN: Expected = ("in_doubt", 1, 0)
CHARGED_UNHEARD: Expected = ("in_doubt", 1, 1)
SENT_AGAIN: Expected = ("succeeded", 2, 1)


@dataclass(frozen=True)
class Crash:
    """Where a worker is killed in the middle of one record, and what that record comes to under each profile.

    `behaviour` is what the provider does at each sending in turn, with commas between. `step` is one of ours (`dying.STEPS`), before or
    after; without it the provider's behaviour kills the worker.
    """

    behaviour: str
    none: Expected
    lookup: Expected
    step: tuple[str, str] | None = None


CRASHES = [
    # By the provider, at an instant of its own.
    Crash("kill", SENT_IN_VAIN, SENT_AGAIN),
    Crash("kill+charge+ok", CHARGED_UNHEARD, SUCCEEDED),
    Crash("charge+kill", CHARGED_UNHEARD, SUCCEEDED),
    # At our own steps. The last one is sent by whoever comes next, so no other worker may be about to die then.
    Crash("charge+ok", NEVER_LEFT, SUCCEEDED, ("open", "after")),
    Crash("charge+ok", NEVER_LEFT, SUCCEEDED, ("send", "before")),
    Crash("charge+ok", CHARGED_UNHEARD, SUCCEEDED, ("send", "after")),
    Crash("charge+ok", SUCCEEDED, SUCCEEDED, ("open", "before")),
]
CRASHES_OF_AN_ANSWERED_CALL = [
    Crash("charge+ok", SUCCEEDED, SUCCEEDED, ("close", "after")),
    # An answer to the first attempt is final with its closing; one to a later attempt is made final in a step of its own.
    Crash("status:429,charge+ok", SENT_AGAIN, SENT_AGAIN, ("result", "before")),
    Crash("status:429,charge+ok", SENT_AGAIN, SENT_AGAIN, ("result", "after")),
    Crash("charge+status:500", CHARGED_UNHEARD, SUCCEEDED, ("look", "before")),
]
LOOKUP_CRASHES = [
    Crash("charge+status:500", CHARGED_UNHEARD, SUCCEEDED, ("verdict", "before")),
    Crash("charge+status:500", CHARGED_UNHEARD, SUCCEEDED, ("verdict", "after")),
    Crash("status:500", SENT_IN_VAIN, SENT_AGAIN, ("verdict", "before")),
    Crash("status:500", SENT_IN_VAIN, SENT_AGAIN, ("verdict", "after")),
]


async def crash_one_after_another(service: CrashingService, crashes: list[Crash]) -> None:
    """Each in a partition of its own, so that each worker's death strikes at one record alone; then let a worker end them all."""
    for partition, crash in enumerate(crashes):
        await service.send(partition, value(amount=f"{partition + 1}", simulate=crash.behaviour.split(",")))
        if crash.step is not None:
            await service.dies("worker", *crash.step, partition)
        else:
            worker = service.site.spawn("worker")
            assert await worker.wait(FINAL_TIMEOUT_S) == KILLED, worker.tail()
    service.site.spawn("worker")


async def assert_expected(service: CrashingService, expected: list[Expected]) -> None:
    """Every record is as it must be, and a final one is committed."""
    states = {(partition, 0): state for partition, (state, _, _) in enumerate(expected)}
    await service.until_states(states)
    await service.until_committed({where[0]: 1 for where, state in states.items() if state == "succeeded"})
    posts, charges = await service.posts(), await service.charges()
    assert [(states[n, 0], posts[n, 0], charges[n, 0]) for n in range(len(expected))] == expected
    for partition, (state, _, _) in enumerate(expected):
        if state == "in_doubt":
            await service.until_waiting(partition)


async def test_without_duplicate_protection_a_killed_worker_leaves_a_doubt_and_nothing_is_sent_again(
    make_service: CrashingServiceMaker,
) -> None:
    crashes = CRASHES_OF_AN_ANSWERED_CALL + CRASHES
    service = await make_service(len(crashes), **NONE)
    service.site.spawn("ingest")
    await crash_one_after_another(service, crashes)
    await assert_expected(service, [crash.none for crash in crashes])


async def test_with_a_look_up_every_record_of_a_killed_worker_is_charged_once(
    make_service: CrashingServiceMaker,
) -> None:
    # The provider is first asked when all the deaths are over: a call that is sent again should not be struck by another one.
    service = await make_service(len(CRASHES), **LOOKUP | {"RECHARGE_PROVIDER__LOOKUP_FIRST_AFTER_S": "20"})
    service.site.spawn("ingest")
    await crash_one_after_another(service, CRASHES)
    await assert_expected(service, [crash.lookup for crash in CRASHES])


async def test_a_worker_killed_around_the_verdict_of_a_look_up_charges_once(make_service: CrashingServiceMaker) -> None:
    service = await make_service(len(LOOKUP_CRASHES), **LOOKUP)
    service.site.spawn("ingest")
    await crash_one_after_another(service, LOOKUP_CRASHES)
    await assert_expected(service, [crash.lookup for crash in LOOKUP_CRASHES])


@pytest.mark.parametrize("protection", ["none", "lookup"])
async def test_a_worker_killed_after_the_answer_left_charges_once(
    make_service: CrashingServiceMaker, protection: str
) -> None:
    """Whether it could still write the answer down is a race; either way nothing is sent again."""
    service = await make_service(1, **(LOOKUP if protection == "lookup" else NONE))
    service.site.spawn("ingest")
    await service.send(0, value(simulate=["charge+ok+kill"]))
    worker = service.site.spawn("worker")
    assert await worker.wait(FINAL_TIMEOUT_S) == KILLED, worker.tail()
    service.site.spawn("worker")

    async def settled() -> bool:
        state = (await service.states()).get((0, 0))
        return state == "succeeded" or (state == "in_doubt" and protection == "none")

    await wait_until(settled, FINAL_TIMEOUT_S, "the record is settled", interval_s=0.1)
    assert await service.posts() == await service.charges() == {(0, 0): 1}


@pytest.mark.parametrize("behaviour", ["freeze+charge+ok+delay:10+thaw", "charge+freeze+ok+delay:10+thaw"])
async def test_the_answer_to_a_worker_that_was_frozen_past_its_workflow_task_makes_the_record_final(
    make_service: CrashingServiceMaker, behaviour: str
) -> None:
    """Temporal gives the activity up, another worker finds the doubt, and the thawed one's answer ends it by itself."""
    service = await make_service(1, RECHARGE_PROVIDER__TIMEOUT_S="60")
    workers = await two_workers(service)
    await service.send(0, value(simulate=[behaviour]))
    await service.until_drained()
    assert await service.states() == {(0, 0): "succeeded"}
    assert await service.posts() == await service.charges() == {(0, 0): 1}
    assert [line["outcome"] for worker in workers for line in logged_by(worker, "attempt answered")] == ["charged"]


async def two_workers(service: CrashingService) -> list[ManagedProcess]:
    """An intake and two workers, one of which will be frozen and the other not."""
    service.site.spawn("ingest")
    workers = [service.site.spawn("worker"), service.site.spawn("worker")]
    for worker in workers:
        await until_logged(worker, "worker is polling")
    return workers


async def test_a_worker_that_was_frozen_past_its_call_does_not_send_again(
    make_service: CrashingServiceMaker,
) -> None:
    """Its time is over when it is thawed, so the answer may be lost with it: then the record is in doubt, and charged once."""
    service = await make_service(1, **NONE)
    workers = await two_workers(service)
    await service.send(0, value(simulate=["freeze+charge+ok+delay:10+thaw"]))
    await wait_until(
        lambda: any(logged_by(worker, "attempt answered") for worker in workers),
        FINAL_TIMEOUT_S,
        "the thawed worker has its answer",
        interval_s=0.1,
    )

    async def is_written_down() -> bool:
        return (await service.states())[0, 0] in {"in_doubt", "succeeded"}

    # The answer is logged when it is there, and written down a moment later.
    await wait_until(is_written_down, FINAL_TIMEOUT_S, "the record is in doubt or succeeded", interval_s=0.1)
    assert await service.posts() == await service.charges() == {(0, 0): 1}
