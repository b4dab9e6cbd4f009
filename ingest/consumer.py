"""The intake: when a record is started, and when its offset is committed.

    read  ─>  lanes  ─>  start the workflow, await its result  ─>  dead letter, if any  ─>  final  ─>  commit offset

A record's offset is committed only when the record is final, and so is every record before it in its partition. Nothing else moves a
committed offset. Everything here may be killed between any two steps: what was not committed is read again, its start is rejected as
a duplicate, and the intake attaches to the workflow that is there.
"""

import asyncio
import time
from collections.abc import Coroutine
from functools import partial
from typing import Any

import structlog

from ingest import kafka_words
from ingest.assignment import Assignment
from ingest.committer import Committer
from ingest.dead_letters import DeadLetters
from ingest.ends import EndOffsets
from ingest.instance import check_instance
from ingest.kafka import Cluster, RecordReader
from ingest.kafka_watch import KafkaWatch
from ingest.kafka_words import AssignmentLost, KafkaProblem
from ingest.partition import AssignedPartition, OpenRecord, Room
from ingest.retention import RetentionWatch
from ingest.standing import IntakeStanding, StopReason
from ingest.standstills import Standstills
from ingest.starter import Starter
from ingest.starter_words import FingerprintMismatch
from ingest.switch import Switch
from recharge import instruments, limits, telemetry, tracing
from recharge.outcome import DEAD_LETTER_STATES
from recharge.settings import KafkaSettings

_log = structlog.get_logger(__name__)


