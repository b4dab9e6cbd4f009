"""The provider's API: POST /recharges, GET /recharges/{reference}, GET /statement, POST /dummyProducerCrash.

It is also a provider of another style, for those who call it so: it takes the reference from the body's field `orderId` where
there is no header for it, and GET /recharges?orderId=… answers with a list.
"""

import csv
import hmac
import io
import json
import socket
import ssl
from collections import deque
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, assert_never

from devstack.simulator.answers import Context, json_answer
from devstack.simulator.book import Book
from devstack.simulator.events import EventKind
from devstack.simulator.faults import BehaviourError, ConnectionFault, RequestKind, Step, parse_behaviour
from devstack.simulator.paths import DUMMY_PRODUCER_PATH, ORDER_ID, RECHARGES_PATH, STATEMENT_PATH
from devstack.simulator.performance import Performance
from devstack.simulator.producer import Producer
from devstack.simulator.provider import Provider
from devstack.simulator.wire import Answer, BadRequestError, Peer, Request, complain, open_peer, reset_socket

STATEMENT_HEADER = ("reference", "provider_reference", "status", "amount", "charged_at")


class RecordError(ValueError):
    """A record that the provider cannot read; the message says why."""


@dataclass(frozen=True, slots=True)
class RechargeRequest:
    """What the provider reads from a POST's body. `simulate` lists a behaviour for each POST of the reference."""

    amount: str
    simulate: tuple[str, ...]


class RechargeApi:
    """The API that the service under test calls."""

    def __init__(
        self, book: Book, provider: Provider, tls: ssl.SSLContext, auth_token: str, producer: Producer
    ) -> None:
        self._book = book
        self._provider = provider
        self._tls = tls
        self._authorization = f"Bearer {auth_token}"
        self._producer = producer
        self.connection_faults: deque[ConnectionFault] = deque()

    async def handle(self, connection: socket.socket) -> None:
        """Serve one connection, which carries one request."""
        fault = self.connection_faults.popleft() if self.connection_faults else None
        if fault is not None:
            self._book.record(EventKind.CONNECTION_FAULT, "", fault=fault)
            await self._break(connection, fault)
            return
        try:
            peer = await open_peer(connection, self._tls)
        except OSError as error:
            complain(f"a TLS handshake failed: {error}")
            connection.close()
            return
        try:
            await self._serve(peer)
        except BaseException:
            # A full disk, a stop of the simulator: what was promised to nobody is not answered.
            peer.reset()
            raise

    async def _serve(self, peer: Peer) -> None:
        try:
            request = await peer.read_request()
        except BadRequestError as error:
            await _answer(peer, json_answer(400, {"error": str(error)}))
            return
        if request is None:
            peer.close()
            return
        await self._route(peer, request)

    async def _break(self, connection: socket.socket, fault: ConnectionFault) -> None:
        match fault:
            case ConnectionFault.CLOSE_BEFORE_TLS:
                connection.close()
            case ConnectionFault.RESET_BEFORE_TLS:
                reset_socket(connection)
            case ConnectionFault.HANG_BEFORE_TLS:
                peer = await open_peer(connection, None)
                await peer.wait_until_gone()
                peer.close()
            case ConnectionFault.CLOSE_UNREAD:
                (await open_peer(connection, self._tls)).close()
            case ConnectionFault.RESET_UNREAD:
                (await open_peer(connection, self._tls)).reset()
            case ConnectionFault.HANG_UNREAD:
                peer = await open_peer(connection, self._tls)
                await peer.wait_until_gone()
                peer.close()
            case _:
                assert_never(fault)

    async def _route(self, peer: Peer, request: Request) -> None:
        is_recharge = request.path.startswith(RECHARGES_PATH + "/")
        match request.method:
            case "POST" if request.path == RECHARGES_PATH:
                await self._recharge(peer, request)
            case "GET" if is_recharge:
                await self._look_up(peer, request, request.path.removeprefix(RECHARGES_PATH + "/"))
            case "GET" if request.path == RECHARGES_PATH and request.query.get(ORDER_ID):
                await self._look_up(peer, request, request.query[ORDER_ID], as_list=True)
            case "GET" if request.path == STATEMENT_PATH:
                answer = self._refusal(request) or statement_answer(self._book, request)
                await _answer(peer, answer)
            case "POST" if request.path == DUMMY_PRODUCER_PATH:
                await _answer(peer, await self._producer.run())
            case _:
                await _answer(peer, json_answer(404, {"error": f"there is no {request.method} {request.path}"}))

    def _refusal(self, request: Request) -> Answer | None:
        """The answer to a caller without the right token."""
        given = request.headers.get("authorization", "")
        if hmac.compare_digest(given.encode(), self._authorization.encode()):
            return None
        return json_answer(401, {"error": "the Authorization header is not Bearer and the token of this account"})

    async def _recharge(self, peer: Peer, request: Request) -> None:
        reference = request.headers.get("idempotency-key", "") or _order_id(request.body)
        if not reference:
            problem = f"the header Idempotency-Key is missing, and so is the field {ORDER_ID}"
            await _answer(peer, json_answer(400, {"error": problem}))
            return
        if (refusal := self._refusal(request)) is not None:
            self._receive(request, reference, behaviour="unauthorized", readable=False)
            await self._turn_away(peer, reference, refusal)
            return
        try:
            recharge = read_recharge(request.body)
            steps = self._choose_for_post(request, reference, recharge)
        except (RecordError, BehaviourError) as error:
            self._receive(request, reference, behaviour="unreadable", readable=False)
            await self._turn_away(peer, reference, json_answer(400, {"error": str(error)}))
            return
        if self._book.honour_keys and self._book.first_body(reference) != _text(request.body):
            error_text = "this Idempotency-Key was used with another body"
            await self._turn_away(peer, reference, json_answer(422, {"error": error_text}))
            return
        performance = Performance(self._book, self._provider, peer, Context(RequestKind.POST, request.path))
        await performance.run(steps, reference, recharge.amount)

    def _choose_for_post(self, request: Request, reference: str, recharge: RechargeRequest) -> tuple[Step, ...]:
        """Receive a readable POST and choose its steps: by the record itself, else by the rules, else the default."""
        number = self._book.next_number(RequestKind.POST, reference)
        if number <= len(recharge.simulate):
            behaviour, rule = recharge.simulate[number - 1], None
        else:
            behaviour, rule = self._book.choose(RequestKind.POST, reference)
        steps = parse_behaviour(behaviour, RequestKind.POST)
        self._receive(request, reference, behaviour=behaviour, readable=True, rule=rule)
        return steps

    def _receive(
        self, request: Request, reference: str, *, behaviour: str, readable: bool, rule: int | None = None
    ) -> None:
        self._book.record(
            EventKind.POST_RECEIVED,
            reference,
            number=self._book.next_number(RequestKind.POST, reference),
            behaviour=behaviour,
            rule=rule,
            readable=readable,
            body=_text(request.body),
            traceparent=request.headers.get("traceparent"),
        )

    async def _turn_away(self, peer: Peer, reference: str, answer: Answer) -> None:
        self._book.record(EventKind.POST_ANSWERED, reference, status=answer.status, manner="turned_away")
        await _answer(peer, answer)

    async def _look_up(self, peer: Peer, request: Request, reference: str, *, as_list: bool = False) -> None:
        if (refusal := self._refusal(request)) is not None:
            await _answer(peer, refusal)
            return
        behaviour, rule = self._book.choose(RequestKind.LOOKUP, reference)
        number = self._book.next_number(RequestKind.LOOKUP, reference)
        self._book.record(EventKind.LOOKUP_RECEIVED, reference, number=number, behaviour=behaviour, rule=rule)
        context = Context(RequestKind.LOOKUP, request.path, listed=reference if as_list else None)
        performance = Performance(self._book, self._provider, peer, context)
        await performance.run(parse_behaviour(behaviour, RequestKind.LOOKUP), reference)


