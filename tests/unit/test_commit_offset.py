"""The commit offset is that of the lowest fetched record that is not final, over offsets with gaps and over restarts.

The stateful test reads one log with gaps, restarts from what was committed, and now and then finds that the log is another one. The
model holds everything in plain sets.
"""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ingest.commit_metadata import CompletedRange, decode, encode, joined, record_digest
from ingest.commit_offset import Arrival, PartitionProgress
from recharge.contract import Position


def at(offset: int) -> Position:
    return Position("source", "topic", 0, offset)


class ProgressAgainstTheModel(RuleBasedStateMachine):
    START = 7

    def __init__(self) -> None:
        super().__init__()
        self.log: dict[int, str] = {}
        self.end = self.START
        self.truly_final: dict[int, str] = {}
        self.progress = PartitionProgress(self.START)
        self.read: set[int] = set()
        self.final_here: set[int] = set()
        self.committed = self.START
        self.metadata = ""
        self.known: list[CompletedRange] = []
        self.verified: set[int] = set()
        self.rewrites = 0

    # --- The log ------------------------------------------------------------------------------------------------------

    @rule(gap=st.integers(0, 3), count=st.integers(1, 5), markers=st.integers(0, 2))
    def written(self, gap: int, count: int, markers: int) -> None:
        for offset in range(self.end + gap, self.end + gap + count):
            self.log[offset] = f"record {offset} of log {self.rewrites}"
        self.end += gap + count + markers

    # --- Reading ------------------------------------------------------------------------------------------------------

    @rule(count=st.integers(1, 6))
    def reads(self, count: int) -> None:
        for _ in range(count):
            following = [offset for offset in sorted(self.log) if offset >= self.progress.position]
            if not following:
                return
            self._read_one(following[0])

    def _read_one(self, offset: int) -> None:
        before = self.progress.position
        arrival = self.progress.fetched(offset, self.log[offset])
        if arrival is Arrival.DISAGREES:
            # It goes back to records that are read again, and over none that was not handed over.
            assert self.progress.position <= max(offset, before)
            self.read -= {each for each in self.read if each >= self.progress.position}
            self.known.pop(0)
            return
        self.read.add(offset)
        if arrival is Arrival.OPEN:
            assert not (self.known and self.known[0].first <= offset <= self.known[0].last)
            return
        current = self.known[0]
        assert current.first <= offset <= current.last
        if offset == current.last:
            self.verified |= {each for each in self.read if current.first <= each <= current.last}
            self.known.pop(0)

    @rule()
    def reads_to_the_end(self) -> None:
        while [offset for offset in self.log if offset >= self.progress.position]:
            self.reads(100)
        if not self.progress.moved_on(max(self.end, self.progress.position)):
            self.read -= {each for each in self.read if each >= self.progress.position}
            self.known.pop(0)

    @property
    def open(self) -> set[int]:
        rereading = {
            offset for offset in self.read if self.known and self.known[0].first <= offset <= self.known[0].last
        }
        return self.read - self.final_here - self.verified - rereading

    @property
    def not_final(self) -> set[int]:
        return self.read - self.final_here - self.verified

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def final(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(sorted(self.open)))
        self.progress.final(offset)
        self.final_here.add(offset)
        self.truly_final[offset] = self.log[offset]

    # --- Committing and restarting ------------------------------------------------------------------------------------

    @rule()
    def commits(self) -> None:
        self.committed = self.progress.commit_offset
        self.metadata = encode(at(self.committed), self.progress.completed_ranges())

    @rule()
    def restarts(self) -> None:
        decoded = decode(self.metadata, at(self.committed))
        assert decoded.problem is None
        self.known = list(decoded.ranges)
        self.progress = PartitionProgress(self.committed, decoded.ranges)
        self.read, self.final_here, self.verified = set(), set(), set()

    @precondition(lambda self: any(offset >= self.committed for offset in self.log))
    @rule(data=st.data())
    def is_truncated_and_written_anew_while_stopped(self, data: st.DataObject) -> None:
        kept_below = data.draw(st.integers(self.committed, max(self.log)))
        self.rewrites += 1
        for offset in [each for each in self.log if each >= kept_below]:
            del self.log[offset]
            if data.draw(st.booleans()):
                self.log[offset] = f"record {offset} of log {self.rewrites}"
        self.restarts()

    # --- What has to hold ---------------------------------------------------------------------------------------------

    @invariant()
    def commits_up_to_the_lowest_record_that_is_not_final(self) -> None:
        assert self.progress.commit_offset == min(self.not_final, default=self.progress.position)
        assert self.progress.open_count == len(self.open)
        assert self.progress.reread_count == len(self.not_final) - len(self.open)
        beyond = {offset for offset in self.final_here | self.verified if offset > self.progress.commit_offset}
        assert self.progress.final_distance == max(beyond, default=self.progress.commit_offset) - (
            self.progress.commit_offset
        )

    @invariant()
    def passes_no_record_that_is_not_final(self) -> None:
        for offset, text in self.log.items():
            if self.START <= offset < self.progress.commit_offset and offset in self.read:
                assert self.truly_final.get(offset) == text

    @invariant()
    def the_completed_ranges_are_exactly_the_final_records_beyond(self) -> None:
        ranges = self.progress.completed_ranges()
        expected_later = self.known
        ours = ranges[: len(ranges) - len(expected_later)]
        assert ranges[len(ours) :] == expected_later
        beyond = {offset for offset in self.final_here | self.verified if offset > self.progress.commit_offset}
        covered: set[int] = set()
        for each in ours:
            inside = {offset for offset in self.read if each.first <= offset <= each.last}
            assert {each.first, each.last} <= inside <= beyond
            digest = 0
            for offset in inside:
                digest = joined(digest, record_digest(offset, self.log[offset]))
            assert each.digest == digest
            covered |= inside
        assert covered == beyond