class Membership:
    """One membership in the group: the consumer, the partitions that are ours, and the records in flight."""

    def __init__(  # noqa: PLR0913, PLR0917  # the parts that it holds together
        self,
        kafka: KafkaSettings,
        in_flight_max: int,
        starter: Starter,
        switch: Switch,
        cluster: Cluster,
        assignment: Assignment,
        stop: asyncio.Event,
    ) -> None:
        self._stop = stop
        self._kafka = kafka
        self._in_flight_max = in_flight_max
        self._starter = starter
        self._beginnings = None if starter.beside is None else starter.beside.beginnings
        if self._beginnings is not None:
            self._beginnings.when_over = self._start_more
        self._switch = switch
        self._cluster = cluster
        self._dead_letters = DeadLetters(kafka)
        self._assignment = assignment
        self._reader = RecordReader(kafka, self._on_revoked, self._on_assigned)
        self._standstills = Standstills(kafka, cluster, assignment, self._reader)
        self._committer = Committer(assignment, self._reader, self._in_background)
        self._in_flight = 0
        self._turns: list[AssignedPartition] = []
        self._failure: Exception | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._watch: KafkaWatch | None = None
        self._retention = RetentionWatch(cluster, assignment, switch)
        self._ends = EndOffsets(cluster, assignment)
        self._turned_s = time.monotonic()

    async def join(self, watch: KafkaWatch) -> None:
        """Connect and join the group. From then on `watch` tells whether Kafka answers."""
        await self._reader.start()
        self._watch = watch
        watch.when_grown = self._reader.join_again
        self._in_background(watch.run())
        self._in_background(self._retention.run())
        if telemetry.is_on():
            self._in_background(self._ends.run())
        self._in_background(self._switch.watch())

    @property
    def standing(self) -> IntakeStanding:
        """How the intake stands now."""
        return IntakeStanding(
            kafka_problem=None if self._watch is None else self._watch.problem,
            assignment_problem=self._assignment.problem,
            temporal_problem=self._starter.temporal_problem,
            stalled_s=time.monotonic() - self._turned_s,
            partitions=[
                partition.standing(self._ends.of(partition.number), self._retention.unread_s(partition.number))
                for partition in self._assignment
            ],
            in_flight=self._in_flight,
            in_flight_max=self._in_flight_max,
            lanes_held=self._starter.lanes_held + self._dead_letters.lanes_held,
            paused=self._switch.reason,
            refused_in_a_row=self._switch.refused_in_a_row,
            retention_s=self._retention.retention_s,
        )

    async def leave(self) -> None:
        """End everything that is under way, and leave the group."""
        self._assignment.drop_all()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._dead_letters.stop()
        await self._reader.stop()

    async def work(self) -> None:
        """Read, start and commit until the stop event is set; then let what is in flight end, commit once more, and return.

        Raises:
            KafkaProblem, StarterProblem: as in `Ingester.run`.
        """
        while not self._stop.is_set():
            await self._step()
        deadline_s = time.monotonic() + limits.STOP_TIMEOUT_S
        while self._in_flight and time.monotonic() < deadline_s:
            await self._step()
        _log.info("intake stops", in_flight=self._in_flight)
        await self._committer.commit_last(self._committer.due())

    async def _step(self) -> None:
        self._turned_s = time.monotonic()
        try:
            await self._read()
        except KafkaProblem as problem:
            # What ended the reading may be no more than the consequence of it.
            raise self._failure or problem from problem
        self._start_more()
        self._committer.commit_if_due()
        if self._failure is not None:
            raise self._failure
        # A poll that finds records at once never waits, so everybody else gets a turn here.
        await asyncio.sleep(0)

    # --- Reading ------------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        """Ask each partition in turn, so that a full one does not hold up the others; wait only where none has anything.

        While nothing may be started, none is asked, and the poll without a partition keeps the membership alive.
        """
        room = Room.of_each(len(self._assignment))
        reading = [p for p in self._assignment if self._may_start and p.wants_more(room)]
        singly = [p for p in reading if self._standstills.is_read_singly(p)]
        try:
            found = [await self._read_from([p], 0.0) for p in reading if p not in singly]
            each_s = 0.0 if any(found) or not singly else limits.KAFKA_POLL_S / len(singly)
            found += [await self._read_from([partition], each_s) for partition in singly]
            if not any(found) and not singly:
                is_joining = self._assignment.problem is not None
                await self._read_from(reading, limits.KAFKA_JOINING_POLL_S if is_joining else limits.KAFKA_POLL_S)
        except kafka_words.PositionOutOfRange as problem:
            await self._standstills.out_of_range(problem)
        except kafka_words.RecordsUnreadable as problem:
            self._standstills.unreadable(problem)
        except AssignmentLost as problem:
            _log.debug("partition was lost while it was read", problem=str(problem))

    async def _read_from(self, partitions: list[AssignedPartition], timeout_s: float) -> bool:
        if partitions and all(partition.suspended for partition in partitions):
            return False
        are_single = any(map(self._standstills.is_read_singly, partitions))
        records_max = 1 if are_single else min((each.batch_records_max for each in partitions), default=1)
        found = await self._reader.poll(
            [partition.number for partition in partitions], records_max=records_max, timeout_s=timeout_s
        )
        # From here to the end nothing waits, so records and positions belong together. A rebalance may have put another in a partition's
        # place while the poll waited: what was found belongs to who has it now, since its seek threw away what had been fetched before.
        # Records of one that is not set up are left: it is sought to its beginning before it reads or commits anything.
        for number in [partition.number for partition in partitions]:
            current = self._assignment.get(number)
            if current is not None:
                position = await self._reader.position(number)
                if not current.take_in(found.get(number, []), position):
                    self._reader.seek(number, current.progress.position)
                self._standstills.was_read(current)
        return bool(found)

    # --- Carrying out -------------------------------------------------------------------------------------------------

    @property
    def _may_start(self) -> bool:
        return not (self._stop.is_set() or self._switch.is_paused)

    @property
    def _has_room(self) -> bool:
        return self._in_flight < self._in_flight_max and (self._beginnings is None or self._beginnings.has_room)

    def _start_more(self) -> None:
        """Start what may start, one record of each partition in turn, up to the limit in all."""
        if not self._may_start:
            return
        self._turns = [*(p for p in self._turns if self._assignment.get(p.number) is p), *self._newcomers()]
        without = 0
        while self._has_room and without < len(self._turns):
            partition = self._turns.pop(0)
            self._turns.append(partition)
            record = partition.start_next()
            if record is None:
                without += 1
                continue
            without = 0
            self._in_flight += 1
            workflow_id = record.input.workflow_id
            if self._beginnings is not None:
                self._beginnings.began(workflow_id)
            task = self._in_background(self._carry_out(partition, record))
            # Not in the task itself: one that is cancelled before its first step never comes to its own end.
            task.add_done_callback(partial(self._ended, workflow_id))
            partition.runs(task)

    def _ended(self, workflow_id: str, task: asyncio.Task[None]) -> None:
        del task  # how it ended is seen where every background task's end is
        self._in_flight -= 1
        if self._beginnings is not None:
            self._beginnings.over(workflow_id)
        self._start_more()

    def _newcomers(self) -> list[AssignedPartition]:
        known = set(map(id, self._turns))
        return [partition for partition in self._assignment if not partition.suspended and id(partition) not in known]

    async def _carry_out(self, partition: AssignedPartition, record: OpenRecord) -> None:
        where = {"workflow_id": record.input.workflow_id, "partition": partition.number, "offset": record.input.offset}
        try:
            with tracing.record_span(record.input) as span:
                found = partial(partition.was_under_way, record.input.offset)
                result = await self._starter.carry_out(
                    record.input, record.kafka.key, heard=self._switch.heard, found=found
                )
                span.note("recharge.state", result.state)
                await self._switch.settle()
                if result.state in DEAD_LETTER_STATES:
                    with tracing.span("publish dead letter", tracing.Kind.PRODUCER):
                        await self._dead_letters.publish(record.kafka, record.input, result)
        except FingerprintMismatch as problem:
            partition.stop(StopReason.OTHER_RECORD, may_commit=True)
            _log.error("partition stands still", problem=str(problem), **where)
        else:
            partition.final(record.input.offset)
            telemetry.count(instruments.RECORDS_DONE, result.state)
            telemetry.observe(instruments.RECORD_SECONDS, time.monotonic() - record.read_at_s)
            _log.info("record done", state=result.state.value, **where)

    # --- Rebalancing --------------------------------------------------------------------------------------------------

    async def _on_revoked(self) -> bool:
        commits = self._committer.due()
        self._assignment.suspend()
        try:
            await self._committer.commit_last(commits)
            if self._reader.was_put_out:
                await check_instance(self._kafka, self._cluster)
        except KafkaProblem as problem:
            # aiokafka only logs what is raised here, so the loop raises it.
            if problem.fatal:
                self._failure = self._failure or problem
        return self._failure is None

    def _on_assigned(self, numbers: frozenset[int]) -> None:
        telemetry.count(instruments.REBALANCES)
        self._standstills.forget()
        epoch = self._assignment.change(numbers)
        self._in_background(self._assignment.set_up(self._reader, numbers, epoch))

    def _in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background_ended)
        return task

    def _background_ended(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._failure = self._failure or error
