"""The file of NAME=VALUE lines that RECHARGE_ENV_FILE names. The real environment wins over it."""

import os
import re
from collections.abc import Mapping

from app.setting_problems import FileProblemError, SettingsError, read_small_file

ENV_FILE = "RECHARGE_ENV_FILE"
_FILE_LINE = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?P<value>.*)")
_QUOTED = re.compile(r"(?P<quote>['\"])(?P<text>.*)(?P=quote)(?:\s+#.*)?")


def variables(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """All variables, those of RECHARGE_ENV_FILE included, for Temporal's own `TEMPORAL_…` settings.

    Raises SettingsError where the file cannot be read.
    """
    environ = os.environ if environ is None else environ
    return {**file_variables(environ), **environ}


def file_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of the file that RECHARGE_ENV_FILE names, or none.

    Raises SettingsError where the file, or one of its lines, cannot be read.
    """
    path = environ.get(ENV_FILE)
    if path is None:
        return {}
    try:
        text = read_small_file(path)
    except FileProblemError as problem:
        raise SettingsError([f"{ENV_FILE} {problem}; for example {ENV_FILE}=/etc/recharge/recharge.env"]) from None
    found: dict[str, str] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = _FILE_LINE.fullmatch(line)
        value = None if match is None else _unquoted(match["value"])
        if match is None or value is None:
            # The line is not repeated, since it may hold a secret.
            where = f"line {number} of the file named by {ENV_FILE}"
            raise SettingsError([f"{where} cannot be read; write NAME=VALUE, NAME='VALUE' or a # comment"])
        if match["name"] in found:
            raise SettingsError(
                [f"{match['name']} stands twice in the file named by {ENV_FILE}, again in line {number}"]
            )
        found[match["name"]] = value
    return found


def _unquoted(value: str) -> str | None:
    """The value without quotes and comment, as it stands: a password may hold what looks like a $VARIABLE."""
    if value[:1] in {"'", '"'}:
        quoted = _QUOTED.fullmatch(value)
        return None if quoted is None else quoted["text"]
    return re.split(r"(?:^|\s+)#", value, maxsplit=1)[0]
