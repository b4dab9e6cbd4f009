"""The plan of a campaign is a function of its seed, and plans nothing by which a correct service would break a promise."""

from collections import defaultdict
from itertools import pairwise

import pytest

from devstack.campaign.plan import (
    PARTITIONS,
    PROCESSING_TIME_S,
    PROVIDER_SLOW_MAX_S,
    SERVERS,
    WIRES,
    FaultKind,
    hop_and_wire,
    make_plan,
)
from devstack.campaign.records import LOOKUP_BEHAVIOURS, PROVIDER_BEHAVIOURS, accounts_of
from devstack.simulator.faults import ANSWERS, RequestKind, StepName, parse_behaviour
from devstack.wire.proxy import Hop
from recharge.contract import Ordering
from recharge.provider_settings import DuplicateProtection

SEEDS = range(1, 21)


def test_the_same_seed_gives_the_same_plan_and_another_one_another() -> None:
    assert make_plan(7, 200, 20) == make_plan(7, 200, 20)
    assert make_plan(7, 200, 20) != make_plan(8, 200, 20)
    assert make_plan(7, 200, 20).command == "make campaign SEED=7 RECORDS=200 FAULTS=20"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_plan_has_the_size_that_was_asked_for_and_nothing_meets_two_faults_at_once(seed: int) -> None:
    plan = make_plan(seed, 100, 25)
    assert (len(plan.records), len(plan.faults)) == (100, 25)
    assert [record.at_s for record in plan.records] == sorted(record.at_s for record in plan.records)
    by_target = defaultdict(list)
    for fault in plan.faults:
        by_target[fault.target].append(fault)
    for faults in by_target.values():
        assert all(one.ends_s < other.at_s for one, other in pairwise(faults)), faults
    held_up = [f for f in plan.faults if f.kind is FaultKind.HOLD_UP and f.target.startswith(Hop.PROVIDER)]
    assert all(fault.for_s + PROVIDER_SLOW_MAX_S < PROCESSING_TIME_S for fault in held_up)


def test_twenty_seeds_meet_every_kind_of_fault_every_target_and_every_way_to_set_a_service_up() -> None:
    plans = [make_plan(seed, 500, 25) for seed in SEEDS]
    faults = [fault for plan in plans for fault in plan.faults]
    assert {fault.kind for fault in faults} == set(FaultKind)
    servers = {f.target for f in faults if f.kind in {FaultKind.KILL_SERVER, FaultKind.RESTART_SERVER}}
    assert servers == set(SERVERS)
    on_hops = {FaultKind.CUT, FaultKind.HOLD_UP, FaultKind.SWALLOW, FaultKind.HALVE}
    assert {hop_and_wire(f.target) for f in faults if f.kind in on_hops} == {
        (hop, n) for hop in Hop for n in range(WIRES)
    }
    shapes = {(plan.shape.ordering, plan.shape.duplicate_protection) for plan in plans}
    assert shapes == {(ordering, protection) for ordering in Ordering for protection in DuplicateProtection}
    for plan in plans:
        commands = [place.command for place in plan.shape.places if not place.is_spare]
        assert sum(command in {"run", "ingest"} for command in commands) >= 2, "several ingesters"
        assert sum(command in {"run", "worker"} for command in commands) >= 2, "several workers"
    assert {record.partition for plan in plans for record in plan.records} == set(range(PARTITIONS))
    behaviours = {
        each for plan in plans for each in PROVIDER_BEHAVIOURS if any(_asks(r.value, each) for r in plan.records)
    }
    assert behaviours == set(PROVIDER_BEHAVIOURS)
    assert all(len(accounts_of(record.value)) in {0, 2} for plan in plans for record in plan.records)


def test_the_provider_is_told_to_do_only_what_its_promises_allow() -> None:
    answers = set()
    for text in PROVIDER_BEHAVIOURS:
        steps = parse_behaviour(text, RequestKind.POST)
        assert sum(step.value or 0.0 for step in steps if step.name is StepName.DELAY) <= PROVIDER_SLOW_MAX_S
        assert not {step.name for step in steps} & {StepName.KILL, StepName.FREEZE, StepName.CLAIM}
        answers |= {step.name for step in steps} & ANSWERS
    for text in LOOKUP_BEHAVIOURS:
        steps = parse_behaviour(text, RequestKind.LOOKUP)
        assert StepName.NOT_FOUND not in {step.name for step in steps}
    assert answers >= ANSWERS - {StepName.CLAIM, StepName.SAY_PENDING, StepName.NOT_FOUND, StepName.NOT_FOUND_FOR}


def _asks(value: bytes | None, behaviour: str) -> bool:
    return value is not None and f'"simulate": ["{behaviour}"]'.encode() in value
