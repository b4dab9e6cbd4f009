"""No more records are started than a worker in the same process can begin at once, so that each start is eager."""

import pytest

from ingest.beginnings import Beginnings
from recharge import limits


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def full(clock: Clock) -> Beginnings:
    beginnings = Beginnings(clock)
    for number in range(limits.BEGINNINGS_MAX):
        assert beginnings.has_room
        beginnings.began(f"record-{number}")
    return beginnings


def test_no_more_records_begin_than_there_is_room_for(full: Beginnings) -> None:
    assert not full.has_room


def test_a_record_whose_call_has_left_makes_room_once_and_says_so(full: Beginnings) -> None:
    told: list[bool] = []
    full.when_over = lambda: told.append(full.has_room)
    full.over("record-3")
    full.over("record-3")
    full.over("of another process")
    assert told == [True]
    full.began("next")
    assert not full.has_room


def test_a_record_that_the_worker_says_nothing_about_counts_no_longer_after_a_while(
    full: Beginnings, clock: Clock
) -> None:
    clock.now_s += limits.BEGINNING_S_MAX / 2
    full.over("record-0")
    full.began("later")
    clock.now_s += limits.BEGINNING_S_MAX / 2
    assert full.has_room
    for number in range(limits.BEGINNINGS_MAX - 1):
        assert full.has_room
        full.began(f"again-{number}")
    assert not full.has_room, "'later' is still beginning"


def test_a_record_that_begins_again_is_counted_once_from_then_on(clock: Clock) -> None:
    beginnings = Beginnings(clock)
    for _ in range(limits.BEGINNINGS_MAX):
        beginnings.began("the same")
    assert beginnings.has_room
