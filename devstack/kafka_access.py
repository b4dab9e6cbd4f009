"""Who may do what on the broker: access rules by Kafka's own protocol, which spares starting Kafka's tools."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest, DescribeAclsRequest
from aiokafka.protocol.api import Request, Response

from devstack.errors import DevstackError

_LITERAL: Final = 3
_ALLOW: Final = 3
_REQUEST_TIMEOUT_S: Final = 15.0


class Resource(IntEnum):
    """The kinds of things that access is given to, by their numbers in Kafka's protocol."""

    TOPIC = 2
    GROUP = 3


class Operation(IntEnum):
    """What may be done, by its number in Kafka's protocol."""

    READ = 3
    WRITE = 4
    DESCRIBE = 8
    DESCRIBE_CONFIGS = 10


@dataclass(frozen=True)
class AccessRule:
    """One user may do one thing to one resource."""

    user: str
    operation: Operation
    resource: Resource
    resource_name: str


async def grant(admin: AIOKafkaAdminClient, rules: Iterable[AccessRule]) -> None:
    """Make the rules and wait until the broker obeys them; rules that stand already are left as they are.

    Raises:
        DevstackError: when the broker refuses one.
    """
    wanted = list(rules)
    await asyncio.gather(*(_create(admin, rule) for rule in wanted))
    # The controller has the rules now; the broker's own authorizer learns them a moment later.
    async with asyncio.timeout(_REQUEST_TIMEOUT_S):
        while not all(await asyncio.gather(*(_stands(admin, rule) for rule in wanted))):  # noqa: ASYNC110 - the broker is asked
            await asyncio.sleep(0.01)


async def _create(admin: AIOKafkaAdminClient, rule: AccessRule) -> None:
    request = CreateAclsRequest(
        rule.resource, rule.resource_name, _LITERAL, f"User:{rule.user}", "*", rule.operation, _ALLOW
    )
    response = await _send(admin, request)
    for error_code, message in response.creation_responses:
        if error_code:
            raise DevstackError(f"Kafka refused {rule}: error {error_code}, {message}")


async def _stands(admin: AIOKafkaAdminClient, rule: AccessRule) -> bool:
    request = DescribeAclsRequest(
        rule.resource, rule.resource_name, _LITERAL, f"User:{rule.user}", "*", rule.operation, _ALLOW
    )
    response = await _send(admin, request)
    if response.error_code:
        raise DevstackError(
            f"Kafka does not show its access rules: error {response.error_code}, {response.error_message}"
        )
    return bool(response.resources)


async def _send(admin: AIOKafkaAdminClient, request: Request) -> Response:
    async with asyncio.timeout(_REQUEST_TIMEOUT_S):
        # The admin client has no method for access rules, only the messages; this is how it sends its own.
        return await admin._send_request(request)  # noqa: SLF001
