"""No operator's hand charges twice or loses a record: reset, terminate, delete, rewind, a second service, a topic made anew, duplicates."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from temporalio.client import Client, WorkflowHandle

from devstack.processes import wait_until
from devstack.stack import Devstack
from recharge.contract import STATUS
from recharge.outcome import Action, State
from recharge.record import fingerprint
from tests.conftest import SiteMaker
from tests.support.described import described
from tests.support.intake import FINAL_TIMEOUT_S
from tests.support.records import value
from tests.support.service import Service, killed, logged_by, stopped, until_logged

QUICK = {"RECHARGE_PROVIDER__TIMEOUT_S": "2", "RECHARGE_PROVIDER__PROCESSING_TIME_S": "0"}
"""A profile without duplicate protection whose doubts a person may judge after three seconds."""

REFUSED = value(simulate=["refuse+ok"])
IN_DOUBT = value(simulate=["charge+status:500"])
NOT_CARRIED_OUT = value(simulate=["status:500"])
INVALID = b'{"operationType": "OneShotTransfer"'

ServiceMaker = Callable[..., Awaitable[Service]]


@pytest.fixture
def make_service(stack: Devstack, client: Client, make_site: SiteMaker) -> ServiceMaker:
    """Makes services whose processes end with the test."""

    async def make(partitions: int = 1, **profile: str) -> Service:
        site = await make_site("h", partitions=partitions, profile=QUICK | profile)
        return Service.of(stack, site, client)

    return make


# --- Reset ------------------------------------------------------------------------------------------------------------


async def test_a_reset_from_any_event_of_any_history_sends_nothing_and_changes_nothing(
    make_service: ServiceMaker,
) -> None:
    """Of a succeeded, a rejected, an invalid and a twice sent record; and of one in doubt, which ends as a person decides."""
    service = await make_service(5)
    for partition, raw in enumerate([value(), REFUSED, INVALID, NOT_CARRIED_OUT, IN_DOUBT]):
        await service.send(partition, raw)
    service.site.spawn("worker")
    ingest = service.site.spawn("ingest")
    await service.until_states({(3, 0): "in_doubt"})
    await service.until_waiting(3)
    assert (await service.resolve(3, Action.NOT_CHARGED)).state is State.SENDING
    finals = {0: "succeeded", 1: "rejected", 2: "invalid", 3: "succeeded"}
    await service.until_states({(partition, 0): state for partition, state in finals.items()} | {(4, 0): "in_doubt"})
    await service.until_committed(dict.fromkeys(finals, 1))
    await service.until_waiting(4)
    posts, rows = await service.posts(), await service.ledger_rows()
    assert posts == {(0, 0): 1, (1, 0): 1, (3, 0): 2, (4, 0): 1}

    accepted = dict.fromkeys(range(5), 0)
    for partition in range(5):
        run_id, event_ids = await service.reset_points(partition)
        for event_id in event_ids:
            newest = await service.reset(partition, run_id, event_id)
            if newest is None:
                continue
            accepted[partition] += 1
            if partition in finals:
                result = await service.result(partition, newest)
                assert result.state == finals[partition], f"reset to event {event_id}"
            else:
                await service.until_waiting(partition, run_id=newest)
    assert all(count >= 2 for count in accepted.values()), accepted
    assert await service.posts() == posts
    assert await service.ledger_rows() == rows

    assert (await service.resolve(4, Action.CHARGED)).state is State.SUCCEEDED
    await service.until_drained()
    assert await service.posts() == posts
    assert not logged_by(ingest, "lane is held")


# --- Terminate --------------------------------------------------------------------------------------------------------


async def test_a_terminated_record_in_doubt_holds_its_lane_until_a_person_decides(make_service: ServiceMaker) -> None:
    service = await make_service(2)
    await service.send(0, IN_DOUBT, value())
    await service.send(1, value(), value())
    service.site.spawn("worker")
    ingest = service.site.spawn("ingest")
    await service.until_states({(0, 0): "in_doubt"})
    await service.until_waiting(0)
    await service.handle(0).terminate("by a test")
    await until_logged(ingest, "lane is held", workflow_id=service.workflow_id(0, 0))
    await service.until_committed({1: 2})
    (held,) = logged_by(ingest, "lane is held")
    assert f"recharge resolve {service.workflow_id(0, 0)}" in held["to_do"]
    assert await service.status(0, 1) is None, "the lane's next record was started"
    assert (0, 1) not in await service.states()

    await service.decide(0, Action.CHARGED, is_closed=True)
    run_id, event_ids = await service.reset_points(0)
    await service.reset(0, run_id, event_ids[-1])
    await service.until_drained()
    assert await service.states() == dict.fromkeys([(0, 0), (0, 1), (1, 0), (1, 1)], "succeeded")
    assert await service.charges() == await service.posts() == dict.fromkeys([(0, 0), (0, 1), (1, 0), (1, 1)], 1)


async def test_a_record_whose_workflow_was_terminated_in_the_middle_of_its_call_can_be_skipped(
    make_service: ServiceMaker,
) -> None:
    service = await make_service()
    await service.send(0, value(simulate=["kill"]))
    worker = service.site.spawn("worker")
    ingest = service.site.spawn("ingest")
    await worker.wait(FINAL_TIMEOUT_S)
    await service.handle(0).terminate("by a test")
    await until_logged(ingest, "lane is held")
    assert await service.states() == {(0, 0): "sending"}

    await service.decide(0, Action.SKIP, is_closed=True)
    service.site.spawn("worker")
    run_id, event_ids = await service.reset_points(0)
    await service.reset(0, run_id, event_ids[-1])
    await service.until_drained()
    assert await service.states() == {(0, 0): "skipped"}
    assert await service.posts() == {(0, 0): 1}


# --- Delete and rewind ------------------------------------------------------------------------------------------------


async def test_deleted_workflows_and_a_rewound_group_send_nothing_again(make_service: ServiceMaker) -> None:
    """The end of Temporal's retention is such a deletion: the ledger alone is left to know."""
    service = await make_service(3)
    records = [value(), REFUSED, INVALID, value()]
    finals = ["succeeded", "rejected", "invalid", "succeeded"]
    await service.send(0, *records)
    await service.send(1, *records)
    await service.send(2, IN_DOUBT)
    processes = [service.site.spawn("worker"), service.site.spawn("ingest")]
    await service.until_committed({0: 4, 1: 4})
    await service.until_states({(2, 0): "in_doubt"})
    await service.until_waiting(2)
    # An open one may be deleted, too; the intake starts it again, and the ledger has it wait for certainty as before.
    rows = await service.ledger_rows()
    await service.handle(2).terminate("by a test")
    await service.delete(2)
    await until_logged(processes[1], "workflow was deleted", workflow_id=service.workflow_id(2, 0))
    await service.until_waiting(2)
    assert await service.ledger_rows() == rows
    assert (await service.resolve(2, Action.CHARGED)).state is State.SUCCEEDED
    await service.until_drained()
    await stopped(processes)
    posts, rows = await service.posts(), await service.ledger_rows()

    for offset in range(4):
        await service.delete(0, offset)
    await service.delete(2)
    await service.move_group({0: 0, 1: 0, 2: 0})
    service.site.spawn("worker")
    ingest = service.site.spawn("ingest")
    await service.until_drained()
    assert [len(logged_by(ingest, told)) for told in ("record started", "record attached")] == [5, 4]
    assert await service.posts() == posts
    assert await service.ledger_rows() == rows
    assert await service.states() == {
        **{(partition, offset): state for partition in (0, 1) for offset, state in enumerate(finals)},
        (2, 0): "succeeded",
    }
    letters = await service.dead_letters()
    assert set(letters) == {(0, 1), (0, 2), (1, 1), (1, 2)}, "a dead letter may come twice, and none may be missing"


