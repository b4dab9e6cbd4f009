"""Prometheus's own checker of alert rules: the program on PATH, or Debian's, unpacked and not installed.

python -m devstack.promtool check rules FILE…
"""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from devstack.cache import ensure_built
from devstack.debian import download_package
from devstack.errors import DevstackError

_PACKAGE = "prometheus"
_PROGRAM = "promtool"


def ensure_promtool(report: Callable[[str], None]) -> Path:
    """The program, from this machine if it is installed, else fetched once.

    Raises:
        DevstackError: where it cannot be had, saying what to install.
    """
    if installed := shutil.which(_PROGRAM):
        return Path(installed)

    def build(folder: Path) -> None:
        report("fetching promtool (checks the alert rules; 20 MB of Debian's prometheus, a few seconds)")
        download_package(_PACKAGE, folder)
        # The server itself, and what belongs to it, would only lie there.
        (folder / "usr" / "bin" / _PROGRAM).rename(folder / _PROGRAM)
        for rest in folder.iterdir():
            if rest.is_dir():
                shutil.rmtree(rest)

    try:
        return ensure_built(_PROGRAM, build) / _PROGRAM
    except (DevstackError, OSError) as error:
        raise DevstackError(f"promtool cannot be fetched: {error} Install Debian's {_PACKAGE} by hand.") from error


def main() -> None:
    """Become promtool, with the arguments that were given."""
    try:
        program = ensure_promtool(lambda message: print(f"devstack: {message}", file=sys.stderr))  # noqa: T201
    except DevstackError as error:
        sys.exit(f"devstack: {error}")
    os.execv(program, [str(program), *sys.argv[1:]])  # noqa: S606  # no shell is wanted


if __name__ == "__main__":
    main()
