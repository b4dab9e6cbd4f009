"""Of a record and the copies that `recharge redrive` made of it, an audit finds every second one that may have been carried out."""

from dataclasses import replace
from typing import Any, cast

import pytest

from activities.ledger import AuditedAction, AuditedAttempt, AuditedRow, AuditReader
from operations.audit.copies import check_copies, family, may_have_been_carried_out
from operations.audit.facts import Case, PartitionFacts, Terms
from operations.audit.findings import Kind
from operations.audit.partition import PartitionAudit, SentCopy
from operations.audit.recheck import CopySuspect, Recheck
from operations.audit.spool import Spool
from operations.audit.temporal import TemporalBook
from recharge.contract import THE_SERVICE
from recharge.outcome import Action, Outcome, State, Verdict
from tests.support.audited import at, attempt, good_row

SOURCE, TOPIC = "unit", "credit-transfers"
TERMS = Terms(SOURCE, TOPIC, began_at=at(100_000))
FIRST = f"{SOURCE}:{TOPIC}:0:0"
REFUSED = {"state": State.REJECTED, "attempts": (attempt(1, 1, Outcome.REFUSED),)}
DUPLICATE = {"state": State.REJECTED, "resolved_by": "intake", "attempts": ()}
DOUBT = {"state": State.IN_DOUBT, "final_at": None, "resolved_by": None}
NOT_CHARGED = {"verdict": Verdict.NOT_CHARGED, "verdict_by": "Ann", "verdict_at": at(3)}
LATE_CHARGE = {"late_outcome": Outcome.CHARGED, "late_at": at(100)}
HELD = AuditedAction(Action.HOLD, THE_SERVICE, f"duplicate of {FIRST}")
RELEASED = AuditedAction(Action.NOT_CHARGED, "Ann", "meant so")


def copy(offset: int, **changes: Any) -> AuditedRow:
    return good_row(SOURCE, TOPIC, 0, offset, redrive_of=FIRST, **changes)


def found(*rows: AuditedRow) -> list[str]:
    """The records of which it is told that they were sent beside another one."""
    told = list(check_copies(FIRST, rows))
    assert all(each.kind is Kind.COPY_SENT_TWICE for each in told)
    return [each.workflow_id for each in told]


@pytest.mark.parametrize(
    ("attempts", "state", "may"),
    [
        ((attempt(1, 1),), State.SUCCEEDED, True),
        ((attempt(1, 1, Outcome.UNKNOWN),), State.IN_DOUBT, True),
        ((attempt(1, 1, None),), State.SENDING, True),
        ((attempt(1, 1, Outcome.PENDING),), State.PENDING, True),
        ((attempt(1, 1, Outcome.UNKNOWN),), State.SKIPPED, True),
        ((attempt(1, 1, Outcome.UNKNOWN, **NOT_CHARGED, **LATE_CHARGE),), State.REJECTED, True),
        ((attempt(1, 1, Outcome.NOT_SENT), attempt(2, 3, Outcome.NOT_CHARGED)), State.RETRYING, False),
        ((attempt(1, 1, Outcome.UNKNOWN, **NOT_CHARGED),), State.HELD, False),
        ((attempt(1, 1, Outcome.REFUSED),), State.REJECTED, False),
        # A look-up said that it was refused.
        ((attempt(1, 1, Outcome.UNKNOWN),), State.REJECTED, False),
        ((attempt(1, 1, Outcome.NOT_SENT),), State.SKIPPED, False),
        # A person said so of what was never sent.
        ((), State.SUCCEEDED, False),
        ((), State.INVALID, False),
    ],
)
def test_a_record_may_have_been_carried_out_where_an_attempt_is_not_known_to_have_done_nothing(
    attempts: tuple[AuditedAttempt, ...], state: State, may: bool
) -> None:
    assert may_have_been_carried_out(good_row(SOURCE, TOPIC, 0, 0, state=state, attempts=attempts)) is may