# --- Two services -----------------------------------------------------------------------------------------------------


async def test_a_second_intake_of_another_group_on_the_same_source_sends_nothing_twice(
    make_service: ServiceMaker,
) -> None:
    service = await make_service(3)
    for partition in range(3):
        await service.send(partition, *[value(amount=f"{n + 1}") for n in range(8)], REFUSED, INVALID)
    other = f"{service.site.group}-b"
    await service.stack.kafka.grant_group(other)
    service.site.spawn("ingest")
    service.site.spawn("ingest", env={"RECHARGE_KAFKA__GROUP_ID": other})
    service.site.spawn("worker")
    service.site.spawn("worker")
    await service.until_drained()

    async def other_drained() -> bool:
        committed = await service.stack.kafka.committed(other, service.site.topic)
        return committed == dict.fromkeys(range(3), 10)

    await wait_until(other_drained, FINAL_TIMEOUT_S, "the other group has everything", interval_s=0.1)
    assert await service.charges() == {(partition, offset): 1 for partition in range(3) for offset in range(8)}
    assert await service.posts() == {(partition, offset): 1 for partition in range(3) for offset in range(9)}


# --- A topic made anew ------------------------------------------------------------------------------------------------


async def test_a_topic_made_anew_stops_each_partition_whose_positions_were_used_and_no_other(
    make_service: ServiceMaker,
) -> None:
    """The position's workflow is closed in partition 0, deleted in 1 (the ledger alone knows), and open in 2."""
    service = await make_service(4, RECHARGE_KAFKA__GROUP_INSTANCE_ID="intake-0")
    for partition, raw in enumerate([value(), value(), IN_DOUBT]):
        await service.send(partition, raw)
    processes = [service.site.spawn("worker"), service.site.spawn("ingest")]
    await service.until_committed({0: 1, 1: 1})
    await service.until_states({(2, 0): "in_doubt"})
    await service.until_waiting(2)
    await killed(processes)
    await service.delete(1)
    posts, rows = await service.posts(), await service.ledger_rows()
    old = await _fingerprints_on_topic(service)

    await service.create_topic_again(4)
    for partition in range(4):
        await service.send(partition, value(amount="99"), value(amount="98"))
    service.site.spawn("worker")
    ingest = service.site.spawn("ingest")
    await service.until_committed({3: 2})
    for partition in range(3):
        await until_logged(ingest, "partition stands still", workflow_id=service.workflow_id(partition, 0))
    assert await service.posts() == {**posts, (3, 0): 1, (3, 1): 1}
    rows_now = await service.ledger_rows()
    assert {name: now[: len(rows[name])] for name, now in rows_now.items()} == rows
    assert set(await service.states()) == {(0, 0), (1, 0), (2, 0), (3, 0), (3, 1)}
    assert await service.committed() == {3: 2}
    new = await _fingerprints_on_topic(service)
    for partition in range(3):
        (told,) = logged_by(ingest, "partition stands still", partition=partition)
        for needed in (service.workflow_id(partition, 0), old[partition], new[partition], "RECHARGE_KAFKA__SOURCE"):
            assert needed in told["problem"]


