"""Libraries that tell the same trouble at each of their tries are heard once a while.

While a broker is away aiokafka tries some fifty times a second, and tells each try as an error; Temporal's SDK tells the retries of each
call. The service says in its own words, once, what is wrong and that it is over; what the libraries say beside it would bury that.
"""

import logging
import re
import time

from recharge import limits

_DIGITS = re.compile(r"[0-9]+")
_TOLD_MAX = 1000
"""How many different lines are remembered. They differ by their texts without numbers, so there are a few dozen."""


class Repeats(logging.Filter):
    """Lets a line of these libraries pass when none like it has passed for a while. Lines of ours always pass.

    Two lines are alike when their loggers, levels and texts are, whatever numbers stand in the texts. A line that passes tells how many
    like it did not.
    """

    def __init__(self, libraries: tuple[str, ...]) -> None:
        """Begin with nothing told.

        Args:
            libraries: how the names of their loggers begin.
        """
        super().__init__()
        self._libraries = libraries
        self._told: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is to be told."""
        if not record.name.startswith(self._libraries):
            return True
        now_s = time.monotonic()
        kind = (record.name, record.levelno, _DIGITS.sub("#", str(record.msg))[: limits.LOG_KIND_CHARS])
        told_s, left_out = self._told.get(kind, (float("-inf"), 0))
        if now_s - told_s < limits.LOG_REPEAT_S:
            self._told[kind] = (told_s, left_out + 1)
            return False
        if left_out:
            record.msg = f"{record.msg} (and {left_out} more like it)"
        if len(self._told) >= _TOLD_MAX:
            self._told.clear()
        self._told[kind] = (now_s, 0)
        return True