def read_recharge(body: bytes) -> RechargeRequest:
    """Read a POST's body. The amount keeps its text, whether a JSON number or a string. Raises RecordError."""
    try:
        record = json.loads(body.decode("utf-8"), parse_float=str, parse_int=str, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"the body is not JSON: {error}") from error
    if not isinstance(record, dict):
        raise RecordError("the body is not a JSON object")
    return RechargeRequest(_amount(record), _simulate(record))


def _order_id(body: bytes) -> str:
    """The reference that a body carries; empty where it has none, or cannot be read."""
    try:
        record = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    reference = record.get(ORDER_ID) if isinstance(record, dict) else None
    return reference if isinstance(reference, str) else ""


def _refuse_constant(text: str) -> None:
    raise RecordError(f"{text} is not JSON")


def _amount(record: dict[str, Any]) -> str:
    amount = record.get("amount")
    if not isinstance(amount, str):
        raise RecordError("the field amount is missing or not a number")
    try:
        is_positive = Decimal(amount).is_finite() and Decimal(amount) > 0
    except InvalidOperation:
        is_positive = False
    if not is_positive:
        raise RecordError(f"the field amount is {amount!r}, not a number above zero")
    return amount


def _simulate(record: dict[str, Any]) -> tuple[str, ...]:
    names = record.get("simulate", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RecordError("the field simulate is not a list of behaviours")
    for name in names:
        parse_behaviour(name, RequestKind.POST)
    return tuple(names)


def _text(body: bytes) -> str:
    return body.decode("utf-8", errors="backslashreplace")


def statement_answer(book: Book, request: Request) -> Answer:
    """The statement as CSV, one row a charge carried out, of the references that begin with `?prefix=`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(STATEMENT_HEADER)
    prefix = request.query.get("prefix", "")
    for charge in book.charges:
        if charge.reference.startswith(prefix):
            charged_at = charge.charged_at.isoformat(timespec="microseconds")
            writer.writerow(
                (charge.reference, charge.provider_reference, charge.status, charge.amount_text, charged_at)
            )
    return Answer(200, text.getvalue().encode(), "text/csv; charset=utf-8")


async def _answer(peer: Peer, answer: Answer) -> None:
    await peer.write(answer.encode())
    peer.close()
