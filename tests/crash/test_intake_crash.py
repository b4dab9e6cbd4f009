"""An intake killed between any two steps: every record is carried out once and committed, and no dead letter is missing."""

from collections import Counter
from dataclasses import dataclass

from tests.crash.conftest import CrashingServiceMaker
from tests.support.records import value

REFUSED = value(simulate=["refuse+ok"])


@dataclass(frozen=True)
class Crash:
    """Where an intake is killed in the middle of one record, and how often that record's dead letter is written at least."""

    raw: bytes
    step: str
    when: str
    letters: int


CRASHES = [
    Crash(value(), "start", "before", 0),
    Crash(value(), "start", "after", 0),
    Crash(value(), "commit", "before", 0),
    Crash(value(), "commit", "after", 0),
    Crash(REFUSED, "letter", "before", 1),
    # Nobody can know that it was written, so it is written again.
    Crash(REFUSED, "letter", "after", 2),
    Crash(REFUSED, "commit", "before", 2),
]


async def test_an_intake_killed_between_any_two_steps_loses_nothing_and_repeats_nothing_but_dead_letters(
    make_service: CrashingServiceMaker,
) -> None:
    # With a stable name in the group a killed intake goes on at once, instead of after its session's time-out.
    service = await make_service(len(CRASHES), RECHARGE_KAFKA__GROUP_INSTANCE_ID="intake-0")
    service.site.spawn("worker")
    for partition, crash in enumerate(CRASHES):
        # A second record stands behind each, which must neither be lost nor overtake it.
        await service.send(partition, crash.raw, value(amount=f"{partition + 1}"))
        await service.dies("ingest", crash.step, crash.when, partition)
    service.site.spawn("ingest")
    await service.until_drained()
    everything = {(partition, offset): 1 for partition in range(len(CRASHES)) for offset in (0, 1)}
    assert await service.posts() == everything
    assert set((await service.states()).items()) == {
        (where, "rejected" if where[1] == 0 and CRASHES[where[0]].raw is REFUSED else "succeeded")
        for where in everything
    }
    at_least = Counter({(n, 0): crash.letters for n, crash in enumerate(CRASHES) if crash.letters})
    letters = await service.dead_letters()
    # The death that was meant for another partition may have come between a letter and its commit, too.
    assert letters.keys() == at_least.keys()
    assert letters >= at_least
    events = await service.stack.simulator.client.posts(f"{service.site.source}:")
    for partition in range(len(CRASHES)):
        order = [int(post.reference.split(":")[3]) for post in events if int(post.reference.split(":")[2]) == partition]
        assert order == [0, 1], f"partition {partition} was carried out in the order {order}"
