"""Records that are redriven, and their copies, without a server: of a record and all that was made of it, one is carried out."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from activities.ledger import OperatorLedger, Story
from activities.ledger.obstacles import claims_of
from activities.ledger.rows import new_row
from ingest.kafka import KafkaRecord, RecordWriter
from operations import redrive
from operations.redrive import Redriver
from recharge import record
from recharge.contract import REDRIVE_HEADER, Ordering, Position, RecordInput
from recharge.outcome import State
from recharge.sending import frees_its_claim
from recharge.settings import KafkaSettings
from tests.support.records import value

SOURCE, TOPIC = "unit", "credit-transfers"
NOW = datetime(2026, 12, 1, tzinfo=UTC)
SETTINGS = cast("KafkaSettings", SimpleNamespace(dead_letters=f"{TOPIC}.dlt"))

Headers = Sequence[tuple[str, bytes | None]]


class World:
    """A topic, and what the ledger makes of its records, which have no requestId. The first one was refused."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.owners: dict[str, int] = {}
        self.attempts: Sequence[Mapping[str, Any]] = ()
        self.refuses = True
        self.charges = 0
        self.arrives([])

    def arrives(self, headers: Headers) -> RecordInput:
        """A record comes, claims what it claims as `activities.ledger.obstacles.claim` does it, and is sent where it may be."""
        told = next((text.decode() for name, text in headers if name == REDRIVE_HEADER and text is not None), None)
        offset = len(self.rows)
        position = Position(SOURCE, TOPIC, 0, offset)
        made = record.from_kafka(
            position, b"key", value(), 0, ordering=Ordering.PARTITION, traceparent=None, redrive_of=told
        )
        state = State.REJECTED
        if all(self._is_free(claim) for claim in claims_of(made)):
            self.owners |= dict.fromkeys(claims_of(made), offset)
            state = State.REJECTED if self.refuses else State.SUCCEEDED
            self.charges += not self.refuses
        self.rows.append(new_row(made, state))
        return made

    def _is_free(self, claim: str) -> bool:
        owner = self.owners.get(claim)
        return owner is None or frees_its_claim(self.rows[owner]["state"], [])

    def redrive(self, offset: int, *, refuses: bool) -> str:
        """A person redrives a record, and its copy is read."""
        self.refuses = refuses
        redriver = Redriver(cast("OperatorLedger", self), SETTINGS, cast("RecordWriter", self))
        return asyncio.run(redriver.redrive(Position(SOURCE, TOPIC, 0, offset), by="ana", note="mended")).text

    async def story(self, workflow_id: str) -> Story:
        row = self.rows[int(workflow_id.rpartition(":")[2])]
        return Story(row, self.attempts, (), (), twin=None, first_open_offset=None, now=NOW)

    async def record_redrive(self, workflow_id: str, *, by: str, note: str) -> None:
        """Nothing rests on it here."""

    async def write(
        self, topic: str, key: bytes | None, raw: bytes | None, headers: Headers, *, partition: int | None
    ) -> Position:
        del key, raw
        return Position(SOURCE, topic, partition or 0, self.arrives(headers).offset)


@example([(0, False), (0, False), (2, False)])  # a copy of the copy that was rejected since another one was carried out
@example(
    [(0, True), (0, False), (1, False)]
)  # a copy of the copy that the provider refused, after another one was carried out
@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=8))
def test_of_a_record_and_all_copies_of_copies_one_is_carried_out(steps: list[tuple[int, bool]]) -> None:
    world = World()
    for offset, refuses in steps:
        world.redrive(offset % len(world.rows), refuses=refuses)
    assert world.charges <= 1


def test_a_copy_that_was_refused_can_be_redriven_and_is_carried_out() -> None:
    world = World()
    world.redrive(0, refuses=True)
    world.redrive(1, refuses=False)
    assert [row["state"] for row in world.rows] == [State.REJECTED, State.REJECTED, State.SUCCEEDED]


def test_a_record_that_a_late_answer_says_to_be_carried_out_is_not_redriven() -> None:
    world = World()
    world.attempts = [{"late_outcome": "refused"}, {"late_outcome": "charged"}, {"late_outcome": None}]
    assert "came late" in world.redrive(0, refuses=False)
    assert world.charges == 0


FIRST = f"{SOURCE}:{TOPIC}:0:0"


@pytest.mark.parametrize(
    ("header", "root"),
    [
        (FIRST.encode(), FIRST),
        # What no intake takes for an id claims nothing, so a copy that bore it would be free of every claim.
        (b"not an id", f"{SOURCE}:{TOPIC}:0:1"),
        (b"\xff", f"{SOURCE}:{TOPIC}:0:1"),
        (None, f"{SOURCE}:{TOPIC}:0:1"),
    ],
)
def test_the_dead_letter_tells_what_a_row_of_an_older_release_does_not(
    monkeypatch: pytest.MonkeyPatch, header: bytes | None, root: str
) -> None:
    world = World()
    copy = world.arrives([])
    world.rows[1] |= {"raw_key": None, "raw_value": None}
    headers = ((REDRIVE_HEADER, header), ("recharge-workflow-id", copy.workflow_id.encode()))
    letter = KafkaRecord(0, 0, 0, b"key", value(), headers)

    async def letters(*_: object) -> Any:
        yield letter

    monkeypatch.setattr(redrive, "scan", letters)
    world.redrive(1, refuses=False)
    assert world.rows[2]["redrive_of"] == root
