"""Things that are fetched or built once for this machine: whole or not at all, and by one process at a time."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

CACHE_FOLDER_VARIABLE = "RECHARGE_DEVSTACK_CACHE"


def cache_folder() -> Path:
    """Where the fetched things are: RECHARGE_DEVSTACK_CACHE, or ~/.cache/recharge-devstack. Always absolute."""
    configured = os.environ.get(CACHE_FOLDER_VARIABLE)
    folder = Path(configured) if configured else Path.home() / ".cache" / "recharge-devstack"
    return folder.absolute()


def ensure_built(name: str, build: Callable[[Path], None]) -> Path:
    """The cached folder of this name; where it is missing, `build` fills a temporary one that is renamed into place.

    So an interrupted build leaves nothing that looks finished, and of two processes that come at once the second waits
    and takes the first one's result.
    """
    target = cache_folder() / name
    if target.exists():
        return target
    with locked(name):
        if target.exists():
            return target
        prefix = f".{name}-"
        # Under the lock nobody else builds this: what is there was left by a build that was killed.
        for left_over in target.parent.glob(f"{prefix}*.building"):
            shutil.rmtree(left_over, ignore_errors=True)
        building = Path(tempfile.mkdtemp(prefix=prefix, suffix=".building", dir=target.parent))
        try:
            build(building)
            building.rename(target)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    return target


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the machine-wide lock of this name; the kernel frees it when the process ends for whatever reason."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / f".{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
