"""One call's time, its socket, and whether a byte of its request left."""

import math
import socket
import struct
import time
from typing import Self

CONNECT_SHARE = 0.5
"""The share of a call's time in which its connection must stand. A request that leaves with no time for its answer
would only turn a harmless `not_sent` into an `unknown`."""

_NOTSENT_LOWAT_BYTES = 0x7FFF_FFFF
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class TransportError(Exception):
    """A call's connection failed; the text is one line for people. Whether a byte left is the Transmission's to say."""


def boottime_s() -> float:
    """Seconds of CLOCK_BOOTTIME, which never jumps and goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Transmission:
    """What one call may still do, and what it did: its deadline, its one connection, and whether a byte of it left.

    `handed_over` is the one truth about `not_sent`: while it is False, the kernel never had a byte of the request.
    As a context manager it closes the connection at the end: by a reset, so that the kernel drops what it has not sent
    yet, unless `complete` says that the answer arrived whole.
    """

    def __init__(self, deadline_boottime_s: float) -> None:
        self.deadline_boottime_s = deadline_boottime_s
        self.connect_until_boottime_s = deadline_boottime_s - self.left_s() * (1 - CONNECT_SHARE)
        self.handed_over = False
        self.complete = False
        self._socket: socket.socket | None = None

    def left_s(self) -> float:
        """Seconds until the deadline; 0 where it has passed."""
        return max(self.deadline_boottime_s - boottime_s(), 0.0)

    def connect_left_s(self) -> float:
        """Seconds until the connection has to stand; 0 where that time has passed."""
        return max(self.connect_until_boottime_s - boottime_s(), 0.0)

    def check_deadline(self) -> None:
        """Refuse to go on after the deadline.

        Raises:
            TransportError: the deadline has passed.
        """
        if boottime_s() >= self.deadline_boottime_s:
            raise TransportError("the call's time is over")

    def open_socket(self, family: int) -> socket.socket:
        """Make the call's one socket, in place of one that did not connect."""
        self.close()
        self._socket = sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        sock.settimeout(0.0)  # never blocks
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A host may set a low mark for all its sockets, at which a request would be taken in pieces.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _NOTSENT_LOWAT_BYTES)
        self.limit_retransmission(sock)
        return sock

    def limit_retransmission(self, sock: socket.socket) -> None:
        """Let the kernel give up unacknowledged bytes when the call's time is over, even if this process cannot run."""
        left_ms = max(math.ceil(self.left_s() * 1000), 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, left_ms)

    def close(self) -> None:
        """Close the connection. Safe to repeat."""
        if self._socket is None or self._socket.fileno() < 0:
            return
        if not self.complete:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._socket.close()

    def __enter__(self) -> Self:
        """Begin the call."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it: close the connection, whatever happened."""
        self.close()
