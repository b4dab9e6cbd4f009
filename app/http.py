"""Our HTTP server, on the process's own event loop, so that one that hangs answers nothing; and /metrics, /healthz and /readyz."""

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.http_problem import HttpProblem
from recharge import limits
from recharge.privacy import mask_text

Answer = Callable[[], tuple[bool, Mapping[str, object]]]
"""Whether all is well, and the body that says so."""


def routes(*, metrics: Callable[[], bytes], metrics_type: str, healthy: Answer, ready: Answer) -> Starlette:
    """The three addresses."""

    async def get_metrics(_request: Request) -> Response:  # in the loop, and not in a thread beside it
        return Response(metrics(), headers={"Content-Type": metrics_type})

    async def get_health(_request: Request) -> Response:
        return _answered(*healthy())

    async def get_ready(_request: Request) -> Response:
        return _answered(*ready())

    return Starlette(
        routes=[Route("/metrics", get_metrics), Route("/healthz", get_health), Route("/readyz", get_ready)]
    )


def _answered(is_well: bool, body: Mapping[str, object]) -> Response:  # noqa: FBT001  # the halves of one answer
    text = mask_text(json.dumps(body, indent=2)) + "\n"
    return Response(text, status_code=200 if is_well else 503, media_type="application/json")


@dataclass(frozen=True, slots=True)
class Tls:
    """What a server proves itself by. `settings` names the variables that gave the files."""

    cert_file: Path
    key_file: Path
    settings: str


@asynccontextmanager
async def serving(
    app: Starlette,
    address: tuple[str, int],
    setting: str,
    *,
    tls: Tls | None = None,
    connections_max: int = limits.HTTP_CONNECTIONS_MAX,
) -> AsyncIterator[None]:
    """Serve while the body runs, by TLS where there is a certificate. `setting` is the variable that gave the address.

    Raises HttpProblem where the address cannot be listened on, or the certificate cannot be used.
    """
    config = _config(app, tls, connections_max)
    listening = _listen(address, setting, connections_max)
    server = _Server(config)
    task = asyncio.create_task(server.serve([listening]))
    try:
        yield
    finally:
        server.should_exit = True
        await asyncio.gather(task, return_exceptions=True)
        listening.close()


def _config(app: Starlette, tls: Tls | None, connections_max: int) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        ssl_certfile=None if tls is None else tls.cert_file,
        ssl_keyfile=None if tls is None else tls.key_file,
        # Our own log has one form, and what is worth telling of a request is told by who answers it, without addresses or headers.
        log_config=None,
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        http="h11",
        h11_max_incomplete_event_size=limits.HTTP_HEAD_BYTES_MAX,
        server_header=False,
        limit_concurrency=connections_max,
        timeout_keep_alive=limits.HTTP_IDLE_S,
        timeout_graceful_shutdown=limits.HTTP_STOP_S,
    )
    try:
        config.load()
    except OSError as error:  # ssl.SSLError is one
        if tls is None:
            raise
        raise HttpProblem(f"{tls.settings} cannot be used together: {error.strerror or error}") from error
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    return config


def _listen(address: tuple[str, int], setting: str, connections_max: int) -> socket.socket:
    host, port = address
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(where)
            listening.listen(connections_max)
        except BaseException:
            listening.close()
            raise
    except OSError as error:
        raise HttpProblem(f"{setting}={host}:{port} cannot be listened on: {error.strerror}") from error
    return listening


class _Server(uvicorn.Server):
    """uvicorn without its handling of signals, which are the process's own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
