"""What a workflow's page tells: bounded, with the command that ends the wait, and nothing of others' text taken for Markdown."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from recharge import limits
from recharge.contract import Finding, RechargeResult
from recharge.outcome import State
from tests.support.records import record
from workflows import telling

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
TOPUP = record("source", 7)
DOUBT = Finding(State.IN_DOUBT, "no answer within 30 s", attempts=1)


@pytest.mark.parametrize("state", [State.IN_DOUBT, State.PENDING, State.HELD])
def test_whoever_has_to_decide_reads_the_command_and_what_led_there(state: State) -> None:
    story = telling.Story()
    story.tell(TOPUP, Finding(State.RETRYING, "429 Too Many Requests", attempts=1), NOW)
    details = story.tell(TOPUP, replace(DOUBT, state=state, attempts=2), NOW + timedelta(seconds=9))
    assert f"recharge resolve {TOPUP.workflow_id} --charged | --not-charged | --skip --by WHO --note WHY" in details
    assert "- 2026-11-29 12:00:00 UTC, attempt 1: **retrying**, 429 Too Many Requests" in details
    assert f"- 2026-11-29 12:00:09 UTC, attempt 2: **{state}**, no answer within 30 s" in details


@pytest.mark.parametrize("state", [State.SENDING, State.RETRYING])
def test_nobody_is_told_to_decide_about_a_record_that_goes_on_by_itself(state: State) -> None:
    assert "recharge resolve" not in telling.Story().tell(TOPUP, replace(DOUBT, state=state), NOW)


def test_the_story_is_bounded_and_says_what_it_leaves_out() -> None:
    story = telling.Story()
    *_, details = [
        story.tell(TOPUP, replace(DOUBT, said=f"step {step}."), NOW) for step in range(limits.STORY_STEPS_MAX + 3)
    ]
    assert "- … 3 before" in details
    assert "step 2." not in details
    assert "step 3." in details
    assert details.count("\n- ") <= limits.STORY_STEPS_MAX + 1


def test_what_the_provider_says_is_shown_and_is_no_markdown() -> None:
    hostile = "![x](http://evil.example/p.png) <b>paid</b> [click](http://evil.example)\n# Paid\n`"
    story = telling.Story()
    for details in (
        story.tell(TOPUP, replace(DOUBT, said=hostile), NOW),
        story.end(TOPUP, RechargeResult(State.REJECTED, TOPUP.fingerprint, hostile, provider_reference=hostile)),
    ):
        assert "\\!\\[x\\](http" in details
        assert "\\<b\\>" in details
        assert "\n# Paid" not in details
        assert "evil" in details
