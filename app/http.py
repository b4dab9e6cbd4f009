"""Our HTTP server: /metrics, /healthz and /readyz of one process, on its own event loop, so that one that hangs answers nothing."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.http_problem import HttpProblem
from app.logging import mask_text
from recharge import limits

log = structlog.get_logger(__name__)

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


@asynccontextmanager
async def serving(app: Starlette, address: tuple[str, int], setting: str) -> AsyncIterator[None]:
    """Serve while the body runs. `setting` is the variable that gave the address.

    Raises HttpProblem where the address cannot be listened on.
    """
    listening = _listen(address, setting)
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            http="h11",
            server_header=False,
            limit_concurrency=limits.HTTP_CONNECTIONS_MAX,
            timeout_keep_alive=limits.HTTP_IDLE_S,
            timeout_graceful_shutdown=limits.HTTP_STOP_S,
        )
    )
    task = asyncio.create_task(server.serve([listening]))
    log.info("metrics and health are served", address=f"{address[0]}:{address[1]}")
    try:
        yield
    finally:
        server.should_exit = True
        await asyncio.gather(task, return_exceptions=True)
        listening.close()


def _listen(address: tuple[str, int], setting: str) -> socket.socket:
    host, port = address
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(where)
            listening.listen(limits.HTTP_CONNECTIONS_MAX)
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
