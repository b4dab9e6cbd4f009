"""A provider's own module is believed only where an answer can mean what it says."""

from typing import Any

import pytest

from activities.profile import Answer, Received
from activities.provider import _fit_answer
from recharge.outcome import Outcome


@pytest.mark.parametrize(
    ("outcome", "read"),
    [
        ("not_sent", Outcome.UNKNOWN),
        (Outcome.NOT_SENT, Outcome.UNKNOWN),
        ("paid", Outcome.UNKNOWN),
        ("charged", Outcome.CHARGED),
    ],
)
@pytest.mark.parametrize(("wait_s", "kept_s"), [(float("inf"), 3600.0), (float("nan"), None), (-1.0, None), (7.0, 7.0)])
def test_a_profile_module_can_say_nothing_that_no_answer_can_mean(
    outcome: Any, read: Outcome, wait_s: float, kept_s: float | None
) -> None:
    answer = _fit_answer(Answer(outcome, "as the module says", retry_after_s=wait_s), Received(200, {}, b""))
    assert answer.outcome is read
    assert answer.retry_after_s == (kept_s if read is Outcome.CHARGED else None)
