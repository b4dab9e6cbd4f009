"""One record is one trace, over the intake, the workflow, its activities, the ledger and the provider's call, and over a crash."""

from collections import defaultdict
from collections.abc import AsyncIterator

import pytest

from devstack.stack import Devstack
from tests.conftest import SiteMaker
from tests.integration.test_end_to_end import drained
from tests.support.intake import FINAL_TIMEOUT_S
from tests.support.otlp import Collector, SeenSpan, collecting
from tests.support.records import value
from tests.support.service import killed, stopped

LOOKUP = {
    "RECHARGE_PROVIDER__TIMEOUT_S": "2",
    "RECHARGE_PROVIDER__PROCESSING_TIME_S": "0",
    "RECHARGE_PROVIDER__DUPLICATE_PROTECTION": "lookup",
    "RECHARGE_PROVIDER__LOOKUP_FIRST_AFTER_S": "0.2",
}
TRACE, PRODUCER = "5" * 32, "7" * 16
DONOR = "34600111222"


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with collecting() as running:
        yield running


def below(spans: list[SeenSpan], parent: SeenSpan) -> list[SeenSpan]:
    return [span for span in spans if span.parent_id == parent.span_id]


def only(spans: list[SeenSpan], name: str) -> SeenSpan:
    (span,) = [span for span in spans if span.name == name]
    return span


async def test_a_record_is_one_trace_from_its_producer_to_the_provider(
    stack: Devstack, make_site: SiteMaker, collector: Collector
) -> None:
    site = await make_site(profile=collector.environment())
    headers = [("traceparent", f"00-{TRACE}-{PRODUCER}-01".encode())]
    await stack.kafka.produce(
        site.topic,
        [
            (b"key", value(phoneNumberDonor=DONOR), 0, headers),
            (b"key", b"not JSON", 0, headers),
            (b"key", value(), 0, []),
        ],
    )
    processes = [site.spawn("ingest"), site.spawn("worker")]
    await drained(stack, site)
    await stopped(processes)
    spans = collector.of(TRACE)
    charged, invalid = (
        next(span for span in spans if span.attributes.get("messaging.kafka.offset") == offset) for offset in (0, 1)
    )
    assert charged.parent_id == invalid.parent_id == PRODUCER
    assert (charged.name, charged.service, charged.attributes["recharge.state"]) == (
        "record",
        "recharge-ingest",
        "succeeded",
    )
    run = only(below(spans, charged), "workflow RechargeWorkflow")
    assert run.service == "recharge-worker"
    activities = below(spans, run)
    sending = below(spans, only(activities, "activity recharge"))
    assert sorted(span.name for span in sending) == ["POST recharge", "ledger transaction", "ledger transaction"]
    call = only(sending, "POST recharge")
    assert (call.attributes["recharge.outcome"], call.attributes["http.response.status_code"]) == ("charged", 200)
    (post, _) = await stack.simulator.client.posts(f"{site.source}:")
    # The provider goes on from the very span of the call.
    assert post.traceparent == f"00-{TRACE}-{call.span_id}-01"
    assert {span.name for span in below(spans, invalid)} == {"publish dead letter", "workflow RechargeWorkflow"}
    recording = below(spans, only(below(spans, invalid), "workflow RechargeWorkflow"))
    assert [span.name for span in below(spans, only(recording, "activity record_result"))] == ["ledger transaction"]
    without = next(span for span in collector.spans if span.attributes.get("messaging.kafka.offset") == 2)
    assert without.parent_id == ""
    assert without.trace_id != TRACE
    assert not any(DONOR.encode() in body for body in collector.bodies)


async def test_a_trace_goes_on_after_its_worker_was_killed(
    stack: Devstack, make_site: SiteMaker, collector: Collector
) -> None:
    # With a stable name in the group the second intake goes on at once, instead of after the first one's session.
    named = {"RECHARGE_KAFKA__GROUP_INSTANCE_ID": "intake-0"}
    site = await make_site(profile=collector.environment() | LOOKUP | named)
    await stack.kafka.produce(site.topic, [(b"key", value(simulate=["charge+kill"]), 0, [])])
    intake, worker = site.spawn("ingest"), site.spawn("worker")
    await worker.wait(FINAL_TIMEOUT_S)
    await killed([intake])
    processes = [
        site.spawn("ingest", env={"OTEL_SERVICE_NAME": "second-ingest"}),
        site.spawn("worker", env={"OTEL_SERVICE_NAME": "second-worker"}),
    ]
    await drained(stack, site)
    await stopped(processes)
    record = only(collector.spans, "record")
    assert record.service == "second-ingest"
    spans = collector.spans
    assert {span.trace_id for span in spans} == {record.trace_id}
    # What the first worker had not ended when it was killed is missing, and nothing else: the rest is one tree.
    known = {span.span_id for span in spans}
    orphans = [span for span in spans if span.parent_id not in known and span is not record]
    assert {span.service for span in orphans} <= {"recharge-worker"}
    by_service: dict[str, set[str]] = defaultdict(set)
    for span in spans:
        by_service[span.service].add(span.name)
    assert by_service["second-worker"] >= {
        "workflow RechargeWorkflow",
        "GET look-up",
        "activity look_up",
        "ledger transaction",
    }
    assert "POST recharge" not in by_service["second-worker"]


async def test_traces_that_nobody_takes_hold_nothing_up(stack: Devstack, make_site: SiteMaker) -> None:
    site = await make_site(profile={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})
    await stack.kafka.produce(site.topic, [(b"key", value(), 0, [])])
    process = site.spawn("run")
    await drained(stack, site)
    await stopped([process])
