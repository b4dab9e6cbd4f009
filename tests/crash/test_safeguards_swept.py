"""The sweep can fail: with a safeguard taken away from the swept service, it finds a broken promise within a bounded number of kills."""

from dataclasses import dataclass

import pytest

from devstack.stack import Devstack
from devstack.sweep.rig import Rig, servers
from devstack.sweep.scenarios import PROFILE, SCENARIOS
from devstack.wire.proxy import Boundary, Hop, Wire
from tests.conftest import SiteMaker


@dataclass(frozen=True)
class Loss:
    """A safeguard, the way of a record on which it is missed, and what the sweep has to say of it, in one of its lines."""

    safeguard: str
    scenario: str
    told: str


LOSSES = [
    Loss("attempt-row", "charged", "charged 2 times, not 1"),
    Loss("open-is-a-doubt", "charged", "charged 2 times, not 1"),
    Loss("unknown-is-a-doubt", "unknown", "charged 2 times, not 1"),
    Loss("final-before-commit", "resolved", "audit: consumed_only_when_done"),
]
KILLS_MAX = 6
"""At the last messages of the provider's call the record is charged, and the killed service has not heard of it."""


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.safeguard)
async def test_the_sweep_finds_the_loss_of_a_safeguard(stack: Devstack, make_site: SiteMaker, loss: Loss) -> None:
    (scenario,) = (each for each in SCENARIOS if each.name == loss.scenario)
    found: list[str] = []
    async with Wire(*servers(stack, None)) as wire:
        site = await make_site("lost", profile=PROFILE)
        rig = Rig(stack, site, wire, opens_at=Hop.PROVIDER, without=loss.safeguard)
        counts = await rig.count(scenario)
        last = counts[Hop.PROVIDER]
        for number in range(last, max(last - KILLS_MAX, 0), -1):
            outcome = await rig.crash(scenario, Boundary(Hop.PROVIDER, number))
            found += outcome.problems
            if any(loss.told in problem for problem in found):
                break
    assert any(loss.told in problem for problem in found), found
    assert any(problem.startswith("audit: ") for problem in found), "the audit finds it as well"
