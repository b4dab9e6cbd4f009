"""Traces: one record is one trace, through whatever processes, retries and crashes it goes.

The ids of the spans that others stand below follow from the record and its run alone. So nobody has to hand them on, a process that
takes over from a killed one continues the same trace, and the workflow's input stays as it is. Off unless a process binds an exporter
by `bind`; then a span costs one call of a function that does nothing.
"""

import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from recharge.contract import RecordInput

Attributes = Mapping[str, str | int | float | bool]


class Kind(StrEnum):
    """What a span stands for, as OpenTelemetry has it."""

    INTERNAL = "internal"
    CONSUMER = "consumer"
    PRODUCER = "producer"
    CLIENT = "client"


@dataclass(frozen=True, slots=True)
class Place:
    """One span of a trace, by its ids in lower-case hex (32 and 16 characters)."""

    trace_id: str
    span_id: str
    is_sampled: bool = True


class Span(Protocol):
    """A span that has begun."""

    @property
    def traceparent(self) -> str | None:
        """The W3C header by which others continue from here; None where nothing is traced."""

    def note(self, name: str, value: str | float) -> None:
        """Add an attribute. Never a phone number, an amount's owner or a secret: traces leave the house."""


class Spans(Protocol):
    """Makes spans."""

    def span(
        self, name: str, kind: Kind, *, within: Place | None, at: Place | None, attributes: Attributes
    ) -> AbstractContextManager[Span]:
        """A span that lasts as long as the context. `within` None: below the span of this task; `at` None: by a random id."""

    def whole(self, name: str, within: Place, at: Place, attributes: Attributes, start_ns: int, end_ns: int) -> None:
        """A span that lies in the past, in nanoseconds since 1970."""


class _NoSpan:
    traceparent = None

    def note(self, name: str, value: str | float) -> None:
        """Nothing is traced."""


NO_SPAN: Span = _NoSpan()
"""What stands for a span where nothing is traced."""


class _NoSpans:
    _nothing = nullcontext(NO_SPAN)

    def span(
        self, name: str, kind: Kind, *, within: Place | None, at: Place | None, attributes: Attributes
    ) -> AbstractContextManager[Span]:
        """Nothing is traced."""
        del name, kind, within, at, attributes
        return self._nothing

    def whole(self, name: str, within: Place, at: Place, attributes: Attributes, start_ns: int, end_ns: int) -> None:
        """Nothing is traced."""


_NO_ATTRIBUTES: Attributes = {}
_spans: Spans = _NoSpans()


def bind(spans: Spans | None) -> None:
    """Send this process's spans there from now on; None: nowhere."""
    global _spans  # noqa: PLW0603  # as with logging, one exporter serves the whole process
    _spans = spans or _NoSpans()


def is_on() -> bool:
    """Whether this process's spans go anywhere."""
    return not isinstance(_spans, _NoSpans)


def span(
    name: str,
    kind: Kind = Kind.INTERNAL,
    *,
    within: Place | None = None,
    at: Place | None = None,
    attributes: Attributes = _NO_ATTRIBUTES,
) -> AbstractContextManager[Span]:
    """A span of this process, below the one that this task is in unless `within` says otherwise."""
    return _spans.span(name, kind, within=within, at=at, attributes=attributes)


def whole_span(name: str, *, within: Place, at: Place, attributes: Attributes, start_ns: int, end_ns: int) -> None:
    """A span that lies in the past, told when it has ended; times in nanoseconds since 1970."""
    _spans.whole(name, within, at, attributes, start_ns, end_ns)


def origin(traceparent: str | None) -> Place | None:
    """Where the record's own producer was in its trace; None where the record brought no (wellformed) header."""
    if traceparent is None:
        return None
    _, trace_id, span_id, flags = traceparent.split("-")
    return Place(trace_id, span_id, is_sampled=bool(int(flags, 16) & 1))


def record_place(workflow_id: str, traceparent: str | None) -> Place:
    """The span of a record's way through the intake: in the trace that the record brought, else in one that its id names."""
    brought = origin(traceparent)
    if brought is None:
        return Place(_hex("trace", workflow_id)[:32], _hex("record", workflow_id)[:16])
    return Place(brought.trace_id, _hex("record", workflow_id)[:16], brought.is_sampled)


def run_place(workflow_id: str, traceparent: str | None, run_id: str) -> Place:
    """The span of one run of a record's workflow. Its activities stand below it."""
    record = record_place(workflow_id, traceparent)
    return Place(record.trace_id, _hex("run", run_id)[:16], record.is_sampled)


def record_span(record: RecordInput) -> AbstractContextManager[Span]:
    """A record's own span, the same one whichever ingester carries it on: from its start until it is final."""
    return span(
        "record",
        Kind.CONSUMER,
        within=origin(record.traceparent),
        at=record_place(record.workflow_id, record.traceparent),
        attributes={
            "messaging.system": "kafka",
            "messaging.destination.name": record.topic,
            "messaging.destination.partition.id": str(record.partition),
            "messaging.kafka.offset": record.offset,
            "recharge.workflow_id": record.workflow_id,
        },
    )


def attempt_traceparent(workflow_id: str, traceparent: str | None, span_id: str) -> str:
    """The header of a call that nobody here traces: the provider's own traces find the record by it all the same."""
    if traceparent is not None:
        version, trace_id, _, flags = traceparent.split("-")
        return f"{version}-{trace_id}-{span_id}-{flags}"
    return f"00-{record_place(workflow_id, None).trace_id}-{span_id}-00"


def _hex(what: str, of: str) -> str:
    return hashlib.sha256(f"{what}:{of}".encode()).hexdigest()
