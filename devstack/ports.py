"""Free ports of 127.0.0.1 that stay ours while this process lives, also while the server on one of them is down."""

import fcntl
import itertools
import os
import random
import socket
import tempfile
from pathlib import Path
from typing import Final

from devstack.errors import DevstackError

# The kernel hands out ports above 32,767 for outgoing connections: a client that retries a dead server there may be
# given the server's port as its own and then talks to itself.
_PORTS: Final = range(20_000, 32_000)
_ATTEMPTS_MAX: Final = 1_000
_held: Final[dict[int, int]] = {}


def reserve_port() -> int:
    """A port that nothing listens on and that no other stack of this user has reserved. Freed when the process ends.

    Raises:
        DevstackError: when none was found.
    """
    folder = Path(tempfile.gettempdir()) / f"recharge-devstack-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for port in itertools.islice(_random_ports(), _ATTEMPTS_MAX):
        if port not in _held and _reserve(folder, port):
            return port
    raise DevstackError(f"No free port of 127.0.0.1 was found in {_PORTS.start} to {_PORTS.stop - 1}.")


def release_port(port: int) -> None:
    """Give a reserved port back."""
    if (lock := _held.pop(port, None)) is not None:
        os.close(lock)


def _random_ports() -> itertools.chain[int]:
    return itertools.chain.from_iterable(random.sample(_PORTS, len(_PORTS)) for _ in itertools.count())


def _reserve(folder: Path, port: int) -> bool:
    lock = os.open(folder / f"{port}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with socket.socket() as probe:
            # As the servers do; without it a port whose last connections linger would look taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except OSError:
        os.close(lock)
        return False
    _held[port] = lock
    return True
