"""What stands in the place of a safeguard of the intake that was taken away, as in `weakened`."""

import asyncio
import base64
import copy
from typing import Any

from aiokafka.errors import NoOffsetForPartitionError
from temporalio.client import WorkflowFailureError
from temporalio.common import WorkflowIDReusePolicy

from ingest.kafka import Edge
from ingest.kafka.reader import as_kafka_record
from ingest.patience import DeletedError
from recharge.contract import Position, RechargeResult
from recharge.outcome import State


class _AllowsDuplicates:
    """A Temporal client that starts a closed workflow's id once more."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def start_workflow(self, *arguments: Any, **keywords: Any) -> Any:
        """As the client, with the other policy."""
        keywords["id_reuse_policy"] = WorkflowIDReusePolicy.ALLOW_DUPLICATE
        return await self._client.start_workflow(*arguments, **keywords)


async def start_duplicates(start: Any, self: Any, record: Any, kafka_key: Any) -> Any:
    """A record that is read again after its workflow has ended is started again."""
    weakened = copy.copy(self)
    weakened._client = _AllowsDuplicates(self._client)
    return await start(weakened, record, kafka_key)


async def same_run(newer_run: Any, self: Any, record: Any, ended: Any, why: str) -> Any:
    """The run that was started is looked at for ever, whatever newer one there is."""
    handle = self._handle
    weakened = copy.copy(self)
    weakened._handle = lambda of, _: handle(of, ended.result_run_id)
    return await newer_run(weakened, record, ended, why)


def uncommitted_too(init: Any, self: Any, *arguments: Any) -> None:
    """Records of transactions that are not committed are read."""
    init(self, *arguments)
    self._consumer._isolation_level = "read_uncommitted"


async def not_awaited(publish: Any, self: Any, *arguments: Any) -> None:
    """The record counts as final while its dead letter is on its way."""
    task = asyncio.create_task(publish(self, *arguments))
    vars(self).setdefault("unawaited", set()).add(task)


def no_lanes(add: Any, self: Any, offset: int, lanes: Any) -> None:
    """Every record may start at once."""
    del lanes
    add(self, offset, frozenset())


def believed_anywhere(decode: Any, text: str, at: Position) -> Any:
    """Metadata is believed wherever it was written."""
    words = text.split(" ")
    try:
        source, topic, partition, offset = words[1].rsplit(":", 3)
        return decode(text, Position(source, topic, int(partition), int(offset)))
    except (IndexError, ValueError):
        return decode(text, at)


async def nothing_recorded(first_offsets: Any, cluster: Any, partitions: Any, _: Any) -> Any:
    """A partition begins at its start, wherever its intake had begun."""
    return await first_offsets(cluster, partitions, {})


def under_any_epoch(begin: Any, self: Any, reader: Any, beginnings: Any, _: int) -> None:
    """What was found out for an assignment that is over is put into effect."""
    begin(self, reader, beginnings, self._epoch)


async def read_on_elsewhere(_: Any, self: Any, problem: Any) -> None:
    """Where the topic does not hold the committed offset any more, the partition is read from what is left."""
    partition = self._assignment.get(problem.partition)
    ends = await self._cluster.offsets([problem.partition], Edge.EARLIEST)
    partition.progress._position = ends[problem.partition]
    self._reader.seek(problem.partition, ends[problem.partition])


async def taken_for_final(_: Any, self: Any, record: Any, handle: Any) -> RechargeResult:
    """A record whose workflow somebody else has started counts as final at once."""
    del self, handle
    return RechargeResult(State.SUCCEEDED, record.fingerprint)


async def awaited_unseen(_: Any, self: Any, record: Any, handle: Any, _found: Any) -> Any:
    """A workflow that is open is awaited, whatever record it was started for."""
    return await self._result(record, handle)


async def final_however_it_ended(_: Any, self: Any, record: Any, handle: Any, **others: Any) -> Any:
    """A record whose workflow failed or was terminated counts as final."""
    del others
    try:
        return await self._result(record, handle)
    except WorkflowFailureError:
        return RechargeResult(State.SKIPPED, record.fingerprint)


async def final_without_a_workflow(follow: Any, self: Any, record: Any, handle: Any, **others: Any) -> Any:
    """A record whose workflow was deleted counts as final."""
    try:
        return await follow(self, record, handle, **others)
    except DeletedError:
        return RechargeResult(State.SUCCEEDED, record.fingerprint)


def told_when_returned(activate: Any, self: Any, act: Any) -> Any:
    """A record counts as final when its workflow has returned, whether or not Temporal has taken that."""
    completion = activate(self, act)
    if self._returned is not None:
        info = self.get_info()
        self._endings.ended(info.workflow_id, info.run_id, self._returned)
    return completion


def commits_by_itself(init: Any, self: Any, *arguments: Any) -> None:
    """The client commits by itself what it has delivered."""
    init(self, *arguments)
    self._consumer._enable_auto_commit = True
    self._consumer._auto_commit_interval_ms = 50


async def polls_without_end(_: Any, self: Any, partitions: Any, *, records_max: int, timeout_s: float) -> Any:
    """A poll lasts as long as aiokafka waits in it: in a rebalance for ever."""
    named = [self._at(partition) for partition in partitions or (2**31 - 1,)]
    try:
        found = await self._consumer.getmany(*named, timeout_ms=round(timeout_s * 1000), max_records=records_max)
    except NoOffsetForPartitionError:
        return {}
    return {at.partition: [as_kafka_record(record) for record in records] for at, records in found.items()}


class _NotSought:
    """A reader that stays where it is."""

    def seek(self, partition: int, offset: int) -> None:
        """Nothing."""


def not_sought(begin_one: Any, self: Any, reader: Any, beginning: Any) -> None:
    """A partition that is assigned goes on behind what was read of it, and dropped, before it was set up."""
    del reader
    begin_one(self, _NotSought(), beginning)


def unchecked(body: Any, head: str, text: str) -> Any:
    """The metadata's checksum is not looked at."""
    del body, head
    return base64.b85decode(text)[8:]
