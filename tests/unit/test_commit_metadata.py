"""Completed ranges travel in a commit's metadata: whole where there is room, the nearest ones else, and nothing foreign is believed."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.commit_metadata import CompletedRange, decode, encode, joined, record_digest
from recharge.contract import Position
from recharge.limits import COMMIT_METADATA_CHARS_MAX, SOURCE_CHARS_MAX, TOPIC_CHARS_MAX

AT = Position("topups-2026", "credit-transfers", 3, 1000)
DIGESTS = st.integers(0, 2**64 - 1)


@st.composite
def range_lists(draw: st.DrawFn, count_max: int = 40) -> list[CompletedRange]:
    """Ranges as there may be beyond AT, the first of them at the committed offset itself at the earliest."""
    found: list[CompletedRange] = []
    offset = AT.offset
    for _ in range(draw(st.integers(0, count_max))):
        first = offset + draw(st.one_of(st.integers(0, 3), st.integers(0, 10**6)))
        last = first + draw(st.one_of(st.integers(0, 3), st.integers(0, 10**6)))
        found.append(CompletedRange(first, last, draw(DIGESTS)))
        offset = last + 1
    return found


@given(range_lists())
def test_what_was_encoded_is_decoded(ranges: list[CompletedRange]) -> None:
    decoded = decode(encode(AT, ranges), AT)
    assert decoded.problem is None
    assert list(decoded.ranges) == ranges


def many(count: int) -> list[CompletedRange]:
    return [CompletedRange(AT.offset + 1 + 400 * n, AT.offset + 300 + 400 * n, 2**64 - 1 - n) for n in range(count)]


@pytest.mark.parametrize(
    "at", [AT, Position("s" * SOURCE_CHARS_MAX, "t" * TOPIC_CHARS_MAX, 2**31 - 1, 2**62)], ids=["usual", "longest"]
)
def test_it_is_never_longer_than_kafka_keeps_and_the_farthest_are_left_out_first(at: Position) -> None:
    moved = [
        CompletedRange(each.first + at.offset - AT.offset, each.last + at.offset - AT.offset, each.digest)
        for each in many(1000)
    ]
    text = encode(at, moved)
    assert text.isascii()
    assert COMMIT_METADATA_CHARS_MAX - 20 < len(text) <= COMMIT_METADATA_CHARS_MAX
    kept = decode(text, at).ranges
    assert len(kept) > 200
    assert list(kept) == moved[: len(kept)]


@settings(deadline=None)
@given(st.integers(0, 600))
def test_every_range_is_kept_while_there_is_room(count: int) -> None:
    text = encode(AT, many(count))
    kept = decode(text, AT).ranges
    assert len(text) <= COMMIT_METADATA_CHARS_MAX
    assert len(kept) == count or (len(kept) < count and len(encode(AT, many(len(kept) + 1))) == len(text))


def test_a_small_range_is_not_kept_where_a_nearer_one_had_no_room() -> None:
    ranges = many(1000)
    kept = len(decode(encode(AT, ranges), AT).ranges)
    previous = ranges[kept - 1].last
    far = CompletedRange(previous + 2**61, previous + 2**61 + 2**60, 1)
    near = CompletedRange(far.last + 1, far.last + 1, 2)
    for count in range(kept - 3, kept):
        mixed = [*ranges[:count], far, near]
        found = list(decode(encode(AT, mixed), AT).ranges)
        assert found == mixed[: len(found)]


def test_without_ranges_there_is_no_metadata_and_none_is_no_problem() -> None:
    assert encode(AT, []) == ""
    assert decode("", AT).problem is None


@pytest.mark.parametrize(
    "other",
    [
        Position("topups-2027", AT.topic, AT.partition, AT.offset),
        Position(AT.source, "credit-transfers-2", AT.partition, AT.offset),
        Position(AT.source, AT.topic, 4, AT.offset),
        Position(AT.source, AT.topic, AT.partition, 1001),
    ],
    ids=["source", "topic", "partition", "offset"],
)
def test_metadata_of_another_place_is_ignored_and_said_to_be_so(other: Position) -> None:
    decoded = decode(encode(other, [CompletedRange(2000, 2001, 7)]), AT)
    assert decoded.ranges == ()
    assert decoded.problem is not None
    assert other.workflow_id in decoded.problem
    assert AT.workflow_id in decoded.problem


@given(st.one_of(st.text(), st.binary().map(lambda raw: raw.decode("latin-1")), st.from_regex(r"recharge/1 \S+ \S+")))
def test_nothing_that_is_not_ours_is_believed_or_raises(text: str) -> None:
    assert decode(text, AT).ranges == ()


@given(range_lists(count_max=8), st.data())
def test_damage_anywhere_is_found_and_never_raises(ranges: list[CompletedRange], data: st.DataObject) -> None:
    text = encode(AT, ranges)
    if not text:
        return
    index = data.draw(st.integers(0, len(text) - 1))
    character = data.draw(st.characters(min_codepoint=33, max_codepoint=126).filter(lambda one: one != text[index]))
    for damaged in (text[:index] + character + text[index + 1 :], text[:index], text + character):
        decoded = decode(damaged, AT)
        assert decoded.ranges == ()
        assert (decoded.problem is None) == (damaged == "")


@pytest.mark.parametrize(
    "ranges",
    [
        [CompletedRange(AT.offset - 1, AT.offset, 0)],
        [CompletedRange(2000, 2001, 0), CompletedRange(2001, 2002, 0)],
        [CompletedRange(2000, 2001, 0), CompletedRange(1500, 1600, 0)],
    ],
    ids=["before the commit", "overlap", "order"],
)
def test_ranges_that_cannot_be_are_refused(ranges: Sequence[CompletedRange]) -> None:
    with pytest.raises(ValueError, match="completed ranges"):
        encode(AT, ranges)


@given(st.lists(st.tuples(st.integers(0, 100), st.text(max_size=3)), max_size=6), st.randoms())
def test_a_digest_does_not_depend_on_how_the_range_grew(records: list[tuple[int, str]], random: object) -> None:
    digests = [record_digest(*each) for each in records]
    total = 0
    for each in digests:
        total = joined(total, each)
    random.shuffle(digests)  # type: ignore[attr-defined]
    shuffled = 0
    for each in digests:
        shuffled = joined(each, shuffled)
    assert shuffled == total


def test_a_digest_covers_where_each_record_stands() -> None:
    swapped = joined(record_digest(1, "b"), record_digest(2, "a"))
    assert joined(record_digest(1, "a"), record_digest(2, "b")) != swapped
