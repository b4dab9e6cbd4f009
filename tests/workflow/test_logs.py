"""What a worker logs of an activity that failed: one line of fields where that is meant, and the traceback where it is not."""

import json

import pytest

from activities.failures import from_ledger
from activities.ledger import LedgerUnavailable
from app.logging import configure_logging
from recharge.contract import LOOK_UP_ACTIVITY, RECHARGE_ACTIVITY, RecordInput
from recharge.outcome import State
from recharge.settings import LogLevel
from tests.workflow.stage import Stage, not_answered
from tests.workflow.test_story import IN_DOUBT, LOOKED_UP

AWAY = "MySQL at 127.0.0.1:3306, database ledger gave no answer in time; the customer is 34600111222"


pytestmark = pytest.mark.usefixtures("logging_as_it_was")


async def test_a_failure_that_is_meant_is_told_in_fields_and_another_one_with_its_traceback(
    stage: Stage, topup: RecordInput, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(json=True, level=LogLevel.INFO)
    failures = [from_ledger(LedgerUnavailable(AWAY)), not_answered("still unknown"), RuntimeError("a fault of ours")]
    run = await stage.start(topup, {RECHARGE_ACTIVITY: [IN_DOUBT], LOOK_UP_ACTIVITY: [*failures, LOOKED_UP]})
    assert (await run.result()).state is State.SUCCEEDED
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    expected, scripted, fault = [line for line in lines if line["logger"] == "temporalio.activity"]
    assert {name: text for name, text in expected.items() if name != "timestamp"} == {
        "event": "an activity failed and may be tried again",
        "level": "warning",
        "logger": "temporalio.activity",
        "workflow_id": topup.workflow_id,
        "activity": LOOK_UP_ACTIVITY,
        "attempt": 1,
        "error": AWAY.replace("34600111222", "••••••••222"),
        "error_type": "LedgerUnavailable",
    }
    assert (scripted["attempt"], scripted["next_try_in_s"], "exception" in scripted) == (2, 0.1, False)
    assert "RuntimeError: a fault of ours" in fault["exception"]
    assert "Traceback" in fault["exception"]
