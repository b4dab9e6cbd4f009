"""The one place that makes a Temporal client, and the checks and registrations that a namespace needs."""

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

import structlog
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.envconfig import ClientConfig
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)
from temporalio.service import GrpcCompression, RPCError, RPCStatusCode

from app.env_file import variables
from app.http_problem import HttpProblem
from app.observed import identity
from app.temporal_words import final_problem, refused_us, why_waiting
from recharge import limits
from recharge.contract import SEARCH_ATTRIBUTES
from recharge.payload_codec import data_converter
from recharge.problem import Problem
from recharge.section import is_loopback
from recharge.settings import HttpSettings, TemporalSettings

log = structlog.get_logger(__name__)

DEFAULT_ADDRESS = "localhost:7233"
"""Where Temporal's own tools look for it when nobody says where it is."""


_WORTH_WAITING_FOR = frozenset(
    {RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.RESOURCE_EXHAUSTED}
)


class TemporalProblem(Problem):
    """Temporal cannot be used as it is configured. Its text is one line that says what, where and what to do."""


def _connect_config() -> dict[str, object]:
    try:
        config = ClientConfig.load_client_connect_config(override_env_vars=variables())
    except (ValueError, RuntimeError, OSError) as error:
        raise TemporalProblem(f"TEMPORAL_…: the client's configuration cannot be read: {error}") from error
    if config.get("api_key") and not config.get("tls"):
        raise TemporalProblem(
            "TEMPORAL_API_KEY is given and TLS is turned off (TEMPORAL_TLS): the key never leaves unencrypted; leave TEMPORAL_TLS out"
        )
    return {"target_host": DEFAULT_ADDRESS, **config}


def _check_encrypted(config: Mapping[str, object], settings: TemporalSettings) -> None:
    """Refuse a connection that anybody in between could read and, worse, start workflows by."""
    target = str(config["target_host"])
    if not config.get("tls") and not settings.allow_plaintext and not is_loopback(target.rpartition(":")[0] or target):
        raise TemporalProblem(
            f"Temporal at {target} would be reached without TLS, which is allowed on loopback only; set TEMPORAL_TLS=true or "
            "TEMPORAL_TLS_…, or RECHARGE_TEMPORAL__ALLOW_PLAINTEXT=true where something else encrypts on the way"
        )


def configured_namespace() -> str:
    """The namespace of the clients that `connect` makes, for those who need no connection.

    Raises TemporalProblem where the configuration cannot be read.
    """
    return str(_connect_config().get("namespace") or "default")


async def connect(
    settings: TemporalSettings, http: HttpSettings | None = None, waiting: Callable[[str], None] | None = None
) -> Client:
    """Connect by Temporal's own environment configuration, waiting for a server that is not there yet.

    What the client sends is encrypted where the settings have keys. `http` says whether and where the SDK shows its own metrics.
    `waiting` hears each time why there is no connection yet.

    Raises TemporalProblem where the configuration cannot be read, would have us go unencrypted beyond loopback, or the server refuses us;
    HttpProblem where the address of the SDK's metrics cannot be listened on.
    """
    config = _connect_config()
    _check_encrypted(config, settings)
    runtime = native_runtime(None if http is None else http.sdk_address)
    where = f"Temporal at {config['target_host']}"
    delay_s = limits.START_RETRY_FIRST_S
    told = False
    while True:
        try:
            client = await Client.connect(
                **config,  # type: ignore[arg-type]  # the configuration's own keys
                runtime=runtime,
                identity=identity(),
                data_converter=data_converter(settings.keys),
                # A message is about a kilobyte. To squeeze it costs both ends more than the bytes do, and encrypted ones get no smaller.
                grpc_compression=GrpcCompression.NONE,
            )
            await _namespace_exists(client, where)
        except (ValueError, RuntimeError, RPCError) as error:
            why = _why_not_yet(error, where, encrypted=bool(config.get("tls")))
            (waiting or _unheard)(why)
            if not told:
                log.warning("waiting for Temporal", where=where, error=why)
                told = True
        else:
            if told:
                log.info("Temporal is there", where=where)
            return client
        await asyncio.sleep(delay_s)
        delay_s = min(delay_s * 2, limits.START_RETRY_MAX_S)


