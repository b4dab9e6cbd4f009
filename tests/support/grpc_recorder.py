"""A server that speaks just enough HTTP/2 to hear a gRPC client's headers, and to refuse its call."""

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

_PREFACE_BYTES: Final = 24
_HEADERS, _SETTINGS, _PING = 1, 4, 6
_ACK, _END_OF_STREAM_AND_HEADERS = 0x1, 0x5
# RFC 7541, appendix B: the codes of the characters that the tests' keys are made of.
_HUFFMAN: Final = {
    "0": "00000", "1": "00001", "2": "00010", "a": "00011", "c": "00100", "e": "00101", "i": "00110", "o": "00111",
    "s": "01000", "t": "01001", " ": "010100", "r": "101100", "B": "1011101",
}  # fmt: skip


def on_the_wire(value: str) -> bytes:
    """A header's value as HPACK writes it. The last byte, which is padded, is left out."""
    bits = "".join(_HUFFMAN[character] for character in value)
    return bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits) // 8 * 8, 8))


@dataclass
class GrpcRecorder:
    """What clients sent, and where they are heard."""

    address: str = ""
    received: bytearray = field(default_factory=bytearray)
    """Every byte, as it was inside TLS where there is TLS."""


@contextlib.asynccontextmanager
async def grpc_recorder(context: ssl.SSLContext | None, *, status: int = 16) -> AsyncIterator[GrpcRecorder]:
    """Listen on loopback; each call is answered by this gRPC status (16: unauthenticated)."""
    recorder = GrpcRecorder()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            recorder.received += await reader.read(1)
            recorder.received += await reader.readexactly(_PREFACE_BYTES - 1)
            writer.write(_frame(_SETTINGS, 0, 0, b""))
            while True:
                head = await reader.readexactly(9)
                size, kind, flags, stream = int.from_bytes(head[:3]), head[3], head[4], int.from_bytes(head[5:])
                payload = await reader.readexactly(size)
                recorder.received += payload
                if kind == _SETTINGS and not flags & _ACK:
                    writer.write(_frame(_SETTINGS, _ACK, 0, b""))
                elif kind == _PING and not flags & _ACK:
                    writer.write(_frame(_PING, _ACK, 0, payload))
                elif kind == _HEADERS:
                    writer.write(_frame(_HEADERS, _END_OF_STREAM_AND_HEADERS, stream, _refusal(status)))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        recorder.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield recorder


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + struct.pack("!BBI", kind, flags, stream) + payload


def _refusal(status: int) -> bytes:
    headers = {"content-type": "application/grpc", "grpc-status": str(status), "grpc-message": "the key is not known"}
    literal = b"".join(
        b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in headers.items()
    )
    return b"\x88" + literal  # the first entry is `:status: 200`
