"""The commit offset is that of the lowest fetched record that is not final, over offsets with gaps."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ingest.commit_offset import PartitionProgress


class ProgressAgainstTheModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.progress = PartitionProgress(7)
        self.position = 7
        self.open: set[int] = set()
        self.final_offsets: set[int] = set()
        self.highest_commit_offset = 7

    @rule(gap=st.integers(0, 4), count=st.integers(1, 5), markers=st.integers(0, 3))
    def batch(self, gap: int, count: int, markers: int) -> None:
        for offset in range(self.position + gap, self.position + gap + count):
            self.progress.fetched(offset)
            self.open.add(offset)
        self.position += gap + count + markers
        self.progress.moved_on(self.position)

    @rule(markers=st.integers(0, 3))
    def aborted_batch(self, markers: int) -> None:
        self.position += markers
        self.progress.moved_on(self.position)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def final(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(sorted(self.open)))
        self.progress.final(offset)
        self.open.remove(offset)
        self.final_offsets.add(offset)

    @invariant()
    def commits_up_to_the_lowest_open_record(self) -> None:
        expected = min(self.open, default=self.position)
        assert self.progress.commit_offset == expected
        assert self.progress.position == self.position
        assert self.progress.open_count == len(self.open)
        assert self.progress.final_beyond_count == sum(offset > expected for offset in self.final_offsets)

    @invariant()
    def never_goes_backwards(self) -> None:
        assert self.progress.commit_offset >= self.highest_commit_offset
        self.highest_commit_offset = self.progress.commit_offset


TestProgressAgainstTheModel = ProgressAgainstTheModel.TestCase
TestProgressAgainstTheModel.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


def test_a_transactions_marker_is_passed_when_its_records_are_final() -> None:
    progress = PartitionProgress(0)
    progress.fetched(0)
    progress.moved_on(2)
    assert progress.commit_offset == 0
    progress.final(0)
    assert progress.commit_offset == 2


def test_a_record_that_was_handed_over_before_is_refused() -> None:
    progress = PartitionProgress(10)
    with pytest.raises(ValueError, match="offset 9 was fetched below the position 10"):
        progress.fetched(9)


def test_the_position_never_goes_back() -> None:
    progress = PartitionProgress(10)
    with pytest.raises(ValueError, match="went back from 10 to 9"):
        progress.moved_on(9)


@pytest.mark.parametrize("offset", [2, 3, 5, 9])
def test_only_a_record_that_is_fetched_and_open_becomes_final(offset: int) -> None:
    progress = PartitionProgress(3)
    progress.moved_on(4)
    progress.fetched(4)
    progress.fetched(5)
    progress.final(5)
    with pytest.raises(ValueError, match="without being fetched and open"):
        progress.final(offset)
