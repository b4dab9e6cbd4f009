"""`recharge status`: is each part up, is the intake paused, how far behind is each partition, what blocks it, and what waits."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from temporalio.client import Client
from temporalio.service import RPCError

from activities.ledger import LedgerError, LedgerNotMigrated, Reports, Standing, Trouble, Waiting
from ingest.kafka import Cluster, Edge, GroupMember
from ingest.kafka_words import KafkaProblem, offset_gone
from ingest.pause import Pause
from operations.pollers import Poller, queues
from operations.runs import Run, newest_run
from operations.switch import standing as standing_pause
from operations.telling import Discretion, Json, time
from operations.waiting import as_json as waiting_as_json
from operations.web_ui import WebUi
from recharge import limits
from recharge.contract import Position
from recharge.outcome import FINAL_STATES, State
from recharge.settings import KafkaSettings

T = TypeVar("T")

WAITING_SHOWN_MAX = 20
"""Records that wait for a person and are named. `recharge resolve --list` has more of them."""

_QUESTIONS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Blocker:
    """The record at a partition's commit offset, where it is not final."""

    workflow_id: str
    state: State | None
    """Its state in the ledger; None where no worker has begun it."""
    age_s: float | None
    run: Run | None


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """How far one partition has come."""

    partition: int
    committed: int | None
    end: int
    lag: int
    blocker: Blocker | None
    stands_still: str | None = None
    """Why nothing of it is read until a person does something, and what; None where Kafka holds the record at the commit offset."""
    final_distance: int | None = None
    """Offsets from the commit offset to the highest final record; None where the ledger could not be asked."""
    final_s: float | None = None
    """For how long the record at the commit offset has been final, where it is and nobody has committed that."""

    @property
    def is_at_final_distance(self) -> bool:
        """Whether so much is final beyond the commit offset that the partition is not read any more. The last of it may be in flight."""
        bound = limits.FINAL_DISTANCE_MAX - limits.BUFFERED_RECORDS_MAX
        return self.final_distance is not None and self.final_distance >= max(1, bound)


@dataclass
class Status:
    """The whole service at one moment. What could not be asked is empty, and `problems` says why."""

    partitions: list[PartitionStatus] = field(default_factory=list)
    states: dict[State, int] = field(default_factory=dict)
    waiting: list[Waiting] = field(default_factory=list)
    trouble: Sequence[Trouble] = ()
    """What the provider carries nothing out for, and that is tried again."""
    is_paused: bool | None = None
    """Whether the intake is paused; None where Temporal could not be asked."""
    pause: Pause | None = None
    web_ui: WebUi | None = None
    """Where to look at a workflow, where we know the address."""
    problems: dict[str, str] = field(default_factory=dict)
    """By the part that has one: kafka, ledger, temporal."""
    workers: list[Poller] | None = None
    """The workers that poll both task queues, and those that did until lately; None where Temporal could not be asked."""
    intakes: list[GroupMember] | None = None
    """The ingesters that are in the group; None where Kafka could not be asked."""
    schema_is_current: bool | None = None
    """Whether the ledger's tables are those of this release; None where that could not be asked."""


@dataclass(frozen=True, slots=True)
class _Offsets:
    """One partition, as Kafka has it. `next_offset` is where the group would go on."""

    partition: int
    committed: int | None
    next_offset: int
    begin: int
    end: int


async def gather(
    kafka: KafkaSettings, ledger: Reports, client: Client | None, temporal_problem: str | None, task_queue: str
) -> Status:
    """Ask each part, and go on with the others where one gives no answer."""
    status = Status()
    if temporal_problem is not None:
        status.problems["temporal"] = temporal_problem
    found, _, _ = await asyncio.gather(
        _in_time("kafka", f"Kafka at {kafka.bootstrap_servers}", _offsets(kafka, status), status),
        _in_time("ledger", ledger.where, _ledger(ledger, status), status),
        _in_time("temporal", "Temporal", _temporal(client, kafka.source, task_queue, status), status),
    )
    offsets = found or []
    behind = {each.partition: each.next_offset for each in offsets if each.end > each.next_offset}
    standing: dict[int, Standing] = {}
    distances: dict[int, int] = {}
    if "ledger" not in status.problems:
        standing = await ledger.standing_at(kafka.source, kafka.topic, behind)
        distances = dict.fromkeys((each.partition for each in offsets), 0)
        distances |= await ledger.final_distances(kafka.source, kafka.topic, behind)
    ids = {number: Position(kafka.source, kafka.topic, number, at).workflow_id for number, at in behind.items()}
    runs = await _runs(client, list(ids.values()), status)
    for each in offsets:
        workflow_id, at = ids.get(each.partition), standing.get(each.partition)
        blocker = None
        if workflow_id is not None and "ledger" not in status.problems:
            blocker = _blocker(workflow_id, at, runs.get(workflow_id))
        lag = max(0, each.end - each.next_offset)
        gone = _gone(kafka, each) if blocker is None else None
        final_s = None if blocker is not None or at is None else at.final_s
        distance = distances.get(each.partition)
        status.partitions.append(
            PartitionStatus(each.partition, each.committed, each.end, lag, blocker, gone, distance, final_s)
        )
    return status


def _gone(kafka: KafkaSettings, at: _Offsets) -> str | None:
    """What the intake's log says of a partition that does not hold its committed offset.

    One whose record was begun before Kafka deleted it does not stand still: it waits for that record.
    """
    if at.begin <= at.next_offset <= at.end:
        return None
    return str(offset_gone(kafka, at.partition, at.next_offset, at.begin, at.end))


