"""Two processes with one group instance id.

Kafka lets the newer one have the older one's place. The older one would take it back at its next heartbeat (aiokafka sends these
without the instance id, so the broker never tells it why it is unknown), and so on every few seconds. No promise breaks by it, but
hardly anything gets done. So the one that was put out looks whether somebody lives in its place, says so, and stops.
"""

import asyncio
import time

import structlog

from ingest import kafka_words as words
from ingest.kafka import Cluster
from recharge import limits
from recharge.settings import KafkaSettings

_INTERVAL_S = 0.5
_log = structlog.get_logger(__name__)


async def check_instance(kafka: KafkaSettings, cluster: Cluster) -> None:
    """Return when nobody else bears our group instance id. Asked by a member that the group does not know any more.

    A member that is still there when its session must have ended is alive. One that is gone was dead, or a late echo of our own joining.

    Raises:
        InstanceTaken: somebody else bears it, and lives.
        KafkaProblem: the cluster did not say.
    """
    if kafka.group_instance_id is None:
        return
    instance_id = kafka.group_instance_id
    alive_at_s = time.monotonic() + limits.KAFKA_SESSION_TIMEOUT_S + limits.KAFKA_HEARTBEAT_INTERVAL_S
    is_told = False
    while (host := await cluster.host_of_instance(instance_id)) is not None:
        if not is_told:
            is_told = True
            _log.warning(
                "another member has our group instance id; is it alive?", group_instance_id=instance_id, host=host
            )
        if time.monotonic() > alive_at_s:
            raise words.instance_taken(instance_id, kafka.group_id, host)
        await asyncio.sleep(_INTERVAL_S)
