"""The administrator's connections to the broker, lent one at a time. To log in costs more than most questions, so a free one is kept."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient

_KEPT_S: Final = 1.0
"""How long one is kept that nobody asks for. It is short: a client whose broker is killed logs that as an error."""


class KafkaSessions:
    """Lends connected admin clients. `options` are aiokafka's connection settings."""

    def __init__(self, options: Mapping[str, Any], *, request_timeout_ms: int) -> None:
        self._options = dict(options) | {"request_timeout_ms": request_timeout_ms}
        self._free: dict[AIOKafkaAdminClient, asyncio.TimerHandle] = {}
        self._closing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[AIOKafkaAdminClient]:
        """A connected client for the time of an `async with`. It is not used again after an error."""
        admin = await self._take()
        try:
            yield admin
        except BaseException:
            await admin.close()
            raise
        self._free[admin] = asyncio.get_running_loop().call_later(_KEPT_S, self._close_soon, admin)

    async def close(self) -> None:
        """Close those that nobody has."""
        while self._free:
            admin, timer = self._free.popitem()
            timer.cancel()
            await admin.close()
        await asyncio.gather(*self._closing)

    async def _take(self) -> AIOKafkaAdminClient:
        if self._free:
            admin, timer = self._free.popitem()
            timer.cancel()
            return admin
        admin = AIOKafkaAdminClient(**self._options)
        try:
            await admin.start()
        except BaseException:
            await admin.close()
            raise
        return admin

    def _close_soon(self, admin: AIOKafkaAdminClient) -> None:
        del self._free[admin]
        task = asyncio.get_running_loop().create_task(admin.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
