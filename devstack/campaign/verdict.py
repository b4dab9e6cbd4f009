"""What a campaign's end is judged by, beside the audit: the provider's own events, and what was written into the logs."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from devstack.campaign.records import accounts_of
from devstack.leaks import Leak

EVERYTHING: Final = ""
"""The lane that shares records with every other one."""


@dataclass(frozen=True, slots=True)
class Produced:
    """A record as it stands in the topic."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None

    def lanes(self, ordering: str) -> frozenset[str] | None:
        """The lanes that it belongs to; None where nothing has to be in order."""
        match ordering:
            case "partition":
                return frozenset({EVERYTHING})
            case "account":
                return accounts_of(self.value)
            case "key":
                return frozenset({EVERYTHING if self.key is None else self.key.hex()})
            case _:
                return None


def order_problems(sent: Iterable[tuple[int, int]], lanes_of: Callable[[int, int], frozenset[str] | None]) -> list[str]:
    """Which calls (partition and offset, as they arrived) came after one of a later record of their lane."""
    problems: list[str] = []
    latest: defaultdict[tuple[int, str], int] = defaultdict(lambda: -1)
    latest_of_all: defaultdict[int, int] = defaultdict(lambda: -1)
    for partition, offset in sent:
        lanes = lanes_of(partition, offset)
        if lanes is None:
            continue
        before = max((latest[partition, lane] for lane in (*lanes, EVERYTHING)), default=-1)
        if EVERYTHING in lanes:
            before = max(before, latest_of_all[partition])
        if before > offset:
            problems.append(f"{partition}/{offset}: it was sent after {before} of its lane")
        for lane in lanes:
            latest[partition, lane] = max(latest[partition, lane], offset)
        latest_of_all[partition] = max(latest_of_all[partition], offset)
    return problems


def charge_problems(charged: Iterable[str]) -> list[str]:
    """Which references were charged more than once."""
    return [f"{reference}: charged {count} times" for reference, count in Counter(charged).items() if count > 1]


def audit_problems(status: int, report: Mapping[str, Any]) -> list[str]:
    """What the audit found."""
    found = [f"{each['workflow_id']}: {each['kind']}: {each['problem']}" for each in report.get("violations", [])]
    if status != 0 and not found:
        found.append(f"the audit ended with status {status}")
    return found


def leak_problems(leaks: Iterable[Leak]) -> list[str]:
    """Where something stands that must not, without repeating it."""
    lines = Counter((Path(leak.where).name, leak.what) for leak in leaks)
    return [f"{name} holds {what} ({count} lines)" for (name, what), count in lines.items()]
