"""Where one message on a connection ends and the next begins. Pure: bytes in any portions in, whole messages out.

A message is a TLS record, a frame of HTTP/2 in clear text, or one of MySQL's two packets before its TLS begins. What is inside a TLS record
cannot be read here and need not be: the other side cannot act on a part of a record either.
"""

import abc
from dataclasses import dataclass
from typing import Final

_TLS_HEADER_BYTES: Final = 5
_TLS_TYPES: Final = range(20, 25)
"""change_cipher_spec, alert, handshake, application_data, heartbeat."""
_TLS_RECORD_BYTES_MAX: Final = 2**14 + 2048

_MYSQL_HEADER_BYTES: Final = 4
_MYSQL_ERROR: Final = 0xFF
"""The first byte behind an error's header."""
_MYSQL_FIRST_PACKET_BYTES_MAX: Final = 2**16

_HTTP2_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HTTP2_HEADER_BYTES: Final = 9
_HTTP2_TYPE_AT: Final = 3
_HTTP2_FLAGS_AT: Final = 4
_HTTP2_DATA: Final = 0
_HTTP2_HEADERS: Final = 1
_HTTP2_END_STREAM: Final = 0x1


class FramingError(Exception):
    """The bytes are not what this connection is supposed to carry."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message, header and all; `is_counted` where it can make the other side do something."""

    raw: bytes
    is_counted: bool


class Cutter(abc.ABC):
    """Cuts one direction of one connection into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def rest(self) -> bytes:
        """The beginning of a message whose end has not come."""
        return bytes(self._buffer)

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are whole with this data.

        Raises:
            FramingError: where the bytes cannot be a message of this kind.
        """
        self._buffer += data
        messages: list[Message] = []
        while (size := self._size_bytes(self._buffer)) is not None and size <= len(self._buffer):
            raw = bytes(self._buffer[:size])
            del self._buffer[:size]
            messages.append(Message(raw, self._is_counted(raw)))
        return messages

    @abc.abstractmethod
    def _size_bytes(self, buffer: bytearray) -> int | None:
        """The size of the message that the buffer begins with, or None where too little of it is there to know."""

    def _is_counted(self, raw: bytes) -> bool:
        """Whether a whole message is counted; called once for each, in order."""
        del raw
        return True


class TlsCutter(Cutter):
    """A connection that carries TLS from its first byte on."""

    def _size_bytes(self, buffer: bytearray) -> int | None:
        if len(buffer) < _TLS_HEADER_BYTES:
            return None
        body_bytes = int.from_bytes(buffer[3:_TLS_HEADER_BYTES], "big")
        if buffer[0] not in _TLS_TYPES or body_bytes > _TLS_RECORD_BYTES_MAX:
            raise FramingError(f"no TLS record begins with {bytes(buffer[:_TLS_HEADER_BYTES]).hex(' ')}")
        return _TLS_HEADER_BYTES + body_bytes


class MySQLCutter(TlsCutter):
    """A connection of MySQL's: each side sends one packet in clear (its greeting, the wish for TLS), then TLS records.

    A server that waits in vain for the TLS says so, in clear: an error of a code, a state and a sentence, whose size has two bytes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._is_tls = False

    def _size_bytes(self, buffer: bytearray) -> int | None:
        if self._is_tls and not _is_mysql_error(buffer):
            return super()._size_bytes(buffer)
        if len(buffer) < _MYSQL_HEADER_BYTES:
            return None
        body_bytes = int.from_bytes(buffer[:3], "little")
        if body_bytes > _MYSQL_FIRST_PACKET_BYTES_MAX:
            raise FramingError(f"no first packet of MySQL's begins with {bytes(buffer[:_MYSQL_HEADER_BYTES]).hex(' ')}")
        return _MYSQL_HEADER_BYTES + body_bytes

    def _is_counted(self, raw: bytes) -> bool:
        self._is_tls = True
        return super()._is_counted(raw)


def _is_mysql_error(buffer: bytearray) -> bool:
    """Whether this is MySQL's error in clear; the third byte of a TLS record is part of its version, and never 0."""
    return len(buffer) > _MYSQL_HEADER_BYTES and buffer[2] == 0 and buffer[_MYSQL_HEADER_BYTES] == _MYSQL_ERROR


class Http2Cutter(Cutter):
    """A connection of HTTP/2 in clear text, as Temporal's development server speaks gRPC on it.

    Counted is one frame of a call in each direction: the DATA that has the request in it, upon which the server acts, and the last frame of
    the answer, with which the client has it. The HEADERS before a request, the end of its stream behind it, and the first frames of an
    answer make nobody do anything; nor do SETTINGS, PING or WINDOW_UPDATE. The client's preface is passed on uncounted, too.
    """

    def __init__(self, *, is_client: bool) -> None:
        super().__init__()
        self._is_client = is_client
        self._awaits_preface = is_client

    def _size_bytes(self, buffer: bytearray) -> int | None:
        if self._awaits_preface:
            if not _HTTP2_PREFACE.startswith(buffer[: len(_HTTP2_PREFACE)]):
                raise FramingError(f"a client of HTTP/2 does not begin with {bytes(buffer[: len(_HTTP2_PREFACE)])!r}")
            return len(_HTTP2_PREFACE)
        if len(buffer) < _HTTP2_HEADER_BYTES:
            return None
        return _HTTP2_HEADER_BYTES + int.from_bytes(buffer[:3], "big")

    def _is_counted(self, raw: bytes) -> bool:
        if self._awaits_preface:
            self._awaits_preface = False
            return False
        kind = raw[_HTTP2_TYPE_AT]
        if self._is_client:
            return kind == _HTTP2_DATA and len(raw) > _HTTP2_HEADER_BYTES
        return kind in {_HTTP2_DATA, _HTTP2_HEADERS} and bool(raw[_HTTP2_FLAGS_AT] & _HTTP2_END_STREAM)