async def _in_time(part: str, where: str, asking: Awaitable[T], status: Status) -> T | None:
    """What a part tells; None where it takes longer than a person in an outage can wait, which is told as its problem."""
    try:
        async with asyncio.timeout(limits.STATUS_PART_TIMEOUT_S):
            return await asking
    except TimeoutError:
        status.problems[part] = f"{where} gave no answer within {limits.STATUS_PART_TIMEOUT_S:g} s"
        return None


async def _offsets(kafka: KafkaSettings, status: Status) -> list[_Offsets]:
    try:
        async with Cluster(kafka) as cluster:
            partitions = sorted(await cluster.leaders(kafka.topic))
            committed = await cluster.committed(partitions)
            begins = await cluster.offsets(partitions, Edge.EARLIEST)
            ends = await cluster.offsets(partitions, Edge.END)
            status.intakes = await cluster.members()
    except KafkaProblem as problem:
        status.problems["kafka"] = str(problem)
        return []
    found = {number: offset for number, (offset, _) in committed.items()}
    return [
        _Offsets(number, found.get(number), found.get(number, begins[number]), begins[number], ends[number])
        for number in partitions
    ]


async def _ledger(ledger: Reports, status: Status) -> None:
    try:
        await ledger.check()
        status.schema_is_current = True
        status.states = await ledger.counts()
        status.waiting = await ledger.waiting(count_max=WAITING_SHOWN_MAX)
        status.trouble = await ledger.provider_trouble()
    except LedgerError as problem:
        if isinstance(problem, LedgerNotMigrated):
            status.schema_is_current = False
        status.problems["ledger"] = str(problem)


async def _temporal(client: Client | None, source: str, task_queue: str, status: Status) -> None:
    if client is None:
        return
    try:
        status.pause = await standing_pause(client, source)
        status.is_paused = status.pause is not None
        workflows, calls = await queues(client, task_queue, timeout_s=limits.RPC_TIMEOUT_S)
        sending = {poller.identity for poller in calls.pollers}
        status.workers = [poller for poller in workflows.pollers if poller.identity in sending]
    except RPCError as error:
        status.problems["temporal"] = _no_answer(error)


async def _runs(client: Client | None, workflow_ids: list[str], status: Status) -> dict[str, Run]:
    if client is None:
        return {}
    slots = asyncio.Semaphore(_QUESTIONS_AT_ONCE)

    async def ask(workflow_id: str) -> Run | None:
        async with slots:
            return await newest_run(client, workflow_id)

    try:
        runs = await asyncio.gather(*map(ask, workflow_ids))
    except RPCError as error:
        status.problems["temporal"] = _no_answer(error)
        return {}
    return {workflow_id: run for workflow_id, run in zip(workflow_ids, runs, strict=True) if run is not None}


def _no_answer(error: RPCError) -> str:
    return f"{error.status.name.lower()}: {error.message}"


def _blocker(workflow_id: str, standing: Standing | None, run: Run | None) -> Blocker | None:
    """The record, where it is started and not final. One that ended early in Temporal blocks even where the ledger has it as final."""
    if standing is None and run is None:
        return None
    if standing is not None and standing.state in FINAL_STATES and (run is None or not run.ended_early):
        return None
    return Blocker(
        workflow_id, None if standing is None else standing.state, None if standing is None else standing.age_s, run
    )


def as_json(status: Status, discretion: Discretion) -> dict[str, Json]:
    """The status as one JSON object. Fields may be added to it, and none is taken away."""
    return {
        "partitions": [_partition(each) for each in status.partitions],
        "states": {state.value: count for state, count in status.states.items()},
        "waiting": [waiting_as_json(each, discretion, status.web_ui) for each in status.waiting],
        "intake": _intake_as_json(status, discretion),
        "provider": {
            "retrying": sum(each.records for each in status.trouble),
            "newest": [
                {
                    "outcome": each.outcome.value,
                    "status": each.status,
                    "records": each.records,
                    "said": discretion.text(each.newest),
                }
                for each in status.trouble
            ],
        },
        "workers": None if status.workers is None else [_worker(each) for each in status.workers],
        "intakes": None
        if status.intakes is None
        else [{"name": each.name, "host": each.host, "release": each.release} for each in status.intakes],
        "schema_is_current": status.schema_is_current,
        "problems": dict(status.problems),
    }


def _worker(each: Poller) -> dict[str, Json]:
    return {
        "identity": each.identity,
        "release": each.release,
        "last_seen_s": round(each.last_seen_s, 3),
        "is_polling": each.is_polling,
        "build_id": each.build_id,
        "is_current": each.is_current,
    }


def _intake_as_json(status: Status, discretion: Discretion) -> dict[str, Json]:
    pause = status.pause
    return {
        "is_paused": status.is_paused,
        "by": None if pause is None else discretion.text(pause.by),
        "since": None if pause is None else time(pause.since.replace(tzinfo=None)),
        "note": None if pause is None else discretion.text(pause.note),
    }


def _partition(each: PartitionStatus) -> dict[str, Json]:
    blocker = each.blocker
    return {
        "partition": each.partition,
        "committed": each.committed,
        "end": each.end,
        "lag": each.lag,
        "blocked_by": None if blocker is None else blocker.workflow_id,
        "blocked_state": None if blocker is None or blocker.state is None else blocker.state.value,
        "blocked_s": None if blocker is None or blocker.age_s is None else round(blocker.age_s, 3),
        "stands_still": each.stands_still,
        "final_distance": each.final_distance,
        "final_s": None if each.final_s is None else round(each.final_s, 3),
        "is_at_final_distance": each.is_at_final_distance,
        "blocked_workflow": None if blocker is None or blocker.run is None else blocker.run.status,
    }
