"""When a person's word about a record is taken, by MySQL's clock: never while the call, or the provider, may still be at it."""

from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from activities.ledger.decisions import Wish, _refusal
from activities.ledger.reading import AttemptRow
from recharge.limits import DEADLINE_GRACE_S
from recharge.outcome import Action, Outcome, State
from recharge.sending import AttemptFacts

PROCESSING_TIME_S = 60.0
OPENED = datetime(2026, 1, 1)  # noqa: DTZ001  # MySQL's times carry no zone
DEADLINE = OPENED + timedelta(seconds=30)
MICROSECOND = timedelta(microseconds=1)

OPEN = None
CLOSED = DEADLINE - timedelta(seconds=20)


def attempt(outcome: Outcome | None, closed_at: datetime | None, *, number: int = 1, later_s: float = 0) -> AttemptRow:
    later = timedelta(seconds=later_s)
    facts = AttemptFacts(number, outcome, opened_at=OPENED + later)
    return AttemptRow(facts, f"token {number}", OPENED + later, DEADLINE + later, closed_at)


def refusal(action: Action, rows: list[AttemptRow], now: datetime) -> str | None:
    wish = Wish("bank:topic:0:1", action, "Ann", "asked the provider")
    row = cast("Any", {"state": State.IN_DOUBT})
    return _refusal(wish, row, rows, None, now, PROCESSING_TIME_S)


JUDGED = [
    pytest.param(Action.CHARGED, attempt(None, OPEN), DEADLINE_GRACE_S, id="charged, of an open one"),
    pytest.param(Action.SKIP, attempt(None, OPEN), DEADLINE_GRACE_S, id="skip, of an open one"),
    pytest.param(
        Action.NOT_CHARGED, attempt(None, OPEN), DEADLINE_GRACE_S + PROCESSING_TIME_S, id="not charged, of an open one"
    ),
    pytest.param(
        Action.NOT_CHARGED,
        attempt(Outcome.UNKNOWN, CLOSED),
        DEADLINE_GRACE_S + PROCESSING_TIME_S,
        id="not charged, of one given up early",
    ),
]


@pytest.mark.parametrize(("action", "row", "after_deadline_s"), JUDGED)
def test_a_persons_word_is_taken_from_the_moment_on_at_which_nothing_can_be_at_it_any_more(
    action: Action, row: AttemptRow, after_deadline_s: float
) -> None:
    free_at = DEADLINE + timedelta(seconds=after_deadline_s)
    told = refusal(action, [row], free_at - MICROSECOND)
    assert told is not None
    assert f"this will be taken from {free_at:%Y-%m-%d %H:%M:%S} UTC on" in told
    assert refusal(action, [row], free_at) is None


@pytest.mark.parametrize("action", [Action.CHARGED, Action.SKIP])
def test_what_sends_nothing_is_taken_as_soon_as_the_call_is_over(action: Action) -> None:
    assert refusal(action, [attempt(Outcome.UNKNOWN, CLOSED)], CLOSED) is None


@pytest.mark.parametrize("action", [Action.CHARGED, Action.SKIP, Action.NOT_CHARGED])
def test_the_attempt_that_is_open_longest_decides_wherever_it_stands(action: Action) -> None:
    """Under a key a repetition may be closed while the first one is open, and the other way round."""
    open_one, closed_one = attempt(None, OPEN, later_s=500), attempt(Outcome.UNKNOWN, CLOSED, number=2)
    grace_s = DEADLINE_GRACE_S + (PROCESSING_TIME_S if action is Action.NOT_CHARGED else 0)
    free_at = open_one.deadline_at + timedelta(seconds=grace_s)
    for rows in ([open_one, closed_one], [closed_one, open_one]):
        assert refusal(action, rows, free_at - MICROSECOND) is not None
        assert refusal(action, rows, free_at) is None
