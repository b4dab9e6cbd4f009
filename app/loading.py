"""How a process of ours loads its modules: without looking for garbage among them."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

GC_THRESHOLDS = (20_000, 10, 10)
"""How many new objects there are before the garbage collector looks through them. A record makes thousands, nearly all of which go by
themselves, so that at Python's 700 the collector took an eighth of our CPU time. Bounds what waits for it to some ten megabytes."""


@contextmanager
def loading() -> Iterator[None]:
    """Load modules in the body. What they are made of stays, so the collector never looks through it: a tenth of the time of loading."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        gc.enable()
