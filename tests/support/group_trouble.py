"""What an administrator can do to a running intake: put its members out of the group, or take a permission away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.protocol.admin import DeleteAclsRequest, DescribeGroupsRequest
from aiokafka.protocol.group import LeaveGroupRequest

from devstack.kafka import SERVICE
from devstack.kafka_access import AccessRule, Operation, Resource
from tests.support.intake import FINAL_TIMEOUT_S, Corner

_LITERAL = 3
_ALLOW = 3


class Coordinator:
    """The coordinator of a corner's group, asked by Kafka's own protocol."""

    def __init__(self, group: str, client: AIOKafkaClient, node: int) -> None:
        self._group = group
        self._client = client
        self._node = node

    async def members(self) -> list[str]:
        """The ids of the group's members; none while they change."""
        response = await self._client.send(self._node, DescribeGroupsRequest([self._group]))
        ((error_code, _, state, _, _, members, *_),) = response.groups
        assert error_code == 0
        return [member[0] for member in members] if state == "Stable" else []

    async def put_out(self, member_id: str) -> None:
        """Have a member leave the group without its knowledge, as at the end of its session."""
        response = await self._client.send(self._node, LeaveGroupRequest(self._group, member_id))
        assert response.error_code == 0


@asynccontextmanager
async def coordinator(corner: Corner) -> AsyncIterator[Coordinator]:
    """The coordinator of the corner's group."""
    client = AIOKafkaClient(**corner.stack.kafka.client_options())
    await client.bootstrap()
    try:
        async with asyncio.timeout(FINAL_TIMEOUT_S):
            node = await client.coordinator_lookup(CoordinationType.GROUP, corner.site.group)
            yield Coordinator(corner.site.group, client, node)
    finally:
        await client.close()


def topic_rule(corner: Corner, operation: Operation) -> AccessRule:
    """What the service may do to the topic."""
    return AccessRule(SERVICE, operation, Resource.TOPIC, corner.site.topic)


def dead_letter_rule(corner: Corner, operation: Operation) -> AccessRule:
    """What the service may do to the dead-letter topic."""
    return AccessRule(SERVICE, operation, Resource.TOPIC, f"{corner.site.topic}.dlt")


def group_rule(corner: Corner, operation: Operation) -> AccessRule:
    """What the service may do to the group."""
    return AccessRule(SERVICE, operation, Resource.GROUP, corner.site.group)


async def revoke(corner: Corner, rule: AccessRule) -> None:
    """Take one permission away."""
    request = DeleteAclsRequest(
        rule.resource, rule.resource_name, _LITERAL, f"User:{rule.user}", "*", rule.operation, _ALLOW
    )
    async with corner.kafka_admin() as admin:
        response: Any = await admin._send_request(request)
    ((error_code, message, removed),) = response.filter_responses
    assert error_code == 0, message
    assert len(removed) == 1, "it was there to be taken away"
