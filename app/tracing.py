"""Traces by OpenTelemetry, the one file that imports it: on where the standard OTEL_ variables name an exporter, else not even loaded.

    OTEL_EXPORTER_OTLP_ENDPOINT=https://collector:4318   (or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, or OTEL_TRACES_EXPORTER=otlp)

The record's span is made by the intake, the run's and the activities' by the interceptor here, the rest where it happens.
"""

import os
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import structlog
from temporalio import activity, workflow
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    ExecuteWorkflowInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

from app.env_file import variables
from recharge import limits, tracing
from recharge.contract import RecordInput
from recharge.problem import Problem
from recharge.tracing import Attributes, Kind, Place

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span as OtelSpan

log = structlog.get_logger(__name__)

_PREFIX = "OTEL_"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class TracingProblem(Problem):
    """The tracing variables cannot be used. Its text is one line."""


def is_wanted(given: Mapping[str, str]) -> bool:
    """Whether the standard variables ask for traces.

    Raises TracingProblem where they name an exporter that this service has not got.
    """
    exporter = given.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if given.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporter == "none":
        return False
    if exporter not in {"", "otlp"}:
        raise TracingProblem(f"OTEL_TRACES_EXPORTER={exporter}: there are only otlp and none")
    protocol = given.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", given.get("OTEL_EXPORTER_OTLP_PROTOCOL", ""))
    if protocol not in {"", "http/protobuf"}:
        raise TracingProblem(f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol}: there is only http/protobuf")
    return exporter == "otlp" or any(given.get(name) for name in _ENDPOINTS)


@asynccontextmanager
async def traced(service: str) -> AsyncIterator[None]:
    """Trace this process while the body runs, where that is wanted; what is left is sent at the end, within a limit.

    `service` is the service's name, unless OTEL_SERVICE_NAME says another. Raises TracingProblem.
    """
    given = {name: value for name, value in variables().items() if name.startswith(_PREFIX)}
    if not is_wanted(given):
        yield
        return
    provider = _provider({"OTEL_SERVICE_NAME": service} | given)
    tracing.bind(_Spans(provider))
    log.info("traces are sent", to=next((given[name] for name in reversed(_ENDPOINTS) if given.get(name)), "localhost"))
    try:
        yield
    finally:
        tracing.bind(None)
        _shut_down(provider)


def _shut_down(provider: "TracerProvider") -> None:
    """Send what is left. The exporter tries for longer than a deployment may wait, so it is left behind after a while."""
    sending = threading.Thread(target=provider.shutdown, name="last-traces", daemon=True)
    sending.start()
    sending.join(limits.TRACES_FLUSH_S)
    if sending.is_alive():
        log.warning("the last traces were not taken in time", waited_s=limits.TRACES_FLUSH_S)


def _provider(given: Mapping[str, str]) -> "TracerProvider":
    # OpenTelemetry reads its variables from the process's environment alone; ours may stand in a file.
    os.environ.update(given)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator  # noqa: PLC0415

    class Ids(RandomIdGenerator):
        """Random ids, but those of a place for a span that has one."""

        def generate_trace_id(self) -> int:
            place = _place.get()
            return super().generate_trace_id() if place is None else int(place.trace_id, 16)

        def generate_span_id(self) -> int:
            place = _place.get()
            return super().generate_span_id() if place is None else int(place.span_id, 16)

    provider = TracerProvider(id_generator=Ids(), shutdown_on_exit=False)
    # Spans beyond the queue are dropped: traces are for looking, and must never hold up money.
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), max_queue_size=limits.TRACES_QUEUED_SPANS_MAX))
    return provider


_place: ContextVar[Place | None] = ContextVar("place", default=None)


class _Span:
    def __init__(self, span: "OtelSpan") -> None:
        self._span = span

    @property
    def traceparent(self) -> str | None:
        context = self._span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"

    def note(self, name: str, value: str | float) -> None:
        self._span.set_attribute(name, str(value) if isinstance(value, str) else value)


