"""A second broker that joins a running one, so that what has a leader (a group's coordinator before all) can move to it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from aiokafka.protocol.admin import AlterPartitionReassignmentsRequest

from devstack.errors import DevstackError
from devstack.kafka import KafkaBroker
from devstack.kafka_admin import KafkaAdmin
from devstack.processes import wait_until

OFFSETS_TOPIC: Final = "__consumer_offsets"
_NODE_ID: Final = 2
_MOVE_TIMEOUT_S: Final = 30.0


class JoiningBroker(KafkaBroker):
    """A broker without a controller, in the cluster of `first`, which has to run. Nothing is on it until something is moved to it."""

    def __init__(self, folder: Path, first: KafkaBroker) -> None:
        super().__init__(folder, first.installation, first.certificates)
        self._first = first

    @property
    def node_id(self) -> int:
        """The broker's number in the cluster."""
        return _NODE_ID

    def password(self, user: str) -> str:
        """The password of one of the three users: the cluster has only one for each."""
        return self._first.password(user)

    async def lead(self, topic: str, partitions: Iterable[int]) -> None:
        """Move partitions of a topic to this broker alone, and wait until it leads them.

        Raises:
            DevstackError: when the cluster refuses it.
            WaitTimeoutError: when it has not come about in half a minute.
        """
        await _move(self._admin, topic, list(partitions), self.node_id)

    async def give_back(self, topic: str, partitions: Iterable[int]) -> None:
        """Move partitions of a topic back to the first broker; raises as `lead` does."""
        await _move(self._admin, topic, list(partitions), self._first.node_id)

    def _format_arguments(self) -> list[str]:
        return ["--cluster-id", self._first.cluster_id]

    def _settings(self) -> dict[str, str]:
        settings = super()._settings()
        listeners = [each for each in settings["listeners"].split(",") if not each.startswith("CONTROLLER:")]
        return settings | {
            "process.roles": "broker",
            "controller.quorum.voters": self._first.controller_voters,
            "listeners": ",".join(listeners),
        }


async def _move(admin: KafkaAdmin, topic: str, partitions: list[int], node_id: int) -> None:
    places: list[tuple[int, list[int], dict[int, bytes]]] = [(partition, [node_id], {}) for partition in partitions]
    request = AlterPartitionReassignmentsRequest(int(_MOVE_TIMEOUT_S * 1000), [(topic, places, {})], {})
    response = await admin.ask_controller(request)
    if response.error_code:
        raise DevstackError(f"Kafka refused to move {topic}: error {response.error_code}, {response.error_message}")

    async def led_by_it() -> bool:
        leaders = await admin.leaders(topic)
        return {leaders[partition] for partition in partitions} == {node_id}

    await wait_until(led_by_it, _MOVE_TIMEOUT_S, f"broker {node_id} leads {topic}", interval_s=0.05)
