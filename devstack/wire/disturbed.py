"""A wire on which things go wrong for a while: nothing gets through, or an answer arrives to its half."""

import asyncio
from collections import Counter
from collections.abc import Mapping

from devstack.wire.framing import Message
from devstack.wire.link import Link
from devstack.wire.proxy import Hop, Wire


class DisturbedWire(Wire):
    """The proxies of some processes, whose hops can be held up and broken off; `cut` and `mute` are the wire's own."""

    def __init__(self, servers: Mapping[Hop, int], ports: Mapping[Hop, int] | None = None) -> None:
        super().__init__(servers, ports)
        self._free = {hop: asyncio.Event() for hop in servers}
        for free in self._free.values():
            free.set()
        self._to_halve: Counter[Hop] = Counter()

    def hold_up(self, hop: Hop) -> None:
        """Let nothing through a hop until `let_go`. Nothing is lost, and what comes first still comes first."""
        self._free[hop].clear()

    def let_go(self, hop: Hop) -> None:
        """Let everything through again that was held up."""
        self._free[hop].set()

    def halve_next(self, hop: Hop) -> None:
        """Pass on only the first half of a hop's next answer, and end its connection there."""
        self._to_halve[hop] += 1

    def end_muted(self, hop: Hop) -> None:
        """End those connections of a hop that were muted."""
        for link in self._links_of(hop):
            if link.is_muted:
                link.cut()

    def calm(self) -> None:
        """End every disturbance."""
        self._to_halve.clear()
        for hop in self._free:
            self.let_go(hop)
            self.end_muted(hop)

    async def _portion(self, link: Link, message: Message, *, is_answer: bool) -> bytes:
        await self._free[link.hop].wait()
        portion = await super()._portion(link, message, is_answer=is_answer)
        if portion and is_answer and message.is_counted and self._to_halve[link.hop] > 0:
            self._to_halve[link.hop] -= 1
            # What follows must not be passed on, and the half has to be written before the connection ends.
            link.is_muted = True
            asyncio.get_running_loop().call_soon(link.cut)
            return portion[: len(portion) // 2]
        return portion
