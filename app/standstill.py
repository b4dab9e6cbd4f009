"""Where a task waits, for the log of a process whose loop hangs: after the restart nobody could find it out any more."""

import asyncio
import inspect


def where_it_waits(task: asyncio.Task[object]) -> str:
    """The calls in which a task waits, the outermost first: names and lines of the code, and nothing of what they work on."""
    calls: list[str] = []
    waiting: object = task.get_coro()
    while inspect.iscoroutine(waiting) and waiting.cr_frame is not None:
        calls.append(f"{waiting.cr_frame.f_code.co_qualname}:{waiting.cr_frame.f_lineno}")
        waiting = waiting.cr_await
    return " > ".join(calls)
