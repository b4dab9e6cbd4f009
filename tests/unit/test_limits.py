"""Limits that contradict each other stop the import, so that they are found by whoever changes one."""

import re
from pathlib import Path

import pytest

from recharge import limits

SOURCE = Path(limits.__file__).read_text(encoding="utf-8")


def execute_with(**changes: str) -> None:
    """Run the module's text with some limits replaced, beside the imported module and without touching it."""
    source = SOURCE
    for name, value in changes.items():
        source, count = re.subn(rf"^{name} = .*$", f"{name} = {value}", source, flags=re.MULTILINE)
        assert count == 1, f"{name} is not a limit any more"
    exec(compile(source, limits.__file__, "exec"), {"__name__": "limits_with_a_change"})  # noqa: S102  # our own file's text


def test_the_limits_as_they_are_agree() -> None:
    execute_with()


@pytest.mark.parametrize(
    "changes",
    [
        {"RECORD_BYTES_MAX": "MIB"},
        {"CUT_RECORD_BYTES": "RECORD_BYTES_MAX"},
        {"HEARTBEAT_INTERVAL_S": "2.5"},
        {"HEARTBEAT_THROTTLE_S": "2.5"},
        {"HEARTBEAT_TIMEOUT_S": "6.0"},
        {"LEDGER_LOCK_WAIT_S": "50"},
        {"LEDGER_TRANSACTION_TIMEOUT_S": "30.0"},
        {"KAFKA_HEARTBEAT_INTERVAL_S": "5.0"},
        {"KAFKA_CALL_TIMEOUT_S": "20.0"},
        {"SOURCE_CHARS_MAX": "200"},
        {"RETRY_MAX_S": "0.5"},
        {"RETRY_AFTER_S_MAX": "59.0"},
        {"TOPIC_CHARS_MAX": "300"},
        {"COMMIT_METADATA_CHARS_MAX": "400"},
        {"BUFFERED_RECORDS_MAX": "20_000", "FINAL_DISTANCE_MAX": "10_000"},
        {"BUFFERED_RECORDS_IN_ALL_MAX": "9_999"},
        {"BUFFERED_BYTES_MAX": "100 * KIB"},
        {"KAFKA_MAX_POLL_INTERVAL_S": "10.0"},
        {"KAFKA_WATCH_INTERVAL_S": "5.0"},
        {"READY_LOOK_TIMEOUT_S": "8.0"},
        {"LOOP_STALLED_S": "60.0"},
        {"KAFKA_POLL_S": "3.0"},
        {"START_RETRY_MAX_S": "0.1"},
    ],
    ids="-".join,
)
def test_a_limit_that_contradicts_another_is_found(changes: dict[str, str]) -> None:
    with pytest.raises(AssertionError, match=r"limits\.py contradicts itself"):
        execute_with(**changes)


def test_the_check_says_which_rule_is_broken() -> None:
    limits._check(condition=True, rule="holds")
    with pytest.raises(AssertionError, match="contradicts itself: the rule"):
        limits._check(condition=False, rule="the rule")


def test_every_time_is_named_by_its_unit() -> None:
    floats = [name for name, value in vars(limits).items() if isinstance(value, float)]
    assert floats
    for name in floats:
        assert re.search(r"_S(_MIN|_MAX|$)", name) or name.endswith(("_COEFFICIENT", "_SHARE")), name
