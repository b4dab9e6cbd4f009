"""How the processes log: a readable console on a terminal, JSON lines elsewhere, and no customer's number in either.

Everything goes to standard error through one handler, the libraries' own logging included, so that a record can be
followed by its workflow id from intake to commit.
"""

import logging
import sys
from collections.abc import Mapping

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from app.environment import Environment, load
from app.log_failures import tell_expected_failures
from app.log_repeats import Repeats
from recharge.privacy import mask_text
from recharge.settings import LogLevel

SHOWN_KEYS = frozenset(
    {
        "timestamp",
        "level",
        "logger",
        "workflow_id",
        "run_id",
        "source",
        "topic",
        "group_id",
        "task_queue",
        "fingerprint",
        "content_digest",
        "provider_reference",
        "traceparent",
        "out_of_range",
        "address",
        "url",
        "path",
        "host",
        "build_id",
        "current",
        "to_do",
    }
)
"""Keys whose texts are shown as they are, since they name things of ours. All others are masked, known or not."""

NOISY_LOGGERS = ("aiokafka", "httpx", "httpcore", "asyncio", "kafka")
"""Libraries that tell each request or heartbeat at INFO; from them only warnings matter."""

REPETITIVE_LOGGERS = ("aiokafka", "temporalio.core")
"""Libraries that tell each of their own tries while a server is away. The service says once that it is."""


def configure_logging(json: bool | None = None, level: LogLevel | None = None) -> None:  # noqa: FBT001  # one tri-state
    """Set up structlog and the standard library's logging for the whole process. Safe to call again.

    `json` None means: JSON unless standard error is a terminal. `level` None means: RECHARGE_LOG__LEVEL. Raises
    SettingsError where that is wrong.
    """
    if json is None:
        json = not sys.stderr.isatty()
    if level is None:
        level = load(Environment).log.level
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    if level is not LogLevel.DEBUG:
        handler.addFilter(Repeats(REPETITIVE_LOGGERS))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, tell_expected_failures],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.StackInfoRenderer(),
                # The traceback becomes text before the numbers are masked; no renderer that shows local variables
                # comes near.
                structlog.processors.format_exc_info,
                mask_numbers,
                _renderer(json=json),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.value.upper())
    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _renderer(*, json: bool) -> Processor:
    if json:
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)


def mask_numbers(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The structlog processor that hides what may be a phone number in every text, except under SHOWN_KEYS."""
    return {
        key: value if key in SHOWN_KEYS and isinstance(value, str) else _masked(value) for key, value in event.items()
    }


def _masked(value: object) -> object:
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return mask_text(value)
        case Mapping():
            return {mask_text(str(key)): _masked(inner) for key, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_masked(inner) for inner in value]
        case _:
            return mask_text(repr(value))
