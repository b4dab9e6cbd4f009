"""What a campaign's verdict finds: calls out of order, charges that came twice, and what must not stand in a log."""

from pathlib import Path

import pytest

from devstack.campaign.verdict import (
    EVERYTHING,
    Produced,
    audit_problems,
    charge_problems,
    leak_problems,
    order_problems,
)
from devstack.leaks import Watched
from recharge.contract import Ordering
from tests.support.records import value

A, B, C = frozenset({"a"}), frozenset({"b"}), frozenset({EVERYTHING})


def problems(*sent: tuple[int, frozenset[str] | None]) -> list[str]:
    """What is wrong with calls of one partition, told by their offsets and lanes in the order in which they came."""
    lanes = dict(sent)
    return order_problems([(0, offset) for offset, _ in sent], lambda _, offset: lanes[offset])


def test_a_call_that_comes_after_one_of_a_later_record_of_its_lane_is_found() -> None:
    assert problems((0, A), (1, A), (1, A), (2, B)) == []
    assert problems((1, A), (0, A)) == ["0/0: it was sent after 1 of its lane"]
    assert problems((1, A), (0, B)) == [], "the lanes have nothing to do with each other"
    assert problems((1, frozenset({"a", "b"})), (0, B)) == ["0/0: it was sent after 1 of its lane"]
    assert problems((1, C), (0, B)) == ["0/0: it was sent after 1 of its lane"], "one that belongs to all lanes"
    assert problems((1, B), (0, C)) == ["0/0: it was sent after 1 of its lane"]
    assert problems((1, None), (0, None)) == [], "nothing has to be in order"
    assert order_problems([(0, 1), (1, 0)], lambda _partition, _offset: C) == [], "partitions have no order"


@pytest.mark.parametrize("ordering", list(Ordering))
def test_a_record_belongs_to_the_lanes_of_the_order(ordering: Ordering) -> None:
    body = value(phoneNumberDonor="34600111222", phoneNumberReceiver="34600333444")
    keyed, keyless, unreadable = (Produced(0, 0, key, text) for key, text in ((b"k", body), (None, body), (b"k", b"{")))
    assert [each.lanes(ordering) for each in (keyed, keyless, unreadable)] == {
        Ordering.PARTITION: [C, C, C],
        Ordering.ACCOUNT: [{"34600111222", "34600333444"}, {"34600111222", "34600333444"}, frozenset()],
        Ordering.KEY: [{b"k".hex()}, C, {b"k".hex()}],
        Ordering.NONE: [None, None, None],
    }[ordering]


def test_a_reference_that_was_charged_twice_is_found() -> None:
    assert charge_problems(["a", "b"]) == []
    assert charge_problems(["a", "b", "a"]) == ["a: charged 2 times"]


def test_what_the_audit_found_is_told_and_so_is_an_audit_that_did_not_come_to_its_end() -> None:
    violation = {"workflow_id": "a:b:0:1", "kind": "charged_twice", "problem": "two charges"}
    assert audit_problems(0, {"violations": []}) == []
    assert audit_problems(1, {"violations": [violation]}) == ["a:b:0:1: charged_twice: two charges"]
    assert audit_problems(2, {}) == ["the audit ended with status 2"]


def test_a_number_or_a_secret_in_a_file_is_told_without_being_repeated(tmp_path: Path) -> None:
    file, secret = tmp_path / "run-1.log", "0123456789abcdef" * 3
    file.write_text(f"a line\nto 34600111222\nand once more 34600111222\nby {secret}\n")
    watched = Watched(numbers={"34600111222"}, secrets={secret})
    told = ["run-1.log holds a phone number (2 lines)", "run-1.log holds a secret (1 lines)"]
    assert leak_problems(watched.leaks([file])) == told
