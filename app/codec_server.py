"""`recharge codec-server`: shows what is encrypted in Temporal to those who may see it, as its Web UI and its command line ask for it.

Both send payloads as JSON to `/decode`, and the command line what it is about to send to `/encode`. The answer is the same JSON with the
payloads decrypted or encrypted. Whoever asks needs the token; a browser page needs to come from the Web UI besides. Nothing of a payload is
logged.
"""

import asyncio
import contextlib
import hmac
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final

import structlog
import uvicorn
from google.protobuf.json_format import MessageToJson, Parse, ParseError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from temporalio.api.common.v1 import Payload, Payloads

from app.environment import CodecServerEnvironment
from app.process import CannotServe
from recharge import limits
from recharge.codec_settings import CodecServerSettings
from recharge.payload_codec import AesGcmCodec, PayloadUnreadable

log = structlog.get_logger(__name__)

_Work = Callable[[Sequence[Payload]], Awaitable[list[Payload]]]
_NAMESPACE_HEADER: Final = "x-namespace"
_DRAIN_TIMEOUT_S: Final = 5


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


class _Server(uvicorn.Server):
    """uvicorn, whose signals are the process's own matter."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def run(settings: CodecServerEnvironment, namespace: str, stop: asyncio.Event) -> None:
    """Serve until `stop` is set.

    Raises CannotServe where there is no key, or the address or the certificate cannot be used.
    """
    if not settings.temporal.keys:
        raise CannotServe("RECHARGE_TEMPORAL__PAYLOAD_KEYS is missing: without a key nothing can be decrypted")
    server = CodecServer(AesGcmCodec(settings.temporal.keys), settings.codec_server.token.get_secret_value(), namespace)
    serving = _Server(_config(settings, server.application(settings.temporal.web_ui_origin)))
    task = asyncio.create_task(serving.serve(sockets=[_listening(settings.codec_server)]))
    log.info("codec server is listening", address=settings.codec_server.listen, namespace=namespace)
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        serving.should_exit = True
        await task
    finally:
        stopping.cancel()
    log.info("codec server has stopped")


def _config(settings: CodecServerEnvironment, application: Starlette) -> uvicorn.Config:
    cert, key = settings.codec_server.cert_file, settings.codec_server.key_file
    config = uvicorn.Config(
        application,
        ssl_certfile=cert,
        ssl_keyfile=key,
        # Our own log has one form; what was asked for is told by the server above, without addresses or headers.
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        h11_max_incomplete_event_size=64 * limits.KIB,
        limit_concurrency=limits.CODEC_REQUESTS_MAX * 4,
        timeout_graceful_shutdown=_DRAIN_TIMEOUT_S,
    )
    try:
        config.load()
    except (ssl.SSLError, OSError) as error:
        raise CannotServe(
            f"RECHARGE_CODEC_SERVER__CERT_FILE and __KEY_FILE cannot be used together: {error.strerror or error}"
        ) from error
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    return config


def _listening(listen: CodecServerSettings) -> socket.socket:
    host, port = listen.address
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise CannotServe(
            f"RECHARGE_CODEC_SERVER__LISTEN={listen.listen} cannot be listened on: {error.strerror or error}"
        ) from error
