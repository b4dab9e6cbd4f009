"""Sends one call from a process of its own, which a test may freeze: URL CA_FILE TIME_S [no-timers] [large].

Prints the deadline (CLOCK_BOOTTIME) in one line and the answer in a second one. With `no-timers` no asyncio time-out ever
ends anything, so that only the look at the clock before each write is left to keep a late request from leaving. A `large` call is
one that the provider's kernel does not take in one piece.
"""

import asyncio
import dataclasses
import json
import sys

from activities.provider import Call, Provider, boottime_s
from app import event_loop
from devstack.without.safeguards import taken_away_as_told
from recharge import limits
from recharge.settings import ProviderSettings


async def _send(url: str, ca_file: str, time_s: float, body: bytes) -> None:
    provider = Provider(ProviderSettings.model_validate({"url": url, "ca_file": ca_file}))
    deadline_boottime_s = boottime_s() + time_s
    sys.stdout.write(f"{deadline_boottime_s}\n")
    sys.stdout.flush()
    answer = await provider.send(Call("source:topic:0:0", body, None, deadline_boottime_s, after_unknown=False))
    sys.stdout.write(json.dumps(dataclasses.asdict(answer)) + "\n")


if __name__ == "__main__":
    if "no-timers" in sys.argv:
        real_timeout = asyncio.timeout
        asyncio.timeout = lambda _delay: real_timeout(None)  # type: ignore[assignment]
    body = b'{"amount":1}'.rjust(limits.RECORD_BYTES_MAX if "large" in sys.argv else 0)
    with taken_away_as_told():
        event_loop.run(_send(sys.argv[1], sys.argv[2], float(sys.argv[3]), body))
