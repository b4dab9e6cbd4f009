"""Prometheus and its own checker of alert rules: the programs on PATH, or Debian's, unpacked and not installed.

python -m devstack.promtool check rules FILE…
"""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from devstack.cache import ensure_built
from devstack.debian import download_package
from devstack.errors import DevstackError

_PACKAGE: Final = "prometheus"
_SERVER: Final = "prometheus"
_CHECKER: Final = "promtool"


def ensure_promtool(report: Callable[[str], None]) -> Path:
    """The checker, from this machine if it is installed, else fetched once.

    Raises:
        DevstackError: where it cannot be had, saying what to install.
    """
    return _ensure(_CHECKER, report)


def ensure_prometheus(report: Callable[[str], None]) -> Path:
    """The server, likewise.

    Raises:
        DevstackError: where it cannot be had, saying what to install.
    """
    return _ensure(_SERVER, report)


def _ensure(program: str, report: Callable[[str], None]) -> Path:
    if installed := shutil.which(program):
        return Path(installed)

    def build(folder: Path) -> None:
        report("fetching Prometheus and promtool (check the alert rules; Debian's package, 20 MB, a few seconds)")
        download_package(_PACKAGE, folder)
        for name in (_SERVER, _CHECKER):
            (folder / "usr" / "bin" / name).rename(folder / name)
        # Its service files and pages would only lie there.
        for rest in folder.iterdir():
            if rest.is_dir():
                shutil.rmtree(rest)

    try:
        return ensure_built("prometheus-and-promtool", build) / program
    except (DevstackError, OSError) as error:
        raise DevstackError(f"{program} cannot be fetched: {error} Install Debian's {_PACKAGE} by hand.") from error


def main() -> None:
    """Become promtool, with the arguments that were given."""
    try:
        program = ensure_promtool(lambda message: print(f"devstack: {message}", file=sys.stderr))  # noqa: T201
    except DevstackError as error:
        sys.exit(f"devstack: {error}")
    os.execv(program, [str(program), *sys.argv[1:]])  # noqa: S606  # no shell is wanted


if __name__ == "__main__":
    main()
