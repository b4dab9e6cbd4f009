"""Runs a command of ours and kills it at one step of one partition's record: STEP before|after PARTITION COMMAND.

A step is a call that changes something outside the process. `before`: it has not begun; `after`: it is done, and its caller does not know.
The product has no hook for this: the step's function is replaced from outside, in this process alone.
"""

import functools
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from activities.ledger import Ledger
from activities.profile import Call
from activities.provider import Provider
from app.__main__ import main
from devstack.without.safeguards import taken_away_as_told
from ingest.dead_letters import DeadLetters
from ingest.kafka import RecordReader
from ingest.starter import Starter
from recharge.contract import RecordInput

STEPS: dict[str, tuple[type, str]] = {
    "open": (Ledger, "open_attempt"),
    "send": (Provider, "send"),
    "close": (Ledger, "close_attempt"),
    "look": (Ledger, "lookup_facts"),
    "verdict": (Ledger, "apply_lookup"),
    "result": (Ledger, "record_result"),
    "start": (Starter, "_start"),
    "letter": (DeadLetters, "publish"),
    "commit": (RecordReader, "commit"),
}


def die_at(step: str, when: str, partition: int) -> None:
    """Have this process killed when the step is reached for a record of the partition."""
    owner, name = STEPS[step]
    original: Callable[..., Awaitable[Any]] = getattr(owner, name)

    @functools.wraps(original)
    async def deadly(*arguments: Any, **keywords: Any) -> Any:  # whatever the step takes and gives
        is_it = any(_concerns(argument, partition) for argument in arguments)
        if is_it and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = await original(*arguments, **keywords)
        if is_it:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    setattr(owner, name, deadly)


def _concerns(argument: object, partition: int) -> bool:
    match argument:
        case RecordInput():
            return argument.partition == partition
        case Call():
            return argument.reference.split(":")[2] == str(partition)
        case dict():
            return partition in argument
        case _:
            return False


if __name__ == "__main__":
    _, step, when, partition, command = sys.argv
    sys.argv = ["recharge", command]
    with taken_away_as_told():
        die_at(step, when, int(partition))
        main()