class _Spans:
    """Spans by OpenTelemetry."""

    def __init__(self, provider: "TracerProvider") -> None:
        self._tracer = provider.get_tracer("recharge")

    @contextmanager
    def span(
        self, name: str, kind: Kind, *, within: Place | None, at: Place | None, attributes: Attributes
    ) -> Iterator[tracing.Span]:
        """A span that lasts as long as the context; of an exception it has the type alone, since messages may hold numbers."""
        from opentelemetry.trace import StatusCode, get_current_span, use_span  # noqa: PLC0415

        if within is None and at is None and not get_current_span().get_span_context().is_valid:
            # What is done for no record (the alarms' looks at the ledger) is nobody's trace.
            yield tracing.NO_SPAN
            return
        span = self._begun(name, kind, within, at, attributes, start_ns=None)
        with use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            try:
                yield _Span(span)
            except BaseException as error:
                span.set_status(StatusCode.ERROR, type(error).__name__)
                raise

    def whole(self, name: str, within: Place, at: Place, attributes: Attributes, start_ns: int, end_ns: int) -> None:
        """A span that lies in the past."""
        self._begun(name, Kind.INTERNAL, within, at, attributes, start_ns).end(end_ns)

    def _begun(
        self,
        name: str,
        kind: Kind,
        within: Place | None,
        at: Place | None,
        attributes: Attributes,
        start_ns: int | None,
    ) -> "OtelSpan":
        from opentelemetry.trace import SpanKind  # noqa: PLC0415

        token = _place.set(at)
        try:
            return self._tracer.start_span(
                name,
                context=_context(within, at),
                kind=SpanKind[kind.name],
                attributes=dict(attributes),
                start_time=start_ns,
            )
        finally:
            _place.reset(token)


def _context(within: Place | None, at: Place | None) -> "Context | None":
    """What a span stands below: another place; nothing, where it is the first of its trace; else what this task is in (None)."""
    from opentelemetry.context import Context  # noqa: PLC0415
    from opentelemetry.trace import (  # noqa: PLC0415
        NonRecordingSpan,
        SpanContext,
        TraceFlags,
        get_current_span,
        set_span_in_context,
    )

    if within is not None:
        flags = TraceFlags(TraceFlags.SAMPLED if within.is_sampled else TraceFlags.DEFAULT)
        parent = SpanContext(int(within.trace_id, 16), int(within.span_id, 16), is_remote=True, trace_flags=flags)
        return set_span_in_context(NonRecordingSpan(parent), Context())
    return None if at is None or get_current_span().get_span_context().is_valid else Context()


class TracingInterceptor(Interceptor):
    """Spans of the workflow's runs and of the activities. It changes nothing that Temporal keeps, so it may come and go."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002  # the SDK's name
        """Each activity in a span."""
        return _Activities(super().intercept_activity(next))

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:  # noqa: A002  # the SDK's name
        """Each run in a span."""
        del input
        return _Runs


class _Activities(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002, ANN401  # the SDK's own signature
        record = _record_of(input.args)
        if record is None:
            return await super().execute_activity(input)
        info = activity.info()
        facts: dict[str, str | int | float | bool] = {
            "temporal.activity_attempt": info.attempt,
            "temporal.activity_is_local": info.is_local,
            "temporal.run_id": info.workflow_run_id or "",
        }
        within = tracing.run_place(record.workflow_id, record.traceparent, info.workflow_run_id or "")
        with tracing.span(f"activity {info.activity_type}", within=within, attributes=facts):
            return await super().execute_activity(input)


class _Runs(WorkflowInboundInterceptor):
    """One span for each run, told when it has ended: a run outlives the processes that carry it on."""

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002, ANN401  # the SDK's own signature
        result = await super().execute_workflow(input)
        record = _record_of(input.args)
        if record is not None and not workflow.unsafe.is_replaying():
            info = workflow.info()
            tracing.whole_span(
                f"workflow {info.workflow_type}",
                within=tracing.record_place(record.workflow_id, record.traceparent),
                at=tracing.run_place(record.workflow_id, record.traceparent, info.run_id),
                attributes={"recharge.workflow_id": record.workflow_id, "temporal.run_id": info.run_id},
                start_ns=int(info.start_time.timestamp() * 1e9),
                end_ns=workflow.time_ns(),
            )
        return result


def _record_of(arguments: Sequence[Any]) -> RecordInput | None:
    """The record that a workflow or an activity works for."""
    first = arguments[0] if arguments else None
    record = getattr(first, "record", first)
    return record if isinstance(record, RecordInput) else None
