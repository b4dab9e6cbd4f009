"""How slow the machine is at a moment: the CPU time that a fixed piece of work takes.

Others share the processors. The same work takes from once to twice and a half the CPU time here, from one second to the next, and no
counter of the system tells of it. So a piece of work is done all the time beside what is measured, and what is measured is told in such
pieces.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TURNS = 15_000
"""A millisecond or two of CPU time."""
_PAUSE_S = 0.05


class Gauge:
    """What the piece of work took each time, as the process that does it writes it down."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def piece_ms(self, began_s: float, ended_s: float) -> float:
        """What the piece of work took of CPU time between two times of the system's clock, in the mean."""
        whole, _, _ = self._file.read_text().rpartition("\n")
        read = (line.split() for line in whole.splitlines())
        return statistics.fmean(float(took_ms) for at_s, took_ms in read if began_s <= float(at_s) <= ended_s)


@contextmanager
def running_gauge() -> Iterator[Gauge]:
    """A process that does the piece of work while the body runs, at the price of a fortieth of one processor."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "gauge"
        process = subprocess.Popen([sys.executable, "-m", "bench.gauge", str(file)])
        try:
            yield Gauge(file)
        finally:
            process.kill()
            process.wait()


def _work() -> int:
    found = 0
    for number in range(_TURNS):
        found += number * number
    return found


def _write(file: Path) -> None:
    with file.open("w", buffering=1) as out:
        while True:
            began_s = time.thread_time()
            _work()
            out.write(f"{time.time()} {(time.thread_time() - began_s) * 1000}\n")
            time.sleep(_PAUSE_S)


if __name__ == "__main__":
    _write(Path(sys.argv[1]))
