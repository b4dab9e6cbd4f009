"""Questions to the cluster, beside the consumer: are the topics as they have to be, and what is committed."""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import IntEnum
from types import TracebackType
from typing import Any, Self

from aiokafka import errors
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.protocol.admin import DescribeConfigsRequest, DescribeGroupsRequest
from aiokafka.protocol.commit import (
    OffsetCommitRequest,
    OffsetFetchRequest,
    OffsetFetchResponse_v0,
    OffsetFetchResponse_v1,
)
from aiokafka.protocol.group import JoinGroupRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.offset import OffsetRequest

from ingest import kafka_words as words
from ingest.kafka.connection import calling, client_arguments, closed_in_time, find_broker
from recharge.release import release_of
from recharge.settings import KafkaSettings

_TOPIC_RESOURCE = 2
_READ_COMMITTED = 1
_UUID_CHARS = 36
_RETRY_S = 0.1
_NO_COORDINATOR = (
    errors.GroupCoordinatorNotAvailableError,
    errors.GroupLoadInProgressError,
    errors.NotCoordinatorForGroupError,
)
_GROUP_HAS_MEMBERS = (errors.UnknownMemberIdError, errors.IllegalGenerationError, errors.RebalanceInProgressError)


class Edge(IntEnum):
    """Which end of a partition is asked for, as Kafka's protocol numbers them."""

    EARLIEST = -2
    END = -1


@dataclass(frozen=True, slots=True)
class GroupMember:
    """One member of the consumer group: its group instance id, or its client id where it has none, and its host's address."""

    name: str
    host: str
    release: str | None
    """The release that runs there, by its client id; None where it does not say."""


