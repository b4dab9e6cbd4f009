"""How every client reaches the cluster: arguments, deadlines, and errors in plain words."""

import asyncio
import math
import ssl
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import errors
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import create_conn
from aiokafka.helpers import create_ssl_context

from ingest import kafka_words as words
from recharge import limits, release
from recharge.settings import KafkaSettings

_RETRY_BACKOFF_S = 0.1
_METADATA_AGE_S = 60.0
"""How soon new partitions and moved leaders are noticed."""
_IDLE_S = 540.0
"""Below the ten minutes after which brokers close idle connections."""
_STOP_S = 5.0
"""How long closing a client may take, its goodbye to the group included."""


class _FencedInstanceIdError(errors.BrokerResponseError):  # type: ignore[misc]  # aiokafka has no types
    """Another member bears our group instance id (KIP-345). aiokafka 0.14 takes it for an unknown error, which hides what it is."""

    errno = 82
    message = "FENCED_INSTANCE_ID"
    description = "Another member of the group has the same group instance id."


errors.kafka_errors[_FencedInstanceIdError.errno] = _FencedInstanceIdError


def milliseconds(seconds: float) -> int:
    """Seconds as aiokafka wants them."""
    return round(seconds * 1000)


def client_arguments(settings: KafkaSettings) -> dict[str, Any]:
    """What every client of this cluster is made with.

    Raises:
        SettingUnusable: a certificate or key file cannot be read.
    """
    arguments: dict[str, Any] = {
        "bootstrap_servers": [server.strip() for server in settings.bootstrap_servers.split(",")],
        "client_id": release.name(),
        "security_protocol": settings.security_protocol.value,
        "request_timeout_ms": milliseconds(limits.KAFKA_REQUEST_TIMEOUT_S),
        "retry_backoff_ms": milliseconds(_RETRY_BACKOFF_S),
        "metadata_max_age_ms": milliseconds(_METADATA_AGE_S),
        "connections_max_idle_ms": milliseconds(_IDLE_S),
    }
    if settings.security_protocol.encrypted:
        arguments["ssl_context"] = _ssl_context(settings)
    if settings.security_protocol.sasl:
        arguments["sasl_mechanism"] = settings.sasl_mechanism.value
        arguments["sasl_plain_username"] = settings.sasl_username
        arguments["sasl_plain_password"] = settings.sasl_password.get_secret_value() if settings.sasl_password else None
    return arguments


def without_haste(client: AIOKafkaClient) -> None:
    """Let a client that is fetching or producing ask for metadata again no sooner than the backoff after the last answer.

    While a partition has no leader, aiokafka's fetcher and its sender ask again as soon as they are answered: 900 times a second.
    """
    update, answered_s = client._metadata_update, -math.inf  # noqa: SLF001  # no setting does it

    async def update_in_time(cluster: object, topics: object) -> bool:
        nonlocal answered_s
        await asyncio.sleep(max(0.0, answered_s + _RETRY_BACKOFF_S - time.monotonic()))
        try:
            return bool(await update(cluster, topics))
        finally:
            answered_s = time.monotonic()

    client._metadata_update = update_in_time  # noqa: SLF001


def _ssl_context(settings: KafkaSettings) -> ssl.SSLContext:
    try:
        context: ssl.SSLContext = create_ssl_context(
            cafile=settings.ssl_ca_file and str(settings.ssl_ca_file),
            certfile=settings.ssl_cert_file and str(settings.ssl_cert_file),
            keyfile=settings.ssl_key_file and str(settings.ssl_key_file),
        )
    except OSError as error:  # ssl.SSLError is one
        names = "RECHARGE_KAFKA__SSL_CA_FILE, RECHARGE_KAFKA__SSL_CERT_FILE or RECHARGE_KAFKA__SSL_KEY_FILE"
        raise words.SettingUnusable(f"{names} cannot be used: {error}. Each must name a readable PEM file.") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


