"""`recharge codec-server`: shows what is encrypted in Temporal to those who may see it, as its Web UI and its command line ask for it.

Both send payloads as JSON to `/decode`, and the command line what it is about to send to `/encode`. The answer is the same JSON with the
payloads decrypted or encrypted. Whoever asks needs the token; a browser page needs to come from the Web UI besides. Nothing of a payload is
logged.
"""

import asyncio
import contextlib
import hmac
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final

import structlog
from google.protobuf.json_format import MessageToJson, Parse, ParseError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from temporalio.api.common.v1 import Payload, Payloads

from app.environment import CodecServerEnvironment
from app.http import Tls, serving
from app.process import CannotServe
from recharge import limits
from recharge.codec_settings import CodecServerSettings
from recharge.payload_codec import AesGcmCodec, PayloadUnreadable

log = structlog.get_logger(__name__)

_Work = Callable[[Sequence[Payload]], Awaitable[list[Payload]]]
_NAMESPACE_HEADER: Final = "x-namespace"
_PREFIX: Final = "RECHARGE_CODEC_SERVER__"


class _RefusedError(Exception):
    """A request that gets no payloads. Its text is for whoever asked, and repeats nothing of what was sent."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


class CodecServer:
    """What answers the requests.

    Args:
        codec: encrypts and decrypts.
        token: what a request has to bear.
        namespace: the only one whose payloads are dealt with, as far as a request names one.
    """

    def __init__(self, codec: AesGcmCodec, token: str, namespace: str) -> None:
        self._codec = codec
        self._bearer = f"Bearer {token}".encode()
        self._namespace = namespace
        self._places = limits.CODEC_REQUESTS_MAX

    def application(self, web_ui_origin: str | None) -> Starlette:
        """The server's routes, open to the pages of one origin, or of none."""
        cors = Middleware(
            CORSMiddleware,
            allow_origins=[] if web_ui_origin is None else [web_ui_origin],
            allow_methods=["POST"],
            allow_headers=["authorization", "content-type", _NAMESPACE_HEADER],
        )
        routes = [
            Route("/decode", self._decode, methods=["POST"]),
            Route("/encode", self._encode, methods=["POST"]),
        ]
        return Starlette(routes=routes, middleware=[cors])

    async def _decode(self, request: Request) -> Response:
        return await self._answer(request, self._codec.decode)

    async def _encode(self, request: Request) -> Response:
        return await self._answer(request, self._codec.encode)

    async def _answer(self, request: Request, work: _Work) -> Response:
        try:
            self._check(request)
            with self._place():
                payloads = _parsed(await _body(request))
                done = await work(payloads)
        except _RefusedError as refused:
            log.warning("codec request is refused", status=refused.status, why=str(refused))
            return JSONResponse({"message": str(refused)}, refused.status)
        except PayloadUnreadable as unreadable:
            log.warning("a payload cannot be shown", why=str(unreadable))
            return JSONResponse({"message": str(unreadable)}, 422)
        log.info("payloads were given out", path=request.url.path, count=len(done))
        return Response(MessageToJson(Payloads(payloads=done)), media_type="application/json")

    def _check(self, request: Request) -> None:
        given = request.headers.get("authorization", "").encode("latin-1", "replace")
        if not hmac.compare_digest(given, self._bearer):
            raise _RefusedError(401, "the token is missing or wrong: send Authorization: Bearer TOKEN")
        namespace = request.headers.get(_NAMESPACE_HEADER)
        if namespace is not None and namespace != self._namespace:
            raise _RefusedError(403, f"only payloads of the namespace {self._namespace} are dealt with here")

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        if self._places == 0:
            raise _RefusedError(503, "too many requests at a time; try again")
        self._places -= 1
        try:
            yield
        finally:
            self._places += 1


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(limits.CODEC_BODY_TIMEOUT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limits.CODEC_BODY_BYTES_MAX:
                    raise _RefusedError(413, f"the body has more than {limits.CODEC_BODY_BYTES_MAX // limits.MIB} MiB")
    except (TimeoutError, ClientDisconnect):
        raise _RefusedError(408, "the body did not come") from None
    return bytes(body)


def _parsed(body: bytes) -> Sequence[Payload]:
    try:
        return Parse(body, Payloads(), ignore_unknown_fields=True).payloads
    except (ParseError, ValueError, RecursionError):
        raise _RefusedError(400, "the body must be Temporal's payloads as JSON") from None


async def run(settings: CodecServerEnvironment, namespace: str, stop: asyncio.Event) -> None:
    """Serve until `stop` is set.

    Raises CannotServe where there is no key, and HttpProblem where the address or the certificate cannot be used.
    """
    if not settings.temporal.keys:
        raise CannotServe("RECHARGE_TEMPORAL__PAYLOAD_KEYS is missing: without a key nothing can be decrypted")
    given = settings.codec_server
    server = CodecServer(AesGcmCodec(settings.temporal.keys), given.token.get_secret_value(), namespace)
    application = server.application(settings.temporal.web_ui_origin)
    connections_max = limits.CODEC_REQUESTS_MAX * 4
    async with serving(
        application, given.address, f"{_PREFIX}LISTEN", tls=_tls(given), connections_max=connections_max
    ):
        log.info("codec server is listening", address=given.listen, namespace=namespace)
        await stop.wait()
    log.info("codec server has stopped")


def _tls(given: CodecServerSettings) -> Tls | None:
    if given.cert_file is None or given.key_file is None:
        return None
    return Tls(given.cert_file, given.key_file, f"{_PREFIX}CERT_FILE and __KEY_FILE")
