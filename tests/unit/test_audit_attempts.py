"""A record's attempts are judged by what was known at each moment, however many they are."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.ledger import AuditedAttempt, AuditedRow
from operations.audit import attempts as judged
from operations.audit.attempts import Problem, check_attempts
from operations.audit.findings import Kind
from recharge.outcome import Outcome, State, Verdict
from recharge.sending import KeyRules
from tests.support.audited import at, attempt, good_row

ROW = good_row("unit", "credit-transfers", 0, 0)
KEYS = KeyRules(lifetime_s=5.0, timeout_s=1.0)
MOMENTS = st.integers(0, 12).map(at)

ATTEMPTS = st.lists(
    st.builds(
        AuditedAttempt,
        number=st.just(0),
        opened_at=MOMENTS,
        closed_at=st.none() | MOMENTS,
        outcome=st.none() | st.sampled_from(Outcome),
        verdict=st.none() | st.sampled_from(Verdict),
        verdict_at=st.none() | MOMENTS,
        late_outcome=st.none() | st.sampled_from(Outcome),
        late_at=st.none() | MOMENTS,
    ),
    max_size=9,
).map(lambda found: tuple(replace(each, number=number) for number, each in enumerate(found, 1)))
"""Also what no run of ours would leave there: an audit takes the ledger as it is."""


def why_opened(earlier: tuple[AuditedAttempt, ...], one: AuditedAttempt, keys: KeyRules | None) -> Iterator[Problem]:
    """What was wrong with opening an attempt, found by looking at every one before it."""
    opened_at, number = one.opened_at, one.number
    doubtful = [each for each in earlier if not (was_known(each, opened_at) and did_nothing(each))]
    for each in doubtful:
        if not was_known(each, opened_at):
            continue
        if each.outcome is Outcome.CHARGED or each.verdict is Verdict.CHARGED:
            yield Kind.SENT_AFTER_CHARGED, f"attempt {number} was opened after attempt {each.number} was carried out"
            return
        if each.outcome is Outcome.REFUSED:
            yield Kind.SENT_AFTER_REFUSED, f"attempt {number} was opened after attempt {each.number} was refused"
            return
    if not doubtful:
        return
    lived_s = 0.0 if keys is None else keys.lifetime_s - keys.timeout_s
    if keys is None or opened_at >= doubtful[0].opened_at + timedelta(seconds=lived_s):
        told = f"attempt {number} was opened while attempt {doubtful[0].number} may have been carried out"
        yield Kind.SENT_IN_DOUBT, told


def did_nothing(one: AuditedAttempt) -> bool:
    return one.outcome in {Outcome.NOT_SENT, Outcome.NOT_CHARGED} or one.verdict is Verdict.NOT_CHARGED


def was_known(one: AuditedAttempt, moment: datetime) -> bool:
    known_at = one.closed_at
    if one.verdict is not None:
        known_at = one.verdict_at
    elif one.late_outcome is not None and one.late_outcome is one.outcome:
        known_at = one.late_at
    return known_at is not None and known_at <= moment


@settings(max_examples=1000, deadline=None)
@given(ATTEMPTS, st.sampled_from([None, KEYS]))
def test_what_is_wrong_with_an_opening_is_found_as_by_comparing_every_pair(
    attempts: tuple[AuditedAttempt, ...], keys: KeyRules | None
) -> None:
    row = replace(ROW, attempts=attempts, state=State.RETRYING, final_at=None)
    slowly = [problem for place, one in enumerate(attempts) for problem in why_opened(attempts[:place], one, keys)]
    about_openings = {Kind.SENT_AFTER_CHARGED, Kind.SENT_AFTER_REFUSED, Kind.SENT_IN_DOUBT}
    assert [problem for problem in check_attempts(row, keys) if problem[0] in about_openings] == slowly


def retried(count: int) -> AuditedRow:
    """A record that the provider turned away again and again, and then carried out."""
    turned_away = [attempt(number, number * 10.0, Outcome.NOT_CHARGED) for number in range(1, count)]
    return replace(ROW, attempts=(*turned_away, attempt(count, count * 10.0)), final_at=at(count * 10.0 + 5))


def test_a_record_that_was_retried_for_a_week_is_judged_by_one_look_at_each_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_at = []

    def counted(one: AuditedAttempt) -> bool:
        looked_at.append(one.number)
        return did_nothing(one)

    monkeypatch.setattr(judged, "carried_nothing_out", counted)
    assert list(check_attempts(retried(5000), None)) == []
    assert looked_at == list(range(1, 5001))
