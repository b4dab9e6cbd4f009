"""A command as a person runs it: a process of its own, its input, and all that it says."""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from devstack.preloaded import Preloaded
from devstack.processes import ManagedProcess
from devstack.server import minimal_environment
from devstack.site import Site
from tests.support.leaks import WATCHED

COMMAND_TIMEOUT_S: Final = 60.0
AS_A_MODULE: Final = ("-m", "app")
PRELOADED: Preloaded | None = None
"""Of this run of the tests."""


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
    argv = [sys.executable, *(start or Site.launcher), *arguments]
    env = minimal_environment() | dict(environment)
    if PRELOADED is not None and start is None and PRELOADED.can_fork(argv, env):
        told = await _forked(PRELOADED, argv, env, stdin)
    else:
        told = await _started(argv, env, stdin)
    if "--reveal" not in arguments:
        WATCHED.printed.append((" ".join(("recharge", *arguments)), told.out + told.err))
    return told


async def _forked(preloaded: Preloaded, argv: Sequence[str], env: Mapping[str, str], stdin: bytes) -> Told:
    with TemporaryDirectory() as folder:
        given, out, err = (Path(folder) / name for name in ("in", "out", "err"))
        given.write_bytes(stdin)
        with given.open("rb") as fd0, out.open("wb") as fd1, err.open("wb") as fd2:
            child = preloaded.fork(argv[2:], env, (fd0.fileno(), fd1.fileno(), fd2.fileno()), None)
        process = ManagedProcess(argv[3], child, err)
        try:
            status = await process.wait(COMMAND_TIMEOUT_S)
        finally:
            process.kill()
        return Told(
            status, out.read_text(encoding="utf-8", errors="replace"), err.read_text(encoding="utf-8", errors="replace")
        )


async def _started(argv: Sequence[str], env: Mapping[str, str], stdin: bytes) -> Told:
    command = await asyncio.create_subprocess_exec(
        *argv,
        env=env,
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
    return Told(command.returncode, out.decode(errors="replace"), err.decode(errors="replace"))
