"""The calls in flight of this process: tasks that no cancellation, eviction or shutdown touches."""

import asyncio
from collections.abc import Coroutine

import structlog

from activities.ledger import LedgerError
from recharge.contract import Finding, RecordInput

log = structlog.get_logger(__name__)


class CallsInFlight:
    """Runs each call to its end, whatever happens to the activity that asked for it.

    An activity is cancelled in the middle of its call by an eviction of its workflow, a cancellation or a shutdown of its
    worker, and a local one lets a slow call go. The request may be on its way by then, so its answer has to be awaited and written
    down all the same. Whoever asks for the same record meanwhile awaits that call instead of making a second one, which the ledger
    would refuse. The process awaits `drained` after its worker has stopped.
    """

    def __init__(self) -> None:
        self._tasks: dict[tuple[str, str], asyncio.Task[Finding]] = {}
        self._beside: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def under_way(self, record: RecordInput) -> asyncio.Task[Finding] | None:
        """This record's call, to be awaited under `asyncio.shield`; None where there is none in this process."""
        return self._tasks.get(_key(record))

    def start(self, record: RecordInput, call: Coroutine[object, object, Finding]) -> asyncio.Task[Finding]:
        """Run `call` in a task of its own, to be awaited under `asyncio.shield`. Where the caller is cancelled, the call goes on."""
        key = _key(record)
        if key in self._tasks:
            raise AssertionError(f"{record.workflow_id} has a call under way already")
        self._tasks[key] = task = asyncio.get_running_loop().create_task(call)
        task.add_done_callback(lambda done: self._done(key, done))
        return task

    def _done(self, key: tuple[str, str], task: asyncio.Task[Finding]) -> None:
        del self._tasks[key]
        # Read here, since a caller that was cancelled will not.
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, LedgerError):
            log.error("a call failed in a way that nobody foresaw", workflow_id=key[0], exc_info=error)

    def beside(self, work: Coroutine[object, object, None]) -> None:
        """Run what no call waits for; it ends with the last call where it has not ended before."""
        task = asyncio.get_running_loop().create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    async def drained(self) -> None:
        """Wait until every call has ended and its attempt is closed."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())
        for task in self._beside:
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)


def _key(record: RecordInput) -> tuple[str, str]:
    """A record by its position and its content: another record at the same position is another call, which the ledger refuses."""
    return record.workflow_id, record.fingerprint