class Cluster:
    """Questions to the cluster, beside the consumer: are the topics as they have to be, and what is committed."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._client = AIOKafkaClient(**client_arguments(settings))

    async def __aenter__(self) -> Self:
        await find_broker(self._settings)
        async with self._calling("connecting", "Describe", "the cluster"):
            await self._client.bootstrap()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await closed_in_time(self._client.close())

    def _calling(self, doing: str, operation: str, resource: str) -> AbstractAsyncContextManager[None]:
        return calling(self._settings, doing, operation=operation, resource=resource)

    async def check_topics(self) -> None:
        """Make sure that both topics exist and that no record is deleted before it was carried out.

        Raises:
            TopicMissing, TopicCompacted, PermissionMissing, KafkaUnreachable: as their names say.
        """
        await self.leaders(self._settings.topic, "RECHARGE_KAFKA__TOPIC")
        await self.leaders(self._settings.dead_letters, "RECHARGE_KAFKA__DEAD_LETTER_TOPIC")
        await self.refuse_compaction()

    async def refuse_compaction(self) -> None:
        """Make sure that the topic keeps every record: what compaction took away looks like the gap of a transaction.

        Raises:
            TopicCompacted: as its name says.
            KafkaProblem: the cluster did not say.
        """
        policy = await self.topic_setting("cleanup.policy")
        if "compact" in policy:
            raise words.topic_compacted(self._settings.topic, policy)

    async def leaders(self, topic: str, setting: str = "RECHARGE_KAFKA__TOPIC") -> dict[int, int]:
        """The partitions of a topic, each with the broker that leads it. The topic is never created by this question."""
        async with self._calling("asking for the topic's partitions", "Describe", f"topic {topic!r}"):
            response = await self._ask(MetadataRequest([topic], allow_auto_topic_creation=False))
            (described,) = response.to_object()["topics"]
            error = errors.for_code(described["error_code"])
            if error is errors.UnknownTopicOrPartitionError:
                raise words.topic_missing(topic, setting)
            if error is not errors.NoError:
                raise error(topic)
            return {partition["partition"]: partition["leader"] for partition in described["partitions"]}

    async def topic_setting(self, name: str) -> str:
        """One setting of the topic as it is in force, its default included; empty where the brokers do not know it."""
        topic = self._settings.topic
        async with self._calling(f"asking for the topic's {name}", "DescribeConfigs", f"topic {topic!r}"):
            response = await self._ask(DescribeConfigsRequest([(_TOPIC_RESOURCE, topic, [name])]))
            ((error_code, message, _, _, entries),) = response.resources
            if (error := errors.for_code(error_code)) is not errors.NoError:
                raise error(message)
            return next((entry[1] for entry in entries if entry[0] == name), "") or ""

    async def committed(self, partitions: Collection[int]) -> dict[int, tuple[int, str]]:
        """The group's committed offset and its metadata for each of these partitions that has one."""
        group, topic = self._settings.group_id, self._settings.topic
        async with self._calling("reading committed offsets", "Describe", f"topic {topic!r}"):
            response = await self._ask_coordinator(OffsetFetchRequest(group, [(topic, sorted(partitions))]))
            committed: dict[int, tuple[int, str]] = {}
            for _, described in response.topics:
                for partition, offset, metadata, error_code in described:
                    _raise_for(error_code, topic)
                    if offset >= 0:
                        committed[partition] = (offset, metadata or "")
            return committed

    async def commit_while_stopped(self, offsets: Mapping[int, int]) -> bool:
        """Commit offsets for the group without being a member of it. Returns False where it has members, which the broker refuses."""
        group, topic = self._settings.group_id, self._settings.topic
        commits = [(partition, offset, "") for partition, offset in sorted(offsets.items())]
        request = OffsetCommitRequest(
            group,
            OffsetCommitRequest.DEFAULT_GENERATION_ID,
            JoinGroupRequest.UNKNOWN_MEMBER_ID,
            OffsetCommitRequest.DEFAULT_RETENTION_TIME,
            [(topic, commits)],
        )
        async with self._calling("committing the first offsets", "Read", f"topic {topic!r}"):
            try:
                await self._ask_coordinator(request)
            except _GROUP_HAS_MEMBERS:
                return False
            return True

    async def host_of_instance(self, instance_id: str) -> str | None:
        """The host of the group's member that bears this instance id, or None where there is no such member."""
        members = await self.members()
        return next((each.host for each in members if each.name == instance_id), None)

    async def members(self) -> list[GroupMember]:
        """Who is in the group now."""
        group = self._settings.group_id
        async with self._calling("asking for the group's members", "Describe", f"group {group!r}"):
            response = await self._ask_coordinator(DescribeGroupsRequest([group]))
            return [
                # The broker makes a member's id of its instance id, or else of its client id, a hyphen and a UUID.
                GroupMember(member_id[: -_UUID_CHARS - 1], str(host).removeprefix("/"), release_of(client_id))
                for described in response.groups
                for member_id, client_id, host, *_ in described[5]
            ]

    async def _ask_coordinator(self, request: Any) -> Any:  # noqa: ANN401  # aiokafka's requests and answers have no types
        """Ask the group's coordinator, until there is one: a new cluster, and one whose leaders move, has none for a moment."""
        while True:
            try:
                coordinator = await self._client.coordinator_lookup(CoordinationType.GROUP, self._settings.group_id)
                response = await self._client.send(coordinator, request)
                for error_code in _group_errors(response):
                    _raise_for(error_code, self._settings.group_id)
            except _NO_COORDINATOR:
                await asyncio.sleep(_RETRY_S)
            else:
                return response

    async def offsets(self, partitions: Collection[int], edge: Edge) -> dict[int, int]:
        """The first offset that each partition holds, or the one after its last committed record."""
        return await self._offsets(partitions, int(edge))

    async def offsets_since(self, partitions: Collection[int], timestamp_ms: int) -> dict[int, int | None]:
        """By partition the first offset that holds a record of this timestamp or a later one; None where none does."""
        found = await self._offsets(partitions, timestamp_ms)
        return {number: None if offset < 0 else offset for number, offset in found.items()}

    async def _offsets(self, partitions: Collection[int], timestamp_ms: int) -> dict[int, int]:
        """What Kafka knows by a time; those below zero mean its edges."""
        found: dict[int, int] = {}
        for number, said in (await self.offsets_of_each(partitions, timestamp_ms)).items():
            if isinstance(said, words.KafkaProblem):
                raise said
            found[number] = said
        return found

    async def offsets_of_each(
        self, partitions: Collection[int], timestamp_ms: int
    ) -> dict[int, int | words.KafkaProblem]:
        """As `offsets` and `offsets_since` (one below zero: none does), each partition by itself: one that nobody leads keeps no other
        waiting, and gets the problem for its offset.

        Raises:
            KafkaProblem: no broker answers, or a fatal one of any partition.
        """
        leaders = await self.leaders(self._settings.topic)

        async def of_one(number: int) -> int | words.KafkaProblem:
            try:
                async with self._calling(
                    "asking for the topic's offsets", "Describe", f"topic {self._settings.topic!r}"
                ):
                    return await self._offset(leaders, number, timestamp_ms)
            except words.KafkaProblem as problem:
                return problem

        numbers = sorted(partitions)
        found = dict(zip(numbers, await asyncio.gather(*map(of_one, numbers)), strict=True))
        for said in found.values():
            if isinstance(said, words.KafkaProblem) and said.fatal:
                raise said
        return found

    async def _offset(self, leaders: Mapping[int, int], partition: int, timestamp_ms: int) -> int:
        topic = self._settings.topic
        if partition not in leaders:
            raise errors.UnknownTopicOrPartitionError(f"partition {partition}")
        # Under read_committed the end is that of the last decided transaction.
        request = OffsetRequest(-1, _READ_COMMITTED, [(topic, [(partition, timestamp_ms)])])
        response = await self._client.send(leaders[partition], request)
        ((_, ((_, error_code, _, offset),)),) = response.topics
        _raise_for(error_code, topic)
        return int(offset)

    async def _ask(self, request: object) -> Any:  # noqa: ANN401  # aiokafka's answers have no types
        return await self._client.send(self._client.get_random_node(), request)


def _group_errors(response: Any) -> list[int]:  # noqa: ANN401  # aiokafka's answers have no types
    """The errors in an answer of the group's coordinator, but for those of single partitions of an OffsetFetch."""
    match response:
        case OffsetFetchResponse_v0() | OffsetFetchResponse_v1():
            raise errors.IncompatibleBrokerVersion("the broker is older than Kafka 0.11")
        case _ if response.API_KEY == OffsetFetchRequest.API_KEY:
            return [response.error_code]
        case _ if response.API_KEY == OffsetCommitRequest.API_KEY:
            return [error_code for _, partitions in response.topics for _, error_code in partitions]
        case _:
            return [described[0] for described in response.groups]


def _raise_for(error_code: int, what: str) -> None:
    error = errors.for_code(error_code)
    if error is not errors.NoError:
        raise error(what)
