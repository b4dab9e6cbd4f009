"""A record that breaks Kafka's own format, and which a broker takes all the same."""

import time

from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record import default_records

from tests.support.intake import Corner
from tests.support.records import value


class _NotUtf8(str):
    """A header's name that is no text."""

    __slots__ = ()

    def encode(self, *_: str) -> bytes:
        return b"\xff\xfe"


async def produce_unreadable(corner: Corner, partition: int, *, behind: int = 0) -> None:
    """Send one whose header has no text for a name, and some behind it in the same batch."""
    # No client of today writes such a record, so the request is written here: aiokafka's builder in Python lets it pass.
    builder = default_records._DefaultRecordBatchBuilderPy(2, 0, 0, -1, -1, -1, 10_000)
    builder.append(0, int(time.time() * 1000), None, value(), [(_NotUtf8("ab"), b"x")])
    for number in range(1, behind + 1):
        builder.append(number, int(time.time() * 1000), None, value(), [])
    client = AIOKafkaClient(**corner.stack.kafka.client_options())
    await client.bootstrap()
    try:
        request = ProduceRequest(None, -1, 10_000, [(corner.site.topic, [(partition, bytes(builder.build()))])])
        response = await client.send(client.get_random_node(), request)
    finally:
        await client.close()
    ((_, ((_, error_code, *_),)),) = response.topics
    assert error_code == 0
