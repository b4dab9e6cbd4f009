"""Sends one call from a process of its own, which a test may freeze: URL CA_FILE TIME_S [no-timers].

Prints the deadline (CLOCK_BOOTTIME) in one line and the answer in a second one. With `no-timers` no asyncio time-out ever
ends anything, so that only the look at the clock before each write is left to keep a late request from leaving.
"""

import asyncio
import dataclasses
import json
import sys

from activities.provider import Call, Provider, boottime_s
from recharge.settings import ProviderSettings


async def _send(url: str, ca_file: str, time_s: float) -> None:
    provider = Provider(ProviderSettings.model_validate({"url": url, "ca_file": ca_file}))
    deadline_boottime_s = boottime_s() + time_s
    sys.stdout.write(f"{deadline_boottime_s}\n")
    sys.stdout.flush()
    answer = await provider.send(
        Call("source:topic:0:0", b'{"amount":1}', None, deadline_boottime_s, after_unknown=False)
    )
    await provider.close()
    sys.stdout.write(json.dumps(dataclasses.asdict(answer)) + "\n")


if __name__ == "__main__":
    if "no-timers" in sys.argv:
        real_timeout = asyncio.timeout
        asyncio.timeout = lambda _delay: real_timeout(None)  # type: ignore[assignment]
    asyncio.run(_send(sys.argv[1], sys.argv[2], float(sys.argv[3])))
