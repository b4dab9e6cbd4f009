"""The browser in which the Web UI's pages are read: Chromium, Debian's or the one named by CHROMIUM."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from devstack.debian import install_packages, require_root
from devstack.errors import DevstackError

# Without a font a page's letters are empty boxes, and no package of Chromium's brings one.
_PACKAGES: Final = ("chromium", "fonts-dejavu-core")
_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")


def chromium_program() -> Path:
    """The browser's program.

    Raises:
        DevstackError: where there is none, saying what to do.
    """
    program = _find()
    if program is None:
        raise DevstackError("Chromium is missing: apt-get install chromium, or set CHROMIUM=/path/to/chromium")
    return program


def ensure_chromium(report: Callable[[str], None]) -> Path:
    """The browser's program, installed by apt-get as root where it is missing.

    Raises:
        DevstackError: where it cannot be had, saying what to install.
    """
    if _find() is None:
        require_root(_PACKAGES, "Chromium (reads the Web UI's pages in a test)")
        report("installing Chromium (reads the Web UI's pages in a test) by apt-get; 100 MB, about 20 s")
        install_packages(_PACKAGES)
    return chromium_program()


def _find() -> Path | None:
    if named := os.environ.get("CHROMIUM"):
        if not Path(named).exists():
            raise DevstackError(f"CHROMIUM={named}: there is no such program")
        return Path(named)
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    return None if found is None else Path(found)
