"""Kafka's protocol, where the wire can read it: which messages are a client's wish to know, over and over, whether there is anything new.

They are passed on uncounted. None of them changes anything that outlives the connection, so a process that dies before one leaves the same
world behind as one that dies before the message that comes next.
"""

import io
from dataclasses import dataclass
from typing import Final, get_args

from aiokafka.protocol.api import Response
from aiokafka.protocol.fetch import FetchRequest, FetchRequestStruct
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.protocol.metadata import MetadataRequest

from devstack.wire.framing import Cutter, FramingError

_SIZE_BYTES: Final = 4
_HEADER_BYTES: Final = 8
"""Both directions have a number of the call: a request behind what is asked for and in which version, an answer at its beginning."""
_MESSAGE_BYTES_MAX: Final = 100 * 1024 * 1024
"""Kafka's own limit to a request (`socket.request.max.bytes`). The first bytes of any other protocol are far above it."""
_PERIODIC: Final = frozenset({HeartbeatRequest.API_KEY, MetadataRequest.API_KEY})
_FETCHED: Final[dict[int, type[Response]]] = {
    each.API_VERSION: each.RESPONSE_TYPE for each in get_args(FetchRequestStruct)
}


@dataclass(frozen=True, slots=True)
class _Call:
    api_key: int
    version: int


class _KafkaCutter(Cutter):
    """One direction. Both share the calls that are not answered yet, by their numbers."""

    def __init__(self, calls: dict[int, _Call]) -> None:
        super().__init__()
        self._calls = calls

    def _size_bytes(self, buffer: bytearray) -> int | None:
        if len(buffer) < _SIZE_BYTES:
            return None
        body_bytes = int.from_bytes(buffer[:_SIZE_BYTES], "big")
        if not _SIZE_BYTES <= body_bytes <= _MESSAGE_BYTES_MAX:
            raise FramingError(f"no message of Kafka's begins with {bytes(buffer[:_SIZE_BYTES]).hex(' ')}")
        return _SIZE_BYTES + body_bytes


class KafkaRequestCutter(_KafkaCutter):
    """A client's requests. Heartbeats, questions for metadata and fetches are not counted."""

    def _is_counted(self, raw: bytes) -> bool:
        header = raw[_SIZE_BYTES : _SIZE_BYTES + _HEADER_BYTES]
        call = _Call(int.from_bytes(header[:2], "big"), int.from_bytes(header[2:4], "big"))
        self._calls[int.from_bytes(header[4:], "big")] = call
        return call.api_key not in _PERIODIC and call.api_key != FetchRequest.API_KEY


class KafkaAnswerCutter(_KafkaCutter):
    """A broker's answers. Those to heartbeats and to questions for metadata are not counted, nor fetches that bring nothing."""

    def _is_counted(self, raw: bytes) -> bool:
        call = self._calls.pop(int.from_bytes(raw[_SIZE_BYTES : 2 * _SIZE_BYTES], "big"), None)
        if call is None:
            return True
        if call.api_key == FetchRequest.API_KEY:
            return _brings_something(_FETCHED[call.version], raw[2 * _SIZE_BYTES :])
        return call.api_key not in _PERIODIC


def kafka_cutters() -> tuple[Cutter, Cutter]:
    """What cuts the two directions of a connection, the one to the broker first."""
    calls: dict[int, _Call] = {}
    return KafkaRequestCutter(calls), KafkaAnswerCutter(calls)


def _brings_something(answer: type[Response], body: bytes) -> bool:
    """Whether a fetch was answered by records, or by an error of a partition."""
    topics = answer.decode(io.BytesIO(body)).topics
    return any(error_code or records for _, partitions in topics or [] for _, error_code, *_, records in partitions)