def native_runtime(metrics: tuple[str, int] | None = None) -> Runtime:
    """The SDK's native part, whose log lines go through ours: in one form, with numbers masked. It serves its own metrics at an address.

    Raises HttpProblem where that cannot be listened on.
    """
    forwarding = LogForwardingConfig(logging.getLogger("temporalio.core"))
    telemetry = TelemetryConfig(
        logging=LoggingConfig(TelemetryFilter(core_level="WARN", other_level="ERROR"), forwarding=forwarding)
    )
    if metrics is None:
        return Runtime(telemetry=telemetry)
    host, port = metrics
    where = f"{_ip_address(host)}:{port}"
    try:
        # In seconds, as our own are and as Prometheus has it.
        serving = PrometheusConfig(
            bind_address=where, counters_total_suffix=True, unit_suffix=True, durations_as_seconds=True
        )
        return Runtime(telemetry=replace(telemetry, metrics=serving))
    except ValueError as error:
        raise HttpProblem(f"RECHARGE_HTTP__SDK_LISTEN={host}:{port} cannot be listened on: {error}") from error


def _ip_address(host: str) -> str:
    """The address that a host's name stands for, as the SDK wants it."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0]
    except OSError as error:
        raise HttpProblem(f"RECHARGE_HTTP__SDK_LISTEN={host}: no such host ({error.strerror})") from error
    return f"[{found}]" if ":" in str(found) else str(found)


async def _namespace_exists(client: Client, where: str) -> None:
    try:
        await _registered(client)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise TemporalProblem(
                f"{where} has no namespace {client.namespace!r}; make it, or set TEMPORAL_NAMESPACE"
            ) from error
        raise


async def _registered(client: Client) -> dict[str, int]:
    response = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace), timeout=timedelta(seconds=limits.RPC_TIMEOUT_S)
    )
    return {name: int(kind) for name, kind in response.custom_attributes.items()}


async def check_search_attributes(client: Client) -> None:
    """Raise TemporalProblem where a search attribute is missing or has another type: every start would be refused."""
    known = await _registered(client)
    missing = [name for name, kind in SEARCH_ATTRIBUTES.items() if known.get(name) != int(kind)]
    if missing:
        raise TemporalProblem(
            f"Temporal's namespace {client.namespace!r} lacks the search attributes {', '.join(missing)}; run: recharge migrate"
        )


async def register_search_attributes(client: Client) -> list[str]:
    """Register what is missing, wait until it can be used, and return the names that were new.

    Raises TemporalProblem where a name is taken by another type.
    """
    known = await _registered(client)
    for name, kind in SEARCH_ATTRIBUTES.items():
        if name in known and known[name] != int(kind):
            raise TemporalProblem(
                f"the search attribute {name} has another type in namespace {client.namespace!r}; remove it, then run: recharge migrate"
            )
    missing = {name: kind for name, kind in SEARCH_ATTRIBUTES.items() if name not in known}
    if missing:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(
                namespace=client.namespace,
                search_attributes={name: int(kind) for name, kind in missing.items()},  # type: ignore[misc]  # protobuf's enums are ints
            ),
            timeout=timedelta(seconds=limits.RPC_TIMEOUT_S),
        )
        await _wait_until_registered(client)
    return list(missing)


async def _wait_until_registered(client: Client) -> None:
    async with asyncio.timeout(limits.START_RETRY_MAX_S):
        while not SEARCH_ATTRIBUTES.keys() <= (await _registered(client)).keys():  # noqa: ASYNC110  # a server is asked, not a task
            await asyncio.sleep(0.05)


def _why_not_yet(error: Exception, where: str, *, encrypted: bool) -> str:
    """What is waited for. Raises TemporalProblem where waiting cannot help."""
    if isinstance(error, RPCError):
        if error.status in _WORTH_WAITING_FOR:
            return error.message
        raise TemporalProblem(refused_us(where, error.message)) from error
    if isinstance(error, ValueError):
        raise TemporalProblem(f"TEMPORAL_…: {_first_line(error)}") from error
    # A RuntimeError is the SDK's word for a connection that failed.
    if (problem := final_problem(where, str(error))) is not None:
        raise TemporalProblem(problem) from error
    return why_waiting(_first_line(error), encrypted=encrypted)


def _unheard(_why: str) -> None:
    """Nobody wants to hear it."""


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