@asynccontextmanager
async def calling(
    settings: KafkaSettings,
    doing: str,
    *,
    operation: str,
    resource: str,
    timeout_s: float = limits.KAFKA_CALL_TIMEOUT_S,
) -> AsyncIterator[None]:
    """The deadline around a call, and the plain words for what goes wrong in it."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError as error:
        raise words.slow(doing, timeout_s) from error
    except asyncio.CancelledError as error:
        # aiokafka gives a call up by cancelling what it waits for. Only a task that is itself cancelled may end like that in silence.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise words.unreachable(settings.bootstrap_servers, f"the connection was given up while {doing}") from error
    except errors.GroupAuthorizationFailedError as error:
        raise words.permission_missing("Read", f"group {settings.group_id!r}", settings.sasl_username) from error
    except (errors.TopicAuthorizationFailedError, errors.ClusterAuthorizationFailedError) as error:
        raise words.permission_missing(operation, resource, settings.sasl_username) from error
    except (errors.CommitFailedError, errors.IllegalStateError) as error:
        raise words.AssignmentLost(f"The group changed hands while {doing} ({error}).") from error
    except errors.KafkaError as error:
        # aiokafka wraps what it does not expect, so the name is all that is left of it.
        if _FencedInstanceIdError.__name__ in repr(error):
            raise words.instance_taken(settings.group_instance_id or "", settings.group_id, None) from error
        raise words.unreachable(settings.bootstrap_servers, f"{error} while {doing}") from error


async def find_broker(settings: KafkaSettings) -> None:
    """Log in at the first bootstrap server that answers, and say exactly what is wrong where none does.

    aiokafka raises the same error for a refused password, a foreign certificate and a server that is not there.

    Raises:
        KafkaProblem: no server could be used; a fatal one where a server gave a reason that waiting does not change.
    """
    arguments = client_arguments(settings)
    servers = arguments.pop("bootstrap_servers")
    for unused in ("retry_backoff_ms", "metadata_max_age_ms", "connections_max_idle_ms"):
        del arguments[unused]
    found: words.KafkaProblem | None = None
    for server in servers:
        host, _, port = server.rpartition(":")
        try:
            async with asyncio.timeout(limits.KAFKA_CALL_TIMEOUT_S):
                connection = await create_conn(host.strip("[]"), int(port), **arguments)
        except (OSError, errors.KafkaError, ValueError) as error:
            problem = _why_refused(settings, server, error)
            found = problem if found is None or problem.fatal else found
        else:
            connection.close()
            return
    raise found or words.unreachable(settings.bootstrap_servers, "no server is named")


def _why_refused(  # noqa: PLR0911  # one line for each of the reasons
    settings: KafkaSettings, server: str, error: Exception
) -> words.KafkaProblem:
    match error:
        case ssl.SSLCertVerificationError():
            return words.tls_refused(server, error.verify_message, certificate=True)
        case ssl.SSLEOFError():
            return words.unreachable(
                server, "it closed the connection during the TLS handshake; does this port speak TLS"
            )
        case ssl.SSLError():
            return words.tls_refused(server, error.reason or str(error), certificate=False)
        case (
            errors.SaslAuthenticationFailed() | errors.UnsupportedSaslMechanismError() | errors.IllegalSaslStateError()
        ):
            return words.credentials_refused(server, settings.sasl_username, settings.sasl_mechanism, str(error))
        case errors.KafkaConnectionError() | TimeoutError() if not settings.security_protocol.encrypted:
            return words.plaintext_refused(server, settings.security_protocol)
        case errors.KafkaConnectionError() if "closed" in str(error):
            return words.unreachable(
                server,
                "it closed the connection after the TLS handshake; does it want a client certificate, or another one than that of "
                "RECHARGE_KAFKA__SSL_CERT_FILE",
            )
        case ValueError() if not isinstance(error, OSError):
            return words.SettingUnusable(f"RECHARGE_KAFKA__BOOTSTRAP_SERVERS holds {server!r}, which is not HOST:PORT.")
        case _:
            return words.unreachable(server, str(error) or type(error).__name__)


async def closed_in_time(closing: Awaitable[object]) -> bool:
    """Close a client within a limit. aiokafka's own closing can hang, and raises CancelledError when the broker is gone."""
    task = asyncio.ensure_future(closing)
    done, _ = await asyncio.wait({task}, timeout=_STOP_S)
    if not done:
        task.cancel()
        await asyncio.wait({task}, timeout=_STOP_S)
        return False
    return not task.cancelled() and task.exception() is None
