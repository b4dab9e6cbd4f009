"""What all groups of settings share: their base, and the kinds of values that several of them have."""

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

PORT_MAX = 65_535
TEN_YEARS_S = 315_576_000.0
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1", "[::1]"})
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def is_loopback(host: str | None) -> bool:
    """Tell whether a host name means this machine, where alone an unencrypted connection may be asked for."""
    return host is not None and (host in LOOPBACK_HOSTS or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None)


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("may hold letters, digits, '.', '_' and '-' only")
    return value


Name = Annotated[str, AfterValidator(_name)]


def _readable_file(path: Path) -> Path:
    # The path is not repeated: people paste the certificate or the key itself here.
    try:
        regular = path.is_file()
        readable = regular and os.access(path, os.R_OK)
    except OSError:
        regular = readable = False
    if not regular:
        raise ValueError("must be the path of a file")
    if not readable:
        raise ValueError("names a file that this process may not read")
    return path


ReadableFile = Annotated[Path, AfterValidator(_readable_file)]


class Section(BaseModel):
    """A group of settings. Unknown names are refused, since a misspelt setting would silently be a default."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False, defer_build=True
    )