async def _fingerprints_on_topic(service: Service) -> dict[int, str]:
    """The fingerprint of each partition's first record, computed from what the topic holds."""
    records = await service.stack.kafka.read_all(service.site.topic)
    return {each.partition: fingerprint(each.key, each.value, each.timestamp) for each in records if each.offset == 0}


# --- Business duplicates ----------------------------------------------------------------------------------------------


async def test_a_request_that_was_produced_twice_is_carried_out_once(make_service: ServiceMaker) -> None:
    service = await make_service(2)
    repeated = value(requestId="r-1", phoneNumberDonor="34600111222", amount="11")
    await service.send(0, value(requestId="r-1"), repeated, value(requestId="r-2"), value(), value())
    service.site.spawn("worker")
    service.site.spawn("ingest")
    await service.until_committed({0: 5})
    assert await service.states() == {(0, offset): "rejected" if offset == 1 else "succeeded" for offset in range(5)}
    assert await service.posts() == dict.fromkeys([(0, 0), (0, 2), (0, 3), (0, 4)], 1)
    (letter,) = await service.stack.kafka.read_all(f"{service.site.topic}.dlt")
    assert letter.value == repeated
    assert service.workflow_id(0, 0) in (dict(letter.headers)["recharge-reason"] or b"").decode()


