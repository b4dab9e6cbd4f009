"""The control API, plain HTTP on loopback: rules, modes, what was received and done, and waiting for it."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from devstack.simulator.answers import json_answer
from devstack.simulator.book import Book
from devstack.simulator.events import Event, EventKind, Status
from devstack.simulator.faults import BehaviourError, ConnectionFault, Rule
from devstack.simulator.paths import DUMMY_PRODUCER_PATH, STATEMENT_PATH
from devstack.simulator.producer import Producer
from devstack.simulator.provider import NotPendingError, Provider
from devstack.simulator.server import RechargeApi, statement_answer
from devstack.simulator.wire import Answer, BadRequestError, Request, open_peer

WAIT_TIMEOUT_S_MAX = 600.0
CONNECTION_FAULTS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The events that a caller waits for."""

    kind: EventKind
    prefix: str
    count: int
    timeout_s: float

    @classmethod
    def of(cls, body: dict[str, Any]) -> "_Wanted":
        return cls(EventKind(body["kind"]), str(body["prefix"]), int(body["count"]), float(body["timeout_s"]))

    def count_in(self, events: Sequence[Event]) -> int:
        return sum(event.kind is self.kind and event.reference.startswith(self.prefix) for event in events)


class ControlApi:
    """What a test or the demo asks of the simulator, beside what the service under test asks."""

    def __init__(self, book: Book, provider: Provider, api: RechargeApi, producer: Producer) -> None:
        self._book = book
        self._provider = provider
        self._api = api
        self._producer = producer
        self._routes: dict[tuple[str, str], Callable[[Request], Awaitable[Answer]]] = {
            ("GET", "/health"): self._health,
            ("PUT", "/rules"): self._set_rules,
            ("PUT", "/modes"): self._set_modes,
            ("PUT", "/connection-faults"): self._set_connection_faults,
            ("GET", "/events"): self._events,
            ("POST", "/wait"): self._wait,
            ("POST", "/settle"): self._settle,
            ("GET", STATEMENT_PATH): self._statement,
            ("POST", DUMMY_PRODUCER_PATH): self._produce,
        }

    async def handle(self, connection: socket.socket) -> None:
        """Serve one connection, which carries one request."""
        peer = await open_peer(connection, None)
        try:
            request = await peer.read_request()
            if request is not None:
                answer = await self._answer(request)
                await peer.write(answer.encode())
        except BadRequestError as error:
            await peer.write(json_answer(400, {"error": str(error)}).encode())
        finally:
            peer.close()

    async def _answer(self, request: Request) -> Answer:
        route = self._routes.get((request.method, request.path))
        if route is None:
            return json_answer(404, {"error": f"there is no {request.method} {request.path}"})
        try:
            return await route(request)
        except (BehaviourError, NotPendingError) as error:
            return json_answer(422, {"error": str(error)})
        except (KeyError, TypeError, ValueError) as error:
            return json_answer(400, {"error": f"{request.method} {request.path} cannot be read: {error!r}"})

    async def _health(self, _request: Request) -> Answer:
        return json_answer(200, {"events": len(self._book.events)})

    async def _set_rules(self, request: Request) -> Answer:
        rules = [Rule.from_json(rule) for rule in json.loads(request.body)["rules"]]
        self._book.record(EventKind.RULES_SET, "", rules=[rule.as_json() for rule in rules])
        return json_answer(200, {"rules": len(rules)})

    async def _set_modes(self, request: Request) -> Answer:
        honour_keys = json.loads(request.body)["honour_keys"]
        if not isinstance(honour_keys, bool):
            return json_answer(400, {"error": "honour_keys is true or false"})
        self._book.record(EventKind.MODES_SET, "", honour_keys=honour_keys)
        return json_answer(200, {"honour_keys": honour_keys})

    async def _set_connection_faults(self, request: Request) -> Answer:
        faults = [ConnectionFault(fault) for fault in json.loads(request.body)["faults"]]
        if len(faults) > CONNECTION_FAULTS_MAX:
            return json_answer(400, {"error": f"at most {CONNECTION_FAULTS_MAX} connection faults at a time"})
        self._api.connection_faults.clear()
        self._api.connection_faults.extend(faults)
        return json_answer(200, {"faults": len(faults)})

    async def _events(self, request: Request) -> Answer:
        """The events after `since`, of `kind` where given, whose reference begins with `prefix`.

        Where there is none at all after `since`, the answer waits for one for up to `timeout_s`.
        """
        since = int(request.query.get("since", "0"))
        timeout_s = min(float(request.query.get("timeout_s", "0")), WAIT_TIMEOUT_S_MAX)
        kind = EventKind(request.query["kind"]) if "kind" in request.query else None
        prefix = request.query.get("prefix", "")
        if len(self._book.events) <= since and timeout_s > 0:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._book.wait_for_news()
            except TimeoutError:
                pass  # No news is an answer too.
        found = [
            event.as_json()
            for event in self._book.events[max(0, since) :]
            if (kind is None or event.kind is kind) and event.reference.startswith(prefix)
        ]
        return json_answer(200, {"events": found})

    async def _wait(self, request: Request) -> Answer:
        """Wait until `count` events of one kind have a reference that begins with `prefix`."""
        wanted = _Wanted.of(json.loads(request.body))
        found_count = 0
        seen_count = 0
        try:
            async with asyncio.timeout(min(wanted.timeout_s, WAIT_TIMEOUT_S_MAX)):
                while True:
                    found_count += wanted.count_in(self._book.events[seen_count:])
                    seen_count = len(self._book.events)
                    if found_count >= wanted.count:
                        return json_answer(200, {"reached": True, "count": found_count})
                    await self._book.wait_for_news()
        except TimeoutError:
            return json_answer(200, {"reached": False, "count": found_count})

    async def _settle(self, request: Request) -> Answer:
        body = json.loads(request.body)
        status = Status(body["status"])
        if status is Status.PENDING:
            return json_answer(400, {"error": "a recharge is settled as charged or refused"})
        await self._provider.settle(str(body["reference"]), status)
        return json_answer(200, {"status": status})

    async def _statement(self, request: Request) -> Answer:
        return statement_answer(self._book, request)

    async def _produce(self, _request: Request) -> Answer:
        return await self._producer.run()
