"""Nothing starts early, nothing that could start waits, and every order of becoming final is a legal one."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ingest.lanes import EVERY_LANE, LaneKeys, Lanes, lanes_of
from recharge import record
from recharge.contract import Ordering, Position, RecordInput

LANES = st.one_of(st.just(EVERY_LANE), st.frozensets(st.sampled_from([b"a", b"b", b"c", b"d"]), max_size=3))


class ObviousModel:
    """The definition, written down: a record may start when no earlier open record shares a lane with it."""

    def __init__(self) -> None:
        self.open: list[tuple[int, LaneKeys]] = []
        self.started: set[int] = set()

    def startable(self) -> list[int]:
        return [
            offset
            for index, (offset, lanes) in enumerate(self.open)
            if offset not in self.started and not any(self.share(lanes, earlier) for _, earlier in self.open[:index])
        ]

    @staticmethod
    def share(one: LaneKeys, other: LaneKeys) -> bool:
        return one is EVERY_LANE or other is EVERY_LANE or bool(one & other)


class LanesAgainstTheModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.lanes = Lanes()
        self.model = ObviousModel()
        self.offset = 0

    @rule(lanes=LANES, gap=st.integers(1, 3))
    def add(self, lanes: LaneKeys, gap: int) -> None:
        self.offset += gap
        self.lanes.add(self.offset, lanes)
        self.model.open.append((self.offset, lanes))

    @precondition(lambda self: self.model.startable())
    @rule()
    def start_one(self) -> None:
        expected = self.model.startable()[0]
        assert self.lanes.start_next() == expected
        self.model.started.add(expected)

    @precondition(lambda self: self.model.started)
    @rule(data=st.data())
    def final(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(sorted(self.model.started)))
        self.lanes.final(offset)
        self.model.started.remove(offset)
        self.model.open = [entry for entry in self.model.open if entry[0] != offset]

    @invariant()
    def agrees_on_what_may_start(self) -> None:
        assert self.lanes.lowest_startable == next(iter(self.model.startable()), None)
        assert sorted(self.lanes._startable) == self.model.startable()
        assert len(self.lanes) == len(self.model.open)

    @invariant()
    def never_deadlocks(self) -> None:
        assert not self.model.open or self.model.started or self.lanes.lowest_startable is not None

    def teardown(self) -> None:
        while (offset := self.lanes.start_next()) is not None:
            self.model.started.add(offset)
            self.final_all()
        self.final_all()
        while self.lanes.lowest_startable is not None:
            self.start_one()
            self.final_all()
        assert len(self.lanes) == 0
        assert not self.lanes._stretches
        assert not self.lanes._blocking_lanes

    def final_all(self) -> None:
        for offset in sorted(self.model.started):
            self.lanes.final(offset)
            self.model.open = [entry for entry in self.model.open if entry[0] != offset]
        self.model.started.clear()


TestLanesAgainstTheModel = LanesAgainstTheModel.TestCase
TestLanesAgainstTheModel.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


def decoded(donor: str, receiver: str, *, offset: int = 0, value: bytes | None = None) -> RecordInput:
    if value is None:
        text = f'{{"operationType":"OneShotTransfer","phoneNumberDonor":"{donor}","phoneNumberReceiver":"{receiver}","amount":"1.00"}}'
        value = text.encode()
    position = Position("test", "transfers", 0, offset)
    return record.from_kafka(position, None, value, 0, ordering=Ordering.ACCOUNT, traceparent=None)


def test_partition_order_puts_every_record_into_one_lane() -> None:
    valid = lanes_of(decoded("12345", "67890"), b"key", Ordering.PARTITION)
    invalid = lanes_of(decoded("", "", value=b"no JSON"), None, Ordering.PARTITION)
    assert valid == invalid
    assert valid


def test_account_order_compares_numbers_by_their_digits_whoever_pays() -> None:
    first = lanes_of(decoded("+4912345", "777777"), None, Ordering.ACCOUNT)
    second = lanes_of(decoded("888888", "4912345"), None, Ordering.ACCOUNT)
    assert first is not None
    assert second is not None
    assert first & second == {b"4912345"}


def test_account_order_lets_an_invalid_record_pass_since_nobody_can_see_its_order() -> None:
    assert lanes_of(decoded("", "", value=b"no JSON"), b"key", Ordering.ACCOUNT) == frozenset()


def test_key_order_takes_a_record_without_a_key_for_everybodys() -> None:
    assert lanes_of(decoded("12345", "67890"), None, Ordering.KEY) is EVERY_LANE
    assert lanes_of(decoded("12345", "67890"), b"", Ordering.KEY) == frozenset({b""})


def test_no_order_has_no_lanes() -> None:
    assert lanes_of(decoded("12345", "67890"), b"key", Ordering.NONE) == frozenset()


def test_an_offset_out_of_order_is_refused() -> None:
    lanes = Lanes()
    lanes.add(5, frozenset())
    with pytest.raises(ValueError, match="offset 5 came after offset 5"):
        lanes.add(5, frozenset())


def test_a_record_that_was_not_started_cannot_become_final() -> None:
    lanes = Lanes()
    lanes.add(5, frozenset())
    with pytest.raises(ValueError, match="without having been started"):
        lanes.final(5)
