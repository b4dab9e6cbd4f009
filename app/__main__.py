"""Where a process of ours begins: `recharge`, and `python -m app`."""

import gc
from typing import NoReturn

GC_THRESHOLDS = (20_000, 10, 10)
"""How many new objects there are before the garbage collector looks through them. A record makes thousands, nearly all of which go by
themselves, so that at Python's 700 the collector took an eighth of our CPU time, and a tenth of that of loading, whose objects stay. Bounds
what waits for it to some ten megabytes."""


def main() -> NoReturn:
    """Run the command line."""
    gc.set_threshold(*GC_THRESHOLDS)
    from app.main import main as command_line  # noqa: PLC0415  # after the line above, since it loads nearly everything

    command_line()


if __name__ == "__main__":
    main()
