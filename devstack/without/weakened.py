"""What stands in the place of a safeguard that was taken away: each function takes the original, and returns it without what it kept.

Where the original has two duties, the other one is left as it is, so that what goes wrong goes wrong by this one alone.
"""

import asyncio
import copy
import functools
import inspect
import secrets
import ssl
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from temporalio.common import WorkflowIDReusePolicy

from activities.ledger import Opened
from ingest.kafka import Edge
from recharge.contract import Position
from recharge.outcome import FINAL_STATES, Outcome, State


def gives(*, value: object) -> Callable[[Any], Any]:
    """A function or property that always gives this, and does nothing else."""

    def weaken(original: Any) -> Any:
        if isinstance(original, property):
            return property(lambda _: value)
        if inspect.iscoroutinefunction(original):

            @functools.wraps(original)
            async def later(*_: object, **__: object) -> object:
                return value

            return later

        @functools.wraps(original)
        def now(*_: object, **__: object) -> object:
            return value

        return now

    return weaken


YES: Final = gives(value=True)
NO: Final = gives(value=False)
NOTHING: Final = gives(value=None)


def returning(change: Callable[..., Any]) -> Callable[[Any], Any]:
    """The original, called with other arguments: `change` gets it first, and then what it was called with."""

    def weaken(original: Any) -> Any:
        @functools.wraps(original)
        def weakened(*arguments: Any, **keywords: Any) -> Any:
            return change(original, *arguments, **keywords)

        return weakened

    return weaken


# --- Sending ----------------------------------------------------------------------------------------------------------


def waits_but_for(outcome: Outcome | None) -> Callable[[Any], Any]:
    """An attempt with this outcome (None: an open one) is taken for one that did nothing."""

    def weaken(original: property) -> property:
        return property(lambda self: self.outcome is not outcome and original.__get__(self))

    return weaken


def judge_the_newest(judge: Any, facts: Any, keys: Any = None) -> Any:
    """Only the newest attempt is looked at."""
    return judge(replace(facts, attempts=facts.attempts[-1:]), keys)


def judge_again(judge: Any, facts: Any, keys: Any = None) -> Any:
    """A final state is judged once more, as if it were open."""
    return judge(replace(facts, state=State.SENDING) if facts.state in FINAL_STATES else facts, keys)


def send_first(_: Any) -> Any:
    """The call leaves, and its attempt is written down when the answer is there."""

    async def carry_out(self: Any, record: Any, deadline_s: float) -> Any:
        token = secrets.token_hex(16)
        answer = await self._send(record, Opened(1, token, after_unknown=False), deadline_s)
        opened = await self._ledger.open_attempt(record, token, timeout_s=self._timeout_s)
        return await self._close(record, opened, answer) if isinstance(opened, Opened) else opened

    return carry_out


async def always_new(insert_row: Any, *arguments: Any) -> bool:
    """A record whose row is there already is taken for one that was never seen."""
    await insert_row(*arguments)
    return True


def unlocked(statement: Any) -> Any:
    """The same query as a plain read."""
    plain = copy.copy(statement)
    plain._for_update_arg = None
    return plain


async def cancelled_with_its_caller(_: Any, call: asyncio.Task[Any]) -> Any:
    """The call ends where its activity is cancelled."""
    return await call


async def closed_once(_: Any, self: Any, record: Any, opened: Any, answer: Any) -> Any:
    """The answer is given up where the ledger does not take it at once."""
    return await self._ledger.close_attempt(record, opened.token, answer)


def without_reset(_: Any, self: Any) -> None:
    """The connection is closed in good order, so the kernel goes on sending what it holds."""
    if self._socket is not None:
        self._socket.close()


async def close_as_the_newest(close: Any, *arguments: Any, later_attempt: bool) -> Any:
    """A late answer is written into its attempt although another attempt was made meanwhile."""
    del later_attempt
    return await close(*arguments, later_attempt=False)


def unverified(load: Any) -> Any:
    """Any certificate of the provider's will do."""

    def weakened(cls: Any, *files: Any) -> Any:
        tls = load.__get__(None, cls)(*files)
        tls.context.check_hostname = False
        tls.context.verify_mode = ssl.CERT_NONE
        return tls

    return classmethod(weakened)


# --- The intake -------------------------------------------------------------------------------------------------------


class _AllowsDuplicates:
    """A Temporal client that starts a closed workflow's id once more."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def start_workflow(self, *arguments: Any, **keywords: Any) -> Any:
        """As the client, with the other policy."""
        keywords["id_reuse_policy"] = WorkflowIDReusePolicy.ALLOW_DUPLICATE
        return await self._client.start_workflow(*arguments, **keywords)


async def start_duplicates(start: Any, self: Any, record: Any, kafka_key: Any) -> Any:
    """A record that is read again after its workflow has ended is started again."""
    weakened = copy.copy(self)
    weakened._client = _AllowsDuplicates(self._client)
    return await start(weakened, record, kafka_key)


async def same_run(newer_run: Any, self: Any, record: Any, ended: Any, why: str) -> Any:
    """The run that was started is looked at for ever, whatever newer one there is."""
    handle = self._handle
    weakened = copy.copy(self)
    weakened._handle = lambda of, _: handle(of, ended.result_run_id)
    return await newer_run(weakened, record, ended, why)


def uncommitted_too(init: Any, self: Any, *arguments: Any) -> None:
    """Records of transactions that are not committed are read."""
    init(self, *arguments)
    self._consumer._isolation_level = "read_uncommitted"


async def not_awaited(publish: Any, self: Any, *arguments: Any) -> None:
    """The record counts as final while its dead letter is on its way."""
    task = asyncio.create_task(publish(self, *arguments))
    vars(self).setdefault("unawaited", set()).add(task)


def no_lanes(add: Any, self: Any, offset: int, lanes: Any) -> None:
    """Every record may start at once."""
    del lanes
    add(self, offset, frozenset())


def believed_anywhere(decode: Any, text: str, at: Position) -> Any:
    """Metadata is believed wherever it was written."""
    words = text.split(" ")
    try:
        source, topic, partition, offset = words[1].rsplit(":", 3)
        return decode(text, Position(source, topic, int(partition), int(offset)))
    except (IndexError, ValueError):
        return decode(text, at)


async def nothing_recorded(first_offsets: Any, cluster: Any, partitions: Any, _: Any) -> Any:
    """A partition begins at its start, wherever its intake had begun."""
    return await first_offsets(cluster, partitions, {})


def under_any_epoch(begin: Any, self: Any, reader: Any, beginnings: Any, _: int) -> None:
    """What was found out for an assignment that is over is put into effect."""
    begin(self, reader, beginnings, self._epoch)


async def read_on_elsewhere(_: Any, self: Any, problem: Any) -> None:
    """Where the topic does not hold the committed offset any more, the partition is read from what is left."""
    partition = self._assignment.get(problem.partition)
    ends = await self._cluster.offsets([problem.partition], Edge.EARLIEST)
    partition.progress._position = ends[problem.partition]
    self._reader.seek(problem.partition, ends[problem.partition])
