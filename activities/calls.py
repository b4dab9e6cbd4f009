"""The calls in flight of this process: tasks that no cancellation, eviction or shutdown touches."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class CallsInFlight:
    """Runs each call to its end, whatever happens to the activity that asked for it.

    An activity is cancelled in the middle of its call by an eviction of its workflow, a cancellation or a shutdown of its
    worker. The request may be on its way by then, so its answer has to be awaited and written down all the same. The
    process awaits `drained` after its worker has stopped.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, call: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run `call` in a task of its own, to be awaited under `asyncio.shield`. Where the caller is cancelled, the call goes on."""
        task = asyncio.get_running_loop().create_task(call)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # Read here, since a caller that was cancelled will not; the call has logged what went wrong.

    async def drained(self) -> None:
        """Wait until every call has ended and its attempt is closed."""
        while self._tasks:
            await asyncio.wait(self._tasks)