def test_of_a_record_and_its_copies_each_that_may_have_been_carried_out_beside_another_is_told() -> None:
    charged_late = (attempt(1, 1, Outcome.UNKNOWN, **NOT_CHARGED, **LATE_CHARGE), attempt(2, 4, Outcome.REFUSED))
    first = good_row(SOURCE, TOPIC, 0, 0, **REFUSED)
    assert found(first, copy(1), copy(2, **DUPLICATE)) == []
    assert found(first, copy(1, **REFUSED), copy(2)) == []
    assert found(first, copy(1), copy(2, **REFUSED), copy(3)) == [copy(3).workflow_id]
    assert found(first, copy(1), copy(2), copy(3, **DOUBT, attempts=(attempt(1, 1, Outcome.UNKNOWN),))) == [
        copy(2).workflow_id,
        copy(3).workflow_id,
    ]
    assert found(replace(first, attempts=charged_late), copy(1)) == [copy(1).workflow_id]


def test_a_copy_that_was_held_as_a_duplicate_and_released_was_meant_and_one_whose_doubt_was_decided_was_not() -> None:
    decided = (AuditedAction(Action.CHARGED, "Ann", "they say so"), AuditedAction(Action.NOT_CHARGED, "Ann", "no"))
    assert found(copy(1), copy(2, actions=(HELD, RELEASED))) == []
    assert found(copy(1), copy(2, actions=decided)) == [copy(2).workflow_id]
    assert found(copy(1), copy(2, actions=(RELEASED, HELD))) == [copy(2).workflow_id]
    assert found(copy(1), copy(2, actions=(HELD, replace(RELEASED, refused=True)))) == [copy(2).workflow_id]


@pytest.mark.parametrize(
    ("first", "everyone"),
    [
        (FIRST, (0, 3, 5)),
        (f"{SOURCE}:{TOPIC}:0:3", (3, 5)),
        (f"{SOURCE}:{TOPIC}:1:0", (3, 5)),
        (f"older:{TOPIC}:0:0", (3, 5)),
        (f"{SOURCE}:{TOPIC}:0:x", (3, 5)),
        ("no id", (3, 5)),
    ],
)
def test_the_record_itself_is_compared_with_its_copies_where_it_stands_beside_them(
    first: str, everyone: tuple[int, ...]
) -> None:
    assert family(first, (3, 5), 0, TERMS) == everyone


def test_only_copies_that_may_have_been_carried_out_are_put_aside_and_by_the_record_that_they_repeat() -> None:
    audit = PartitionAudit(TERMS, PartitionFacts(0, committed=9, first=0, end=9))
    rows = [good_row(SOURCE, TOPIC, 0, 0), copy(1), copy(2, **DUPLICATE), copy(3), copy(4, **REFUSED)]
    seen = [finding for row in rows for finding in audit.look(Case(row.offset, row=row))]
    kept = [finding for finding in seen if isinstance(finding, SentCopy)]
    assert kept == [SentCopy(0, 1, FIRST), SentCopy(0, 3, FIRST)]
    with Spool() as spool:
        spool.add_copy(0, "z", 9)
        spool.add_copy(1, FIRST, 7)
        for each in reversed(kept):
            spool.add_copy(each.partition, each.first, each.offset)
        assert list(spool.copies(0)) == [(FIRST, (1, 3)), ("z", (9,))]
        assert list(spool.copies(2)) == []


class Ledger:
    """The ledger as it stands now, read in one snapshot for all that is asked of a partition."""

    def __init__(self, *rows: AuditedRow) -> None:
        self.rows = rows
        self.reads = 0

    async def rows_at(self, source: str, topic: str, partition: int, offsets: set[int]) -> list[AuditedRow]:
        assert (source, topic, partition) == (SOURCE, TOPIC, 0)
        self.reads += 1
        return [row for row in self.rows if row.offset in offsets]


async def test_what_a_copy_was_before_the_next_one_was_sent_is_not_told() -> None:
    """It was in doubt when its row was read; then it was refused, and another copy was sent before its row was read in its turn."""
    ledger = Ledger(good_row(SOURCE, TOPIC, 0, 0, **REFUSED), copy(1, **REFUSED), copy(2))
    recheck = Recheck(cast("AuditReader", ledger), cast("TemporalBook", None), TERMS)
    recheck.add(CopySuspect(0, FIRST, (0, 1, 2)))
    assert await recheck.settle() == []
    ledger.rows = (copy(1), copy(2))
    recheck.add(CopySuspect(0, FIRST, (0, 1, 2)))
    recheck.add(CopySuspect(0, FIRST, (1,)))
    assert [(each.kind, each.workflow_id) for each in await recheck.settle()] == [
        (Kind.COPY_SENT_TWICE, copy(2).workflow_id)
    ]
    assert ledger.reads == 2
