"""How one request is carried out: the steps of its behaviour, in order."""

import asyncio
import signal

import psutil

from devstack.simulator.answers import Context, reply, retry_after_date
from devstack.simulator.book import Book, Standing
from devstack.simulator.events import EventKind, Status
from devstack.simulator.faults import SIGNALS, RequestKind, Step, StepName
from devstack.simulator.peer_process import find_peer_process
from devstack.simulator.provider import Provider
from devstack.simulator.wire import Answer, Peer, complain

_CHUNK_SIZE_BYTES = 65536
_DRIP_BODY_SIZE_BYTES = 1024 * 1024
_ANSWERED = {RequestKind.POST: EventKind.POST_ANSWERED, RequestKind.LOOKUP: EventKind.LOOKUP_ANSWERED}
_SIGNALS = {
    StepName.KILL: (signal.SIGKILL, EventKind.CLIENT_KILLED),
    StepName.FREEZE: (signal.SIGSTOP, EventKind.CLIENT_FROZEN),
    StepName.THAW: (signal.SIGCONT, EventKind.CLIENT_THAWED),
}


class Performance:
    """One request's steps, carried out on one connection."""

    def __init__(self, book: Book, provider: Provider, peer: Peer, context: Context) -> None:
        self._book = book
        self._provider = provider
        self._peer = peer
        self._kind = context.kind
        self._context = context
        self._reference = ""
        self._amount = ""
        self._client: psutil.Process | None = None

    async def run(self, steps: tuple[Step, ...], reference: str, amount: str = "") -> None:
        """Carry out the steps, then close the connection. A client that goes away stops none of them."""
        self._reference = reference
        self._amount = amount
        if any(step.name in SIGNALS for step in steps):
            # Asked first: after an answer the client closes its end, and then nothing leads to its process.
            self._client = await asyncio.to_thread(find_peer_process, self._peer.remote_port, self._peer.local_port)
        for step in steps:
            await self._carry_out(step)
        self._peer.close()

    async def _carry_out(self, step: Step) -> None:
        match step.name:
            case StepName.CHARGE | StepName.REFUSE | StepName.ACCEPT | StepName.ACCEPT_THEN_REFUSE:
                self._context.standing = await self._move(step)
            case StepName.DELAY:
                await asyncio.sleep(step.value or 0.0)
            case StepName.HANG:
                await self._peer.wait_until_gone()
            case StepName.KILL | StepName.FREEZE | StepName.THAW:
                self._signal(step)
            case StepName.CLOSE:
                self._book.record(EventKind.CONNECTION_CLOSED, self._reference, request=self._kind)
                self._peer.close()
            case StepName.RESET:
                self._book.record(EventKind.CONNECTION_RESET, self._reference, request=self._kind)
                self._peer.reset()
            case StepName.RETRY_AFTER:
                self._context.headers["Retry-After"] = f"{step.value or 0.0:.0f}"
            case StepName.RETRY_AFTER_DATE:
                self._context.headers["Retry-After"] = retry_after_date(step.value or 0.0)
            case StepName.TOO_LONG | StepName.DRIP:
                await self._stream(step)
            case _:
                await self._answer(step)

    async def _move(self, step: Step) -> Standing:
        match step.name:
            case StepName.CHARGE:
                return await self._provider.charge(self._reference, self._amount)
            case StepName.REFUSE:
                return await self._provider.refuse(self._reference, self._amount)
            case StepName.ACCEPT:
                return await self._provider.accept(self._reference, self._amount, step.value, Status.CHARGED)
            case _:
                return await self._provider.accept(self._reference, self._amount, step.value, Status.REFUSED)

    async def _answer(self, step: Step) -> None:
        if self._kind is RequestKind.LOOKUP:
            self._context.standing = self._book.standings.get(self._reference)
        answer = reply(step, self._context)
        self._record_answer(answer.status, step)
        await self._peer.write(answer.data)

    def _record_answer(self, status: int, step: Step) -> None:
        """Write the answer down before it leaves, so that who has it finds it in the events."""
        self._book.record(_ANSWERED[self._kind], self._reference, status=status, manner=step.name)

    def _signal(self, step: Step) -> None:
        number, kind = _SIGNALS[step.name]
        if self._client is None:
            self._book.record(EventKind.CLIENT_NOT_FOUND, self._reference, wanted=step.name)
            complain(f"{step.name} of {self._reference}: its client is gone, or runs on another machine")
            return
        # Written first, as a note of intent: whoever sees the process die can look up why.
        self._book.record(kind, self._reference, pid=self._client.pid)
        try:
            self._client.send_signal(number)
        except psutil.NoSuchProcess:
            self._book.record(EventKind.CLIENT_NOT_FOUND, self._reference, wanted=step.name, pid=self._client.pid)

    async def _stream(self, step: Step) -> None:
        """Send a body that is larger or slower than anyone should wait for, until it ends or the client goes."""
        self._record_answer(200, step)
        is_drip = step.name is StepName.DRIP
        size_bytes = _DRIP_BODY_SIZE_BYTES if is_drip else int(step.value or 0)
        chunk = b" " if is_drip else b" " * _CHUNK_SIZE_BYTES
        goes_on = await self._peer.write(Answer(200, headers=self._context.headers).head(size_bytes))
        sent_bytes = 0
        while goes_on and sent_bytes < size_bytes:
            part = chunk[: size_bytes - sent_bytes]
            goes_on = await self._peer.write(part)
            sent_bytes += len(part)
            if is_drip:
                await asyncio.sleep(step.value or 0.0)
