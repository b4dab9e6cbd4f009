"""Logs let one follow a record by its workflow id, as text for people or JSON for machines, and never show a customer's number."""

import json
import logging

import pytest
import structlog

from app.logging import configure_logging
from recharge import limits
from recharge.settings import LogLevel

WORKFLOW_ID = "topups-2026:credit-transfers:3:1234567"


pytestmark = pytest.mark.usefixtures("logging_as_it_was")


def fail_for(donor: str) -> None:
    raise ValueError(f"refused for {donor}")


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_of_json_has_its_time_in_utc_and_the_workflow_id(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json=True, level=LogLevel.INFO)
    structlog.get_logger("ingest").info("started", workflow_id=WORKFLOW_ID, offset=1234567)
    (line,) = logged(capsys)
    timestamp = line.pop("timestamp")
    assert isinstance(timestamp, str)
    assert timestamp.endswith("Z")
    assert line == {
        "event": "started",
        "level": "info",
        "logger": "ingest",
        "workflow_id": WORKFLOW_ID,
        "offset": 1234567,
    }


def test_the_libraries_log_through_the_same_renderer_and_the_noisy_ones_only_warnings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging(json=True, level=LogLevel.DEBUG)
    logging.getLogger("temporalio.worker").info("polling %s", "5511987654321")
    logging.getLogger("aiokafka.consumer").info("heartbeat")
    logging.getLogger("aiokafka.consumer").warning("lost")
    events = [(line["logger"], line["event"]) for line in logged(capsys)]
    assert events == [("temporalio.worker", "polling ••••••••••321"), ("aiokafka.consumer", "lost")]


def test_what_a_library_tells_at_each_of_its_tries_is_told_once_a_while_and_our_own_lines_always(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    configure_logging(json=True, level=LogLevel.INFO)
    now_s = 1000.0
    monkeypatch.setattr("app.log_repeats.time.monotonic", lambda: now_s)
    core = logging.getLogger("temporalio.core-sdk_core::temporalio_client::retry")
    for tries in range(500):
        logging.getLogger("aiokafka.consumer.fetcher").error("Unable connect to node with id %s", tries)
        core.warning(f"gRPC call start_workflow_execution retried {tries} times")
        logging.getLogger("temporalio.activity").warning("of ours")
        structlog.get_logger("ingest.consumer").info("record done")
    logging.getLogger("aiokafka.consumer.fetcher").error("Something else")
    told = [str(line["event"]) for line in logged(capsys)]
    assert [event for event in told if event not in ("of ours", "record done")] == [
        "Unable connect to node with id 0",
        "gRPC call start_workflow_execution retried 0 times",
        "Something else",
    ]
    assert (told.count("of ours"), told.count("record done")) == (500, 500)
    now_s += limits.LOG_REPEAT_S
    logging.getLogger("aiokafka.consumer.fetcher").error("Unable connect to node with id %s", 7)
    assert [line["event"] for line in logged(capsys)] == ["Unable connect to node with id 7 (and 499 more like it)"]


def test_at_the_level_debug_every_line_of_a_library_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json=True, level=LogLevel.DEBUG)
    for _ in range(3):
        logging.getLogger("aiokafka").error("Unable connect")
    assert len(logged(capsys)) == 3


def test_numbers_are_masked_in_every_text_exceptions_included(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json=True, level=LogLevel.INFO)
    log = structlog.get_logger()
    try:
        fail_for("5511987654321")
    except ValueError:
        log.exception(
            "failed for +5511987654321", error="5511987654321", said={"to 5511987654321": ["5511987654321"]}, odd=object
        )
    text = capsys.readouterr().err
    assert "5511987654321" not in text
    assert "ValueError: refused for ••••••••••321" in text


def test_a_console_shows_the_same_without_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json=False, level=LogLevel.INFO)
    log = structlog.get_logger("worker")
    log.debug("unseen")
    try:
        fail_for("5511987654321")
    except ValueError:
        log.exception("failed", workflow_id=WORKFLOW_ID)
    text = capsys.readouterr().err
    assert "unseen" not in text
    assert WORKFLOW_ID in text
    assert "5511987654321" not in text
    assert "Traceback" in text


def test_the_level_is_that_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RECHARGE_LOG__LEVEL", "error")
    configure_logging()
    log = structlog.get_logger()
    log.warning("unseen")
    log.error("seen")
    assert [line["event"] for line in logged(capsys)] == ["seen"]


def test_names_of_ours_are_told_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json=True, level=LogLevel.INFO)
    ours = {
        "build_id": "71234567a",
        "current": "1234567",
        "to_do": "temporal … --build-id 71234567a",
        "host": "/171.123.45.67",
    }
    structlog.get_logger().warning("this build is not current", **ours)
    (line,) = logged(capsys)
    assert {name: line[name] for name in ours} == ours