async def test_duplicate_requests_are_held_or_allowed_where_the_settings_say_so(make_service: ServiceMaker) -> None:
    for_hold = await make_service(RECHARGE_INGEST__DUPLICATE_REQUESTS="hold")
    for_allow = await make_service(RECHARGE_INGEST__DUPLICATE_REQUESTS="allow")
    for service in (for_hold, for_allow):
        await service.send(0, value(requestId="r-1"), value(requestId="r-1", amount="11"))
        service.site.spawn("run")
    await for_hold.until_states({(0, 0): "succeeded", (0, 1): "held"})
    await for_allow.until_states({(0, 0): "succeeded", (0, 1): "succeeded"})
    await for_hold.until_waiting(0, 1)
    assert await for_hold.posts() == {(0, 0): 1}
    assert await for_allow.posts() == {(0, 0): 1, (0, 1): 1}
    assert (await for_hold.resolve(0, Action.SKIP, 1)).state is State.SKIPPED
    await for_hold.until_drained()


async def test_the_same_records_under_a_new_source_are_held_and_point_at_the_old_ones(
    make_service: ServiceMaker,
) -> None:
    """What an operator gets who renames the source without need: nothing that was done is done again."""
    service = await make_service(2)
    await service.send(0, value(amount="1"))
    await service.send(1, IN_DOUBT)
    processes = [service.site.spawn("worker"), service.site.spawn("ingest")]
    await service.until_states({(0, 0): "succeeded", (1, 0): "in_doubt"})
    await service.until_waiting(1)
    await killed(processes)
    posts = await service.posts()

    renamed = f"{service.site.source}-new"
    group = f"{service.site.group}-new"
    await service.stack.kafka.grant_group(group)
    service.site.spawn("worker")
    service.site.spawn("ingest", env={"RECHARGE_KAFKA__SOURCE": renamed, "RECHARGE_KAFKA__GROUP_ID": group})
    for partition in (0, 1):
        old = service.workflow_id(partition, 0)
        new = service.client.get_workflow_handle(old.replace(service.site.source, renamed, 1))
        said = await _held_because(new)
        assert old in said
    assert await service.posts() == posts
    assert not await service.stack.simulator.client.posts(f"{renamed}:")


async def test_a_stale_record_is_held_and_a_fresh_one_is_not(make_service: ServiceMaker) -> None:
    service = await make_service(2, RECHARGE_INGEST__STALE_AFTER_S="3600")
    now_ms = int(time.time() * 1000)
    producer = AIOKafkaProducer(**service.stack.kafka.client_options(), acks="all")
    await producer.start()
    try:
        for partition, age_s in enumerate([7200, 600]):
            await producer.send_and_wait(
                service.site.topic, value(), key=b"key", partition=partition, timestamp_ms=now_ms - age_s * 1000
            )
    finally:
        await producer.stop()
    service.site.spawn("run")
    await service.until_states({(0, 0): "held", (1, 0): "succeeded"})
    assert "stale" in await _held_because(service.handle(0))
    assert await service.posts() == {(1, 0): 1}
    assert (await service.resolve(0, Action.NOT_CHARGED)).state is State.SENDING
    await service.until_drained()
    assert await service.charges() == {(0, 0): 1, (1, 0): 1}


async def _held_because(handle: WorkflowHandle[Any, Any]) -> str:
    """The summary of the activity in which a held workflow waits, as the Web UI shows it."""

    async def waits() -> str | None:
        newest = await described(handle)
        if newest is None or newest.typed_search_attributes.get(STATUS) != State.HELD:
            return None
        failures = [activity.last_failure.message for activity in newest.raw_description.pending_activities]
        return failures[0] if failures and failures[0] else None

    said = await wait_until(waits, FINAL_TIMEOUT_S, f"{handle.id} is held and says why", interval_s=0.1)
    assert said is not None
    return said
