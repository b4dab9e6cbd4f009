"""The process at the other end of a loopback connection."""

import os

import psutil


def find_peer_process(remote_port: int, local_port: int) -> psutil.Process | None:
    """The process that owns the client's end, or None where it has closed it, or lives on another machine.

    `remote_port` is the client's port and `local_port` ours. The kernel's tables are read anew at each call.
    """
    for connection in psutil.net_connections(kind="tcp"):
        if not connection.laddr or not connection.raddr:
            continue
        is_its_end = connection.laddr.port == remote_port and connection.raddr.port == local_port
        if is_its_end and connection.pid is not None and connection.pid != os.getpid():
            try:
                return psutil.Process(connection.pid)
            except psutil.NoSuchProcess:
                return None
    return None
