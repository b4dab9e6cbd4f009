"""A wrong URL must not reject a whole topic: refusals by the provider in a row are counted, and nothing else is."""

from hypothesis import given
from hypothesis import strategies as st

from ingest.refusals import RefusalsInARow
from recharge.contract import RechargeResult
from recharge.outcome import DEAD_LETTER_STATES, FINAL_STATES, ResolvedBy, State

MAX = 3


def refused(status: int | None = 404, by: ResolvedBy | None = ResolvedBy.ANSWER) -> RechargeResult:
    return RechargeResult(State.REJECTED, "f", status=status, resolved_by=by)


DONE = RechargeResult(State.SUCCEEDED, "f", status=200, resolved_by=ResolvedBy.ANSWER)
NEITHER = [
    RechargeResult(State.INVALID, "f", resolved_by=ResolvedBy.INTAKE),
    RechargeResult(State.SKIPPED, "f", status=404, resolved_by=ResolvedBy.PERSON),
    refused(None, ResolvedBy.INTAKE),  # a repeated request
    refused(500, ResolvedBy.LOOKUP),
    refused(404, None),  # final before: nobody knows by what
]


def told(*results: RechargeResult) -> list[str | None]:
    count = RefusalsInARow(MAX)
    return [count.heard(f"id-{number}", result) for number, result in enumerate(results)]


def test_the_last_of_the_row_is_told_and_the_count_begins_anew() -> None:
    row = [refused()] * MAX
    said = [line for line in told(*row, *row) if line is not None]
    assert said == [f"3 records in a row refused with 404, the newest of them id-{number}" for number in (2, 5)]


def test_a_late_answer_is_an_answer() -> None:
    assert told(refused(), refused(by=ResolvedBy.LATE_ANSWER), refused())[-1] is not None


def test_a_record_that_was_carried_out_starts_the_count_again() -> None:
    assert told(refused(), refused(), DONE, refused(), refused()) == [None] * 5


def test_another_status_begins_another_row() -> None:
    assert told(refused(), refused(), refused(400), refused(400)) == [None] * 4
    assert told(refused(), refused(400), refused(400), refused(400))[-1] is not None


def test_what_the_provider_did_not_say_counts_neither_for_nor_against() -> None:
    for other in NEITHER:
        assert told(refused(), other, refused(), other) == [None] * 4
        assert told(refused(), other, refused(), other, refused())[-1] is not None
    assert DEAD_LETTER_STATES < FINAL_STATES


def test_one_record_counts_once_however_often_it_is_heard_of() -> None:
    count = RefusalsInARow(MAX)
    assert [count.heard("id", refused()) for _ in range(5)] == [None] * 5


@given(st.lists(st.sampled_from([refused(), refused(422), DONE, *NEITHER])))
def test_it_is_told_exactly_when_the_last_answers_of_the_provider_are_refusals_alike(
    results: list[RechargeResult],
) -> None:
    row: list[int] = []
    for result, said in zip(results, told(*results), strict=True):
        if result is DONE:
            row = []
        elif result.resolved_by is ResolvedBy.ANSWER and result.status is not None:
            row = [*(row if result.status in row else []), result.status]
        assert (said is not None) == (len(row) == MAX)
        row = [] if len(row) == MAX else row
