"""A clock of a process's own, which can be set while it runs: Debian's libfaketime, unpacked and not installed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from devstack.cache import ensure_built
from devstack.debian import download_package
from devstack.errors import DevstackError

_PACKAGE = "libfaketime"
_LIBRARY = "usr/lib/*/faketime/libfaketimeMT.so.1"


def ensure_faketime(report: Callable[[str], None]) -> Path:
    """The library, from this machine if it is installed, else fetched once.

    Raises:
        DevstackError: where it cannot be had, saying what to install.
    """
    if installed := sorted(Path("/").glob(_LIBRARY)):
        return installed[0]

    def build(folder: Path) -> None:
        report("fetching libfaketime (lets a process's clock jump in the campaigns; 50 KB, a second)")
        download_package(_PACKAGE, folder)

    found = sorted(ensure_built(_PACKAGE, build).glob(_LIBRARY))
    if not found:
        raise DevstackError(f"Debian's {_PACKAGE} holds no {_LIBRARY}: install {_PACKAGE} by hand.")
    return found[0]


@dataclass(frozen=True, slots=True)
class OwnClock:
    """The wall clock of the processes that are started with `environment`. The clocks that only count seconds stay true."""

    library: Path
    file: Path

    @property
    def environment(self) -> Mapping[str, str]:
        """What the loader and the library go by."""
        return {
            "LD_PRELOAD": str(self.library),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # The file is read again after a second: reading it at every look at the clock costs 15 microseconds each.
            "FAKETIME_CACHE_DURATION": "1",
            "NO_FAKE_STAT": "1",
        }

    def set(self, ahead_s: float) -> None:
        """Let the clock go so many seconds before the true one, or behind it where they are negative."""
        arriving = self.file.with_suffix(".new")
        arriving.write_text(f"{ahead_s:+.0f}\n")
        arriving.rename(self.file)
