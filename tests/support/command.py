"""A command as a person runs it: a process of its own, its input, and all that it says."""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from devstack.server import minimal_environment
from devstack.site import Site
from tests.support.leaks import WATCHED

COMMAND_TIMEOUT_S: Final = 60.0
AS_A_MODULE: Final = ("-m", "app")


@dataclass
class Told:
    """How a command ended, and what it said."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


async def ask(
    *arguments: str, environment: Mapping[str, str], stdin: bytes = b"", start: Sequence[str] | None = None
) -> Told:
    """Run `recharge` with these arguments and nothing but this environment; `start` is how Python begins it, where not as a site does."""
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, *(start or Site.launcher), *arguments),
        env=minimal_environment() | dict(environment),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(COMMAND_TIMEOUT_S):
            out, err = await command.communicate(stdin)
    finally:
        if command.returncode is None:
            command.kill()
            await command.wait()
    assert command.returncode is not None
    if "--reveal" not in arguments:
        WATCHED.printed.append((" ".join(("recharge", *arguments)), (out + err).decode(errors="replace")))
    return Told(command.returncode, out.decode(), err.decode())
