"""When traces are wanted, and the ids that follow from a record."""

import pytest

from app.tracing import TracingProblem, is_wanted
from recharge import tracing

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector:4318"}
HEADER = f"00-{'a' * 32}-{'b' * 16}-00"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://collector:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, False),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "true"}, False),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True),
    ],
)
def test_traces_are_sent_where_the_standard_variables_ask_for_them(
    given: dict[str, str], wanted: bool
) -> None:  # a case's answer
    assert is_wanted(given) is wanted


@pytest.mark.parametrize(
    "given", [{"OTEL_TRACES_EXPORTER": "zipkin"}, ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}]
)
def test_what_there_is_no_exporter_for_is_refused_by_name(given: dict[str, str]) -> None:
    with pytest.raises(TracingProblem, match=next(reversed(given))):
        is_wanted(given)


def test_a_record_stays_in_the_trace_that_it_brought_and_keeps_whether_it_is_sampled() -> None:
    place = tracing.record_place("s:t:0:7", HEADER)
    assert (place.trace_id, place.is_sampled) == ("a" * 32, False)
    assert place.span_id != "b" * 16
    assert tracing.run_place("s:t:0:7", HEADER, "run").trace_id == "a" * 32


def test_the_ids_of_a_record_are_the_same_in_every_process_and_others_for_every_record_and_run() -> None:
    assert tracing.record_place("s:t:0:7", None) == tracing.record_place("s:t:0:7", None)
    places = [
        tracing.record_place("s:t:0:7", None),
        tracing.record_place("s:t:0:8", None),
        tracing.run_place("s:t:0:7", None, "one"),
        tracing.run_place("s:t:0:7", None, "two"),
    ]
    assert len({place.span_id for place in places}) == 4
    assert len({place.trace_id for place in places}) == 2


def test_a_call_that_nobody_traces_names_the_trace_all_the_same() -> None:
    assert tracing.attempt_traceparent("s:t:0:7", HEADER, "c" * 16) == f"00-{'a' * 32}-{'c' * 16}-00"
    trace_id = tracing.record_place("s:t:0:7", None).trace_id
    assert tracing.attempt_traceparent("s:t:0:7", None, "c" * 16) == f"00-{trace_id}-{'c' * 16}-00"


def test_nothing_is_made_of_a_span_where_traces_are_off() -> None:
    with tracing.span("one") as first, tracing.span("two") as second:
        assert first is second is tracing.NO_SPAN
        assert first.traceparent is None