TestProgressAgainstTheModel = ProgressAgainstTheModel.TestCase
TestProgressAgainstTheModel.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)


# --- One by one -------------------------------------------------------------------------------------------------------


def restarted(final: dict[int, str], first: int) -> PartitionProgress:
    """The progress after a restart, where these neighbours were final and the record before them was not."""
    before = PartitionProgress(first)
    before.fetched(first, "blocking")
    for offset, fingerprint in final.items():
        before.fetched(offset, fingerprint)
    for offset in final:
        before.final(offset)
    assert before.commit_offset == first
    return PartitionProgress(first, before.completed_ranges())


def test_records_that_became_final_in_any_order_are_passed_together_and_those_after_them_too() -> None:
    progress = PartitionProgress(0)
    for offset in range(8):
        progress.fetched(offset, "a")
    for offset in (2, 1, 5, 4):
        progress.final(offset)
    assert [(each.first, each.last) for each in progress.completed_ranges()] == [(1, 2), (4, 5)]
    progress.final(0)
    assert progress.commit_offset == 3
    progress.final(6)
    progress.final(3)
    assert progress.commit_offset == 7
    progress.fetched(8, "a")
    progress.final(8)
    assert [(each.first, each.last) for each in progress.completed_ranges()] == [(8, 8)]
    progress.final(7)
    assert (progress.commit_offset, progress.completed_ranges()) == (9, [])


def test_a_record_of_a_completed_range_is_not_started_again_and_counts_as_final() -> None:
    progress = restarted({2: "a", 3: "b", 6: "c"}, 1)
    assert progress.fetched(1, "blocking") is Arrival.OPEN
    assert [progress.fetched(offset, text) for offset, text in ((2, "a"), (3, "b"), (6, "c"))] == ["completed"] * 3
    assert (progress.open_count, progress.reread_count) == (1, 0)
    progress.final(1)
    assert progress.commit_offset == 7


def test_a_range_is_passed_only_when_it_was_read_whole() -> None:
    progress = restarted({2: "a", 3: "b"}, 1)
    progress.fetched(1, "blocking")
    progress.final(1)
    progress.fetched(2, "a")
    assert progress.commit_offset == 2
    progress.fetched(3, "b")
    assert progress.commit_offset == 4


