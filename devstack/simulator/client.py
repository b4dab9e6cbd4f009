"""The client of the simulator's control API, for the tests, the demo and the benchmarks."""

import asyncio
import json
from typing import Any
from urllib.parse import quote, urlencode

from devstack.simulator.events import Charge, Event, EventKind, Lookup, Post, Status
from devstack.simulator.faults import ConnectionFault, Rule
from devstack.simulator.paths import DUMMY_PRODUCER_PATH, ORDER_ID, RECHARGES_PATH, STATEMENT_PATH

_CALL_TIMEOUT_S = 10.0
_PRODUCER_TIMEOUT_S = 70.0
_BAD_REQUEST = 400


class SimulatorError(Exception):
    """The simulator cannot be reached, or refused what it was asked; the message says why."""


class WaitTimeoutError(SimulatorError):
    """What was waited for did not happen in time; the message says what did."""


class SimulatorClient:
    """Asks the simulator what it received and did, and chooses its faults.

    `host` and `port` are those of the provider's API, as the service under test names them; the control API is on
    `control_port` of 127.0.0.1. Every method raises SimulatorError.
    """

    def __init__(self, port: int, control_port: int, host: str = "127.0.0.1") -> None:
        self._base_url = f"https://{host}:{port}"
        self._control_port = control_port

    @property
    def url(self) -> str:
        """Where recharges are POSTed."""
        return self._base_url + RECHARGES_PATH

    @property
    def lookup_url(self) -> str:
        """The look-up's URL, a template with `{reference}`."""
        return self.url + "/{reference}"

    @property
    def list_url(self) -> str:
        """Where the recharges with one order id are listed, a template with `{reference}`."""
        return f"{self.url}?{ORDER_ID}={{reference}}"

    @property
    def statement_url(self) -> str:
        """Where the statement is read, with the account's token."""
        return self._base_url + STATEMENT_PATH

    async def is_ready(self) -> bool:
        """Whether the simulator answers."""
        try:
            await self._call("GET", "/health")
        except SimulatorError:
            return False
        return True

    async def set_rules(self, *rules: Rule) -> None:
        """Replace all rules; the first that matches a request is used. What a record asks for itself comes first."""
        await self._call("PUT", "/rules", {"rules": [rule.as_json() for rule in rules]})

    async def clear_rules(self) -> None:
        """Remove all rules, and the connection faults that were not used."""
        await self.set_rules()
        await self.set_connection_faults()

    async def set_connection_faults(self, *faults: ConnectionFault) -> None:
        """What happens to the next connections, one each, before a byte of them is read."""
        await self._call("PUT", "/connection-faults", {"faults": list(faults)})

    async def honour_keys(self, honour: bool) -> None:  # noqa: FBT001 (a switch: the name says what True means)
        """Whether a repeated Idempotency-Key is answered as before, without a second charge."""
        await self._call("PUT", "/modes", {"honour_keys": honour})

    async def settle(self, reference: str, status: Status) -> None:
        """Bring a pending recharge to its end, charged or refused."""
        await self._call("POST", "/settle", {"reference": reference, "status": status})

    async def posts(self, prefix: str = "") -> list[Post]:
        """The POSTs received, in order, of the references that begin with the prefix."""
        return [Post.of(event) for event in await self._events(kind=EventKind.POST_RECEIVED, prefix=prefix)]

    async def lookups(self, prefix: str = "") -> list[Lookup]:
        """The look-ups received, in order."""
        return [Lookup.of(event) for event in await self._events(kind=EventKind.LOOKUP_RECEIVED, prefix=prefix)]

    async def charges(self, prefix: str = "") -> list[Charge]:
        """The charges carried out, in order."""
        return [Charge.of(event) for event in await self._events(kind=EventKind.CHARGED, prefix=prefix)]

    async def events(self, since: int = 0, timeout_s: float = 0.0) -> list[Event]:
        """The events after the one numbered `since`; waits for up to `timeout_s` where there is none yet."""
        return await self._events(call_timeout_s=_CALL_TIMEOUT_S + timeout_s, since=since, timeout_s=timeout_s)

    async def statement(self, prefix: str = "") -> str:
        """The provider's statement as CSV, one row a charge."""
        return (await self._call("GET", f"{STATEMENT_PATH}?prefix={quote(prefix)}")).decode()

    async def wait_for_posts(self, prefix: str, count: int, timeout_s: float) -> list[Post]:
        """The POSTs of a prefix once there are `count`. Raises WaitTimeoutError."""
        await self.wait_for_events(EventKind.POST_RECEIVED, prefix, count, timeout_s)
        return await self.posts(prefix)

    async def wait_for_charges(self, prefix: str, count: int, timeout_s: float) -> list[Charge]:
        """The charges of a prefix once there are `count`. Raises WaitTimeoutError."""
        await self.wait_for_events(EventKind.CHARGED, prefix, count, timeout_s)
        return await self.charges(prefix)

    async def wait_for_events(self, kind: EventKind, prefix: str, count: int, timeout_s: float) -> None:
        """Wait until `count` events of a kind have a reference with this prefix. Raises WaitTimeoutError."""
        wanted = {"kind": kind, "prefix": prefix, "count": count, "timeout_s": timeout_s}
        answer = json.loads(await self._call("POST", "/wait", wanted, _CALL_TIMEOUT_S + timeout_s))
        if not answer["reached"]:
            raise WaitTimeoutError(
                f"the simulator saw {answer['count']} of {count} {kind} of {prefix!r} within {timeout_s:g} s"
            )

    async def dummy_producer_crash(self) -> dict[str, Any]:
        """Send the three seed records to the topic; what the producer said."""
        answer: dict[str, Any] = json.loads(await self._call("POST", DUMMY_PRODUCER_PATH, None, _PRODUCER_TIMEOUT_S))
        return answer

    async def _events(self, *, call_timeout_s: float = _CALL_TIMEOUT_S, **query: object) -> list[Event]:
        answer = json.loads(await self._call("GET", f"/events?{urlencode(query)}", None, call_timeout_s))
        return [Event.from_json(event) for event in answer["events"]]

    async def _call(self, method: str, path: str, body: object = None, timeout_s: float = _CALL_TIMEOUT_S) -> bytes:
        payload = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._control_port}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
        )
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._exchange(head.encode("ascii") + payload)
        except (OSError, TimeoutError) as error:
            problem = f"within {timeout_s:g} s" if isinstance(error, TimeoutError) else f": {error}"
            raise SimulatorError(f"no answer from the simulator's port {self._control_port} {problem}") from error
        return _body_of(answer, f"{method} {path}")

    async def _exchange(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._control_port)
        try:
            writer.write(request)
            await writer.drain()
            return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()


def _body_of(answer: bytes, what: str) -> bytes:
    """The body of an answer that was read until the connection's end, checked to be whole."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status_line, *header_lines = head.decode("ascii").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in header_lines)
    if len(body) != int(headers.get("content-length", "-1")):
        raise SimulatorError(f"the simulator broke off while it answered {what}")
    if int(status_line.split(" ")[1]) >= _BAD_REQUEST:
        raise SimulatorError(f"the simulator refused {what}: {body.decode()}")
    return body


__all__ = [
    "Charge",
    "ConnectionFault",
    "Event",
    "EventKind",
    "Lookup",
    "Post",
    "Rule",
    "SimulatorClient",
    "SimulatorError",
    "Status",
    "WaitTimeoutError",
]
