"""Running the installers' commands, with their errors in plain words."""

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from devstack.errors import DevstackError

# A slow line may take this long for the largest download, 60 MB; nothing hangs for ever.
COMMAND_TIMEOUT_S: Final = 1_800.0
_SHOWN_LINES = 15


def run(what: str, argv: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run a command to its end and return its standard output.

    Raises:
        DevstackError: when it is missing, fails or does not end, with `what` failed and the last lines it wrote.
    """
    with tempfile.TemporaryFile() as errors:
        try:
            done = subprocess.run(
                argv,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                timeout=COMMAND_TIMEOUT_S,
                check=False,
            )
        except FileNotFoundError:
            raise DevstackError(f"{what} failed: {argv[0]} is not installed.") from None
        except subprocess.TimeoutExpired:
            raise DevstackError(f"{what} failed: {argv[0]} did not end within {COMMAND_TIMEOUT_S:g} s.") from None
        errors.seek(0)
        output = done.stdout.decode(errors="replace")
        if done.returncode != 0:
            written = (output + errors.read().decode(errors="replace")).strip().splitlines()
            shown = "\n".join(written[-_SHOWN_LINES:])
            raise DevstackError(f"{what} failed ({argv[0]} ended with status {done.returncode}):\n{shown}")
    return output


def commit_at_hand() -> str:
    """The commit of the code that runs, as git names it, with `-dirty` behind it where that was changed; `unknown` outside a clone."""
    try:
        argv = ["git", "describe", "--always", "--dirty"]
        return run("Asking git for the commit", argv, cwd=Path(__file__).parent).strip()
    except DevstackError:
        return "unknown"