@pytest.mark.parametrize(
    "found",
    [{2: "a", 3: "x", 4: "c"}, {2: "a", 3: "b"}, {2: "a", 4: "c", 5: "d"}, {}],
    ids=["another record", "its end is missing", "one is missing", "all are missing"],
)
def test_where_a_range_disagrees_its_records_are_read_again_and_started(found: dict[int, str]) -> None:
    progress = restarted({2: "a", 3: "b", 4: "c"}, 1)
    progress.fetched(1, "blocking")
    records = {**found, 9: "later"}
    arrivals = [progress.fetched(offset, text) for offset, text in records.items() if offset <= 4]
    if Arrival.DISAGREES not in arrivals:
        assert progress.fetched(min(offset for offset in records if offset > 4), "later") is Arrival.DISAGREES
    assert progress.position == min([2, *found])
    assert {progress.fetched(offset, text) for offset, text in records.items()} == {Arrival.OPEN}
    assert progress.open_count == 1 + len(records)


def test_a_range_that_ends_in_nothing_disagrees_when_the_position_has_passed_it() -> None:
    progress = restarted({2: "a", 3: "b"}, 1)
    progress.fetched(1, "blocking")
    progress.fetched(2, "a")
    assert not progress.moved_on(10)
    assert progress.position == 2
    assert progress.fetched(2, "a") is Arrival.OPEN
    assert progress.moved_on(10)


@pytest.mark.parametrize("is_seen_by_a_record", [True, False])
def test_a_range_whose_first_record_is_not_there_any_more_disagrees_at_once(is_seen_by_a_record: bool) -> None:
    progress = PartitionProgress(0, [CompletedRange(5, 300, 1)])
    for offset in range(5):
        progress.fetched(offset, "f")
        progress.final(offset)
    if is_seen_by_a_record:
        assert progress.fetched(6, "f") is Arrival.DISAGREES
    else:
        assert not progress.moved_on(7)
    assert (progress.position, progress.commit_offset, progress.completed_ranges()) == (5, 5, [])
    assert progress.fetched(6, "f") is Arrival.OPEN
    assert decode(encode(at(progress.commit_offset), progress.completed_ranges()), at(6)).ranges == ()


@pytest.mark.parametrize(("first", "last", "delivered"), [(12, 12, []), (12, 13, []), (12, 13, [12])])
def test_a_range_whose_records_became_a_transactions_marker_disagrees_when_the_position_is_behind_it(
    first: int, last: int, delivered: list[int]
) -> None:
    progress = PartitionProgress(10, [CompletedRange(first, last, 1)])
    for offset in (10, 11):
        progress.fetched(offset, "f")
        progress.final(offset)
    for offset in delivered:
        progress.fetched(offset, "another one")
    assert not progress.moved_on(14 if delivered else 13)
    assert (progress.position, progress.commit_offset, progress.completed_ranges()) == (12, 12, [])


def test_a_range_that_was_not_read_again_yet_is_committed_again() -> None:
    progress = restarted({2: "a", 3: "b"}, 1)
    whole = progress.completed_ranges()
    progress.fetched(1, "blocking")
    progress.fetched(2, "a")
    assert progress.completed_ranges() == whole


def test_a_transactions_marker_is_passed_when_its_records_are_final() -> None:
    progress = PartitionProgress(0)
    progress.fetched(0, "a")
    progress.moved_on(2)
    assert progress.commit_offset == 0
    progress.final(0)
    assert progress.commit_offset == 2


def test_a_record_that_was_handed_over_before_is_refused() -> None:
    progress = PartitionProgress(10)
    with pytest.raises(ValueError, match="offset 9 was fetched below the position 10"):
        progress.fetched(9, "a")


def test_the_position_never_goes_back_by_itself() -> None:
    progress = PartitionProgress(10)
    with pytest.raises(ValueError, match="went back from 10 to 9"):
        progress.moved_on(9)


@pytest.mark.parametrize("offset", [2, 3, 5, 9])
def test_only_a_record_that_is_fetched_and_open_becomes_final(offset: int) -> None:
    progress = PartitionProgress(3)
    progress.moved_on(4)
    progress.fetched(4, "a")
    progress.fetched(5, "b")
    progress.final(5)
    with pytest.raises(ValueError, match="without being fetched and open"):
        progress.final(offset)
