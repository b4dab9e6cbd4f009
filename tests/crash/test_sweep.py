"""The service killed at every message between 'attempt opened' and 'final state recorded': charged once, and final, whichever it was.

`make sweep` does the same for a record's whole way and for its other ways.
"""

import asyncio
from collections import deque
from contextlib import AsyncExitStack

import pytest

from devstack.stack import Devstack
from devstack.sweep.rig import Fault, Outcome, Rig, servers
from devstack.sweep.scenarios import CHARGED, PROFILE
from devstack.wire.proxy import Boundary, Hop, Wire
from tests.conftest import SiteMaker

SITES = 3
"""A record waits most of its time for the time-outs of the killed process, so several services are killed at the same time."""
HOPS = (Hop.MYSQL, Hop.PROVIDER)
"""Between the two the first attempt, a local activity, needs no message of Temporal's or Kafka's."""


async def test_a_service_killed_at_any_message_from_the_attempt_to_the_final_state_charges_once(
    stack: Devstack, make_site: SiteMaker
) -> None:
    async with AsyncExitStack() as wires:
        rigs: list[Rig] = []
        for _ in range(SITES):
            wire = await wires.enter_async_context(Wire(*servers(stack, None)))
            # The connection to the provider is made directly after the attempt's row was committed.
            rigs.append(Rig(stack, await make_site("sw", profile=PROFILE), wire, opens_at=Hop.PROVIDER))
        counts = await rigs[0].count(CHARGED)
        boundaries = deque(Boundary(hop, number + 1) for hop in HOPS for number in range(counts[hop]))
        assert counts[Hop.PROVIDER] >= 8, "a handshake, a request and an answer are no fewer messages"
        assert counts[Hop.MYSQL] >= 6, "the opening's commit, and an answer that ends the record, are no fewer messages"
        outcomes: list[Outcome] = []

        async def work(rig: Rig) -> None:
            while boundaries:
                outcomes.append(await rig.crash(CHARGED, boundaries.popleft()))

        async with asyncio.TaskGroup() as working:
            for rig in rigs:
                working.create_task(work(rig))
    assert not [outcome for outcome in outcomes if outcome.problems]
    assert sum(outcome.is_reached for outcome in outcomes) >= 0.75 * len(outcomes), "most of them met their message"
    ends = {outcome.told for outcome in outcomes if outcome.is_reached}
    assert any("by lookup" in end for end in ends), "some died with a charge that they had not heard of"
    assert any("attempts: 2" in end for end in ends), "some died before the request had left"
    assert any("by answer, attempts: 1" in end for end in ends), "some died after the answer was in the ledger"


@pytest.mark.long
@pytest.mark.parametrize("fault", [Fault.CUT, Fault.SWALLOW, Fault.DELAY])
async def test_a_service_whose_connection_fails_around_the_answer_charges_once_and_goes_on(
    stack: Devstack, make_site: SiteMaker, fault: Fault
) -> None:
    async with Wire(*servers(stack, None)) as wire:
        rig = Rig(stack, await make_site("sw", profile=PROFILE), wire, opens_at=Hop.PROVIDER)
        last = (await rig.count(CHARGED))[Hop.PROVIDER]
        outcomes = [await rig.crash(CHARGED, Boundary(Hop.PROVIDER, last - back), fault) for back in range(4)]
    assert not [outcome for outcome in outcomes if outcome.problems]
    ends = {outcome.told for outcome in outcomes if outcome.is_reached}
    assert any("by lookup, attempts: 1, POSTs: 1" in end for end in ends), "some charges were not heard of at once"


@pytest.mark.long
async def test_a_record_whose_ledger_connection_is_silenced_in_a_transaction_goes_on_when_mysql_has_ended_it(
    stack: Devstack, make_site: SiteMaker
) -> None:
    async with Wire(*servers(stack, None)) as wire:
        rig = Rig(stack, await make_site("sw", profile=PROFILE), wire)
        outcomes = [await rig.crash(CHARGED, Boundary(Hop.MYSQL, number), Fault.SWALLOW) for number in (2, 4)]
    assert all(outcome.is_reached for outcome in outcomes)
    assert not [outcome for outcome in outcomes if outcome.problems]
