"""The audit's judgement, without a server: each planted fault is found and nothing else, and what is in order is left in peace."""

import itertools
import random
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.ledger import AuditedAction, AuditedAttempt, AuditedRow, AuditReader
from operations.audit import workflows
from operations.audit.charges import check_charges
from operations.audit.copies import check_copies, family
from operations.audit.facts import (
    NEVER_STARTED,
    Case,
    Charges,
    Letters,
    LoggedRecord,
    PartitionFacts,
    Period,
    Terms,
    Workflow,
)
from operations.audit.findings import MEANINGS, Kind, Note, NoteKind, Promise, Violation
from operations.audit.joining import OrderProblem, side_by_side
from operations.audit.order import LaneOrder, order_problem
from operations.audit.partition import ChargeSuspect, OrderSuspect, PartitionAudit, SentCopy, WorkflowSuspect
from operations.audit.recheck import Recheck
from operations.audit.temporal import TemporalBook
from recharge.contract import Ordering
from recharge.outcome import Outcome, State, Verdict
from recharge.sending import KeyRules
from tests.support.audited import (
    AMOUNT,
    OTHER_FINGERPRINT,
    TRUE_FINGERPRINT,
    LetterFields,
    Scenario,
    at,
    attempt,
    good_row,
    scenarios,
)

SOURCE, TOPIC = "unit", "credit-transfers"
NOW = at(100_000)
TERMS = Terms(SOURCE, TOPIC, began_at=NOW, has_statement=True, statement_until=NOW)
T = TypeVar("T")
Found = tuple[list[tuple[Kind, int]], list[tuple[NoteKind, int]]]

PLANTED = list(enumerate(scenarios(SOURCE, TOPIC)))


async def flowing(entries: Iterable[T]) -> AsyncIterator[T]:
    for entry in entries:
        yield entry


def charges_of(scenario: Scenario) -> list[Charges]:
    """What the spool makes of the statement's lines."""
    found = []
    for offset in sorted({charge[0] for charge in scenario.charges}):
        mine = [charge for charge in scenario.charges if charge[0] == offset]
        stand = [Decimal(amount) for _, _, status, amount in mine if status == "charged"]
        theirs = min((reference for _, reference, status, _ in mine if status == "charged"), default="")
        found.append(Charges(offset, len(stand), len(mine) - len(stand), min(stand, default=None), 2, 3, theirs))
    return found


async def audited(scenario: Scenario, partition: int, terms: Terms = TERMS) -> Found:
    """Judge a scenario as the audit does, with second looks at an unchanged world."""
    facts = PartitionFacts(partition, scenario.committed, scenario.deleted_before, scenario.end, letters_are_whole=True)
    audit = PartitionAudit(terms, facts)
    runs = [
        Workflow(
            offset,
            status,
            status == "running",
            scenario.status_of(offset),
            scenario.memos.get(offset, TRUE_FINGERPRINT),
        )
        for offset, status in sorted(scenario.workflows.items())
    ]
    letters: dict[int, list[LetterFields]] = {}
    for letter in scenario.written_letters:
        letters.setdefault(letter[0], []).append(letter)
    cases = side_by_side(
        flowing(
            itertools.chain(
                (LoggedRecord(offset, TRUE_FINGERPRINT, 1_793_534_400_000) for offset in scenario.records),
                (LoggedRecord.broken(offset, "it is broken") for offset in scenario.unreadable),
            )
        ),
        flowing(scenario.rows),
        iter(charges_of(scenario)),
        iter(runs),
        iter(
            Letters(offset, len(found), frozenset(each[1] for each in found), frozenset(each[2] for each in found))
            for offset, found in sorted(letters.items())
        ),
    )
    findings = [*audit.begin()]
    async for case in cases:
        findings += audit.look(case)
    findings += audit.end()
    rows = {row.offset: row for row in scenario.rows}
    violations = [(Kind.ATTEMPT_WITHOUT_ROW, offset) for offset in scenario.orphans]
    violations += [(Kind.CLAIM_WITHOUT_ROW, offset) for offset in scenario.orphan_claims]
    notes: list[tuple[NoteKind, int]] = []
    for finding in [each for each in findings if not isinstance(each, SentCopy)]:
        match finding:
            case Violation() | Note():
                told = violations if isinstance(finding, Violation) else notes
                told.append((finding.kind, int(finding.workflow_id.rsplit(":", 1)[1])))  # type: ignore[arg-type]
            case OrderSuspect(earlier=earlier, later=later):
                if order_problem(rows[earlier], rows[later]) is not None:
                    violations.append((Kind.OUT_OF_ORDER, later))
            case ChargeSuspect():
                raise AssertionError("nothing is older than the period here")
            case WorkflowSuspect(offset=offset, is_committed=is_committed):
                run = next(
                    (run for run in runs if run.offset == offset), Workflow(offset, NEVER_STARTED, is_open=False)
                )
                state = rows[offset].state if offset in rows else None
                judged = workflows.judge(state, run, is_committed=is_committed)
                if judged is not None:
                    kind, _ = judged
                    (violations if isinstance(kind, Kind) else notes).append((kind, offset))  # type: ignore[arg-type]
    copies = [finding for finding in findings if isinstance(finding, SentCopy)]
    return violations + told_of_copies(copies, rows, terms), notes


def told_of_copies(copies: Sequence[SentCopy], rows: dict[int, AuditedRow], terms: Terms) -> list[tuple[Kind, int]]:
    """What is wrong among the copies of a partition."""
    told = []
    for partition, first in sorted({(each.partition, each.first) for each in copies}):
        offsets = [each.offset for each in copies if each.first == first]
        everyone = [rows[offset] for offset in family(first, offsets, partition, terms) if offset in rows]
        told += [(each.kind, int(each.workflow_id.rsplit(":", 1)[1])) for each in check_copies(first, everyone)]
    return told


@pytest.mark.parametrize(("partition", "scenario"), PLANTED, ids=[scenario.name for _, scenario in PLANTED])
async def test_what_is_planted_is_found_and_nothing_else(partition: int, scenario: Scenario) -> None:
    assert await audited(scenario, partition) == (scenario.violations, scenario.notes)


def test_every_kind_is_planted_somewhere_and_has_its_meaning() -> None:
    assert {kind for _, scenario in PLANTED for kind, _ in scenario.violations} == set(Kind)
    assert {kind for _, scenario in PLANTED for kind, _ in scenario.notes} == set(NoteKind)
    assert set(MEANINGS) == set(Kind)
    assert {meaning.promise for meaning in MEANINGS.values()} == set(Promise)


# --- Histories --------------------------------------------------------------------------------------------------------

ENDINGS = st.sampled_from(["charged", "refused", "retried", "invalid", "key"])
KEYS = KeyRules(lifetime_s=3600.0, timeout_s=30.0)
KEY_TERMS = replace(TERMS, keys=KEYS)


def ended(row: AuditedRow, ending: str) -> AuditedRow:
    """One of the ways in which a record ends in good order."""
    began_s = (row.created_at - at(0)).total_seconds()
    match ending:
        case "charged":
            return row
        case "refused":
            return replace(row, state=State.REJECTED, attempts=(attempt(1, began_s + 1, Outcome.REFUSED),))
        case "retried":
            tries = (attempt(1, began_s + 1, Outcome.NOT_SENT), attempt(2, began_s + 3, Outcome.NOT_CHARGED))
            return replace(row, attempts=(*tries, attempt(3, began_s + 5)))
        case "invalid":
            return replace(row, state=State.INVALID, resolved_by="intake", attempts=(), amount=None)
        case _:
            return replace(row, attempts=(attempt(1, began_s + 1, Outcome.UNKNOWN), attempt(2, began_s + 3)))


@st.composite
def histories(draw: st.DrawFn) -> Scenario:
    """A partition in good order: records with gaps between them, some deleted, some not begun yet."""
    dense = draw(st.integers(0, 8))
    beyond = draw(st.sets(st.integers(dense + 1, 60), min_size=1, max_size=12))
    offsets = [*range(dense), *sorted(beyond)]
    endings = draw(st.lists(ENDINGS, min_size=len(offsets), max_size=len(offsets)))
    begun = draw(st.integers(1, len(offsets)))
    rows = [ended(good_row(SOURCE, TOPIC, 0, offset), how) for offset, how in zip(offsets, endings, strict=True)]
    scenario = Scenario("history", rows[:begun], [])
    for row in scenario.rows:
        if row.state is State.SUCCEEDED:
            scenario.charge(row.offset, f"P-{row.partition}-{row.offset}")
    scenario.committed = draw(st.integers(0, begun))
    scenario.committed = offsets[begun - 1] + 1 if scenario.committed == begun else offsets[scenario.committed]
    # Kafka deletes whole stretches, and here only what is committed; the first records are dense, so that no gap is left among them.
    scenario.deleted_before = draw(st.integers(0, min(dense, begun, scenario.committed)))
    scenario.records = tuple(offset for offset in offsets if offset >= scenario.deleted_before)
    scenario.end = offsets[-1] + 1
    return scenario


@given(histories())
async def test_a_history_in_good_order_breaks_no_promise(scenario: Scenario) -> None:
    assert await audited(scenario, 0, KEY_TERMS) == ([], [])


FAULTS = [
    "lose_row",
    "charge_again",
    "lose_charge",
    "reopen",
    "reorder",
    "forge",
    "reject",
    "change_amount",
    "send_again",
]


def plant(scenario: Scenario, fault: str, row: AuditedRow) -> Kind | None:  # noqa: PLR0911  # one return a fault
    """Break one promise at one record; None where this record does not lend itself to it."""
    is_charged = row.state is State.SUCCEEDED
    is_committed = row.offset < scenario.committed
    match fault:
        case "lose_row" if is_committed:
            scenario.drop(row.offset)
            scenario.uncharge(row.offset)
            return Kind.GONE_WITHOUT_ROW if row.offset < scenario.deleted_before else Kind.COMMITTED_WITHOUT_ROW
        case "charge_again" if is_charged:
            scenario.charge(row.offset, "P-again")
            return Kind.CHARGED_TWICE
        case "lose_charge" if is_charged:
            scenario.uncharge(row.offset)
            return Kind.CHARGE_MISSING
        case "reopen" if is_committed and row is scenario.rows[-1] and row.attempts:
            scenario.change(row.offset, state=State.IN_DOUBT, final_at=None, resolved_by=None)
            scenario.workflows[row.offset] = "running"
            return Kind.COMMITTED_BUT_OPEN
        case "reorder" if row is not scenario.rows[0] and row.attempts:
            earlier = scenario.rows[scenario.rows.index(row) - 1]
            scenario.change(earlier.offset, final_at=row.attempts[0].opened_at + timedelta(microseconds=1))
            return Kind.OUT_OF_ORDER
        case "forge" if row.offset >= scenario.deleted_before:
            scenario.change(row.offset, fingerprint=OTHER_FINGERPRINT)
            return Kind.OTHER_RECORD
        case "reject" if row.state is State.REJECTED:
            scenario.charge(row.offset)
            return Kind.CHARGED_THOUGH_NOT_SUCCEEDED
        case "change_amount" if is_charged:
            scenario.change(row.offset, amount=AMOUNT + Decimal("0.0001"))
            return Kind.AMOUNT_DIFFERS
        case "send_again" if is_charged and row.final_at is not None:
            again = AuditedAttempt(len(row.attempts) + 1, row.final_at - timedelta(seconds=1))
            scenario.change(row.offset, attempts=(*row.attempts, again))
            return Kind.SENT_AFTER_CHARGED
        case _:
            return None


@settings(max_examples=300)
@given(histories(), st.sampled_from(FAULTS), st.randoms(use_true_random=False))
async def test_one_fault_in_a_good_history_is_found_where_it_is(
    scenario: Scenario, fault: str, dice: random.Random
) -> None:
    row = dice.choice(scenario.rows)
    kind = plant(scenario, fault, row)
    expected = [] if kind is None else [(kind, row.offset)]
    assert await audited(scenario, 0, KEY_TERMS) == (expected, [])


# --- A charge of an open record ---------------------------------------------------------------------------------------

VERDICT = {"verdict": Verdict.NOT_CHARGED, "verdict_by": "Ann", "verdict_at": at(3)}
SAID = AuditedAction("not_charged", "Ann", "asked")
AFTER_THE_STATEMENT_S = (NOW - at(0)).total_seconds() + 1


def kinds_of(terms: Terms, *attempts: AuditedAttempt, charged: int = 1, **changes: Any) -> list[Kind]:
    """What is wrong with an open record that the statement has as charged."""
    open_yet: dict[str, Any] = {"state": State.RETRYING, "final_at": None, "resolved_by": None, "attempts": attempts}
    row = good_row(SOURCE, TOPIC, 0, 0, **open_yet | changes)
    charges = Charges(0, charged, 1 - min(charged, 1), AMOUNT if charged else None, 2, 2)
    return [kind for kind, _ in check_charges(row, charges, terms)]


@pytest.mark.parametrize("terms", [TERMS, KEY_TERMS], ids=["none", "key"])
@pytest.mark.parametrize(
    ("attempts", "changes"),
    [
        ((attempt(1, 1, Outcome.NOT_CHARGED),), {}),
        ((attempt(1, 1, Outcome.NOT_SENT), attempt(2, 3, Outcome.NOT_CHARGED)), {"state": State.HELD}),
        ((attempt(1, 1, Outcome.NOT_CHARGED),), {"state": State.SENDING}),
        ((attempt(1, 1, Outcome.UNKNOWN, **VERDICT),), {"state": State.IN_DOUBT, "actions": (SAID,)}),
        ((attempt(1, 1, Outcome.NOT_CHARGED, closed_at=at(AFTER_THE_STATEMENT_S)),), {}),
        ((attempt(1, 1, Outcome.NOT_CHARGED), attempt(2, AFTER_THE_STATEMENT_S, Outcome.NOT_CHARGED)), {}),
    ],
    ids=["retried", "held", "between_two", "by_a_verdict", "closed_after_the_statement", "sent_after_the_statement"],
)
def test_a_charge_that_no_attempt_explains_is_told_before_the_record_is_charged_again(
    terms: Terms, attempts: tuple[AuditedAttempt, ...], changes: dict[str, Any]
) -> None:
    assert kinds_of(terms, *attempts, **changes) == [Kind.CHARGED_THOUGH_NOTHING_DONE]
    assert kinds_of(terms, *attempts, charged=2, **changes) == [Kind.CHARGED_TWICE, Kind.CHARGED_THOUGH_NOTHING_DONE]
    assert kinds_of(terms, *attempts, charged=0, **changes) == [], "the provider took it back"


@pytest.mark.parametrize("terms", [TERMS, KEY_TERMS], ids=["none", "key"])
@pytest.mark.parametrize("outcome", [None, Outcome.UNKNOWN, Outcome.PENDING, Outcome.CHARGED])
def test_an_attempt_that_may_have_made_the_charge_explains_it_wherever_it_stands(
    terms: Terms, outcome: Outcome | None
) -> None:
    assert kinds_of(terms, attempt(1, 1, Outcome.NOT_CHARGED), attempt(2, 3, outcome)) == []
    assert kinds_of(terms, attempt(1, 1, outcome), attempt(2, 3, Outcome.NOT_CHARGED)) == []


@pytest.mark.parametrize("action", ["charged", "skip"])
def test_a_record_that_a_person_has_ended_is_charged_no_second_time(action: str) -> None:
    held, ended = AuditedAction("hold", "Ann", "asked"), AuditedAction(action, "Ann", "it stands in the portal")
    refused = replace(ended, refused=True)
    tried = attempt(1, 1, Outcome.NOT_CHARGED)
    assert kinds_of(TERMS, tried, state=State.HELD, actions=(held, ended)) == []
    found = kinds_of(TERMS, tried, state=State.HELD, actions=(held, refused))
    assert found == [Kind.CHARGED_THOUGH_NOTHING_DONE]


# --- Order ------------------------------------------------------------------------------------------------------------


def rows_without_order(seed: int) -> list[AuditedRow]:
    """Rows of one order or of all, with times that know no order at all."""
    dice = random.Random(seed)
    orders = dice.choice([[Ordering.PARTITION], [Ordering.ACCOUNT], [Ordering.KEY], list(Ordering)])
    rows = []
    for offset in range(dice.randint(2, 12)):
        opened_s = dice.randint(0, 20)
        rows.append(
            good_row(
                SOURCE,
                TOPIC,
                0,
                offset,
                ordering=dice.choice(orders),
                donor=dice.choice([None, "100001", "+100002", "100003"]),
                receiver=dice.choice([None, "100002", "100003"]),
                key_digest=dice.choice([None, "0a", "0b", "0c"]),
                final_at=None if dice.random() < 0.1 else at(opened_s + dice.randint(0, 5)),
                attempts=(attempt(1, opened_s),) if dice.random() < 0.8 else (),
            )
        )
    return rows


def shares_lane(earlier: AuditedRow, later: AuditedRow) -> bool:
    """Whether the later record had to wait for the earlier one, said as plainly as can be."""
    if later.ordering is Ordering.PARTITION:
        return True
    if later.ordering is Ordering.NONE or earlier.ordering is not later.ordering:
        return False
    if later.ordering is Ordering.KEY:
        return earlier.key_digest is None or later.key_digest in {None, earlier.key_digest}
    numbers = [
        {str(number).removeprefix("+") for number in (row.donor, row.receiver) if number} for row in (earlier, later)
    ]
    return bool(numbers[0] & numbers[1])


@settings(max_examples=1000)
@given(st.integers(0, 2**32))
def test_the_order_is_judged_as_by_comparing_every_pair(seed: int) -> None:
    rows = rows_without_order(seed)
    order = LaneOrder()
    for index, later in enumerate(rows):
        waited_for = [
            earlier
            for earlier in rows[:index]
            if shares_lane(earlier, later) and order_problem(earlier, later) is not None
        ]
        found = order.look(later)
        assert (found is None) == (not waited_for)
        assert found is None or found in {earlier.offset for earlier in waited_for}


def test_a_lane_is_remembered_for_as_long_as_it_may_matter_and_not_for_ever() -> None:
    order = LaneOrder(offsets=100)

    def look(offset: int, number: str, **changes: Any) -> int | None:
        return order.look(
            good_row(SOURCE, TOPIC, 0, offset, ordering=Ordering.ACCOUNT, donor=number, receiver=None, **changes)
        )

    look(0, "100001", final_at=None)
    assert all(look(offset, str(200_000 + offset)) is None for offset in range(1, 100))
    assert look(100, "100001") == 0
    for offset in range(101, 10_000):
        look(offset, str(200_000 + offset))
    assert look(10_000, "100001") is None
    assert sum(map(len, order._generations)) <= 125


# --- Moments ----------------------------------------------------------------------------------------------------------


async def test_what_is_final_after_the_statement_was_drawn_is_not_missed_in_it() -> None:
    scenario = Scenario("late", [good_row(SOURCE, TOPIC, 0, 0), good_row(SOURCE, TOPIC, 0, 1)], [])
    drawn = replace(TERMS, statement_until=at(10))
    assert await audited(scenario, 0, drawn) == ([(Kind.CHARGE_MISSING, 0)], [])
    assert await audited(scenario, 0, replace(TERMS, has_statement=False, statement_until=None)) == ([], [])


async def test_a_repetition_under_a_key_is_in_order_only_while_the_key_lives() -> None:
    doubt = attempt(1, 1, Outcome.UNKNOWN)
    for opened_s, expected in ((3000, []), (3600, [(Kind.SENT_IN_DOUBT, 0)])):
        row = good_row(SOURCE, TOPIC, 0, 0, attempts=(doubt, attempt(2, opened_s)), final_at=at(opened_s + 2))
        scenario = Scenario(
            "key", [row], [(0, row.provider_reference or "", "charged", "10.50")], committed=1, records=(0,), end=1
        )
        assert await audited(scenario, 0, KEY_TERMS) == (expected, [])


def test_a_decision_to_accept_a_gap_is_honoured() -> None:
    facts = PartitionFacts(0, 10, 6, 10, accepted=[range(3), range(4, 5)])
    audit = PartitionAudit(TERMS, facts)
    (three, five) = (finding for finding in audit.end() if isinstance(finding, Violation))
    assert (three.workflow_id, five.workflow_id) == (TERMS.workflow_id(0, 3), TERMS.workflow_id(0, 5))
    assert audit.counts["gaps_in_log"] == 4
    accepted = PartitionAudit(TERMS, replace(facts, accepted=[range(10)]))
    assert [*accepted.look(Case(7, record=LoggedRecord(7, TRUE_FINGERPRINT, 0))), *accepted.end()] == []


def test_what_kafka_deletes_while_the_audit_reads_is_no_proof_of_a_gap() -> None:
    facts = PartitionFacts(0, 10, 0, 10, deleted=[range(2, 5)])
    audit = PartitionAudit(TERMS, facts)
    found = [finding for finding in audit.end() if isinstance(finding, Violation)]
    assert audit.counts["gaps_in_log"] == 7
    assert [(finding.kind, finding.workflow_id) for finding in found] == [
        (Kind.GONE_WITHOUT_ROW, TERMS.workflow_id(0, 2))
    ]
    assert "offsets 2 to 4" in found[0].problem


def test_the_gaps_of_a_compacted_topic_prove_nothing() -> None:
    facts = PartitionFacts(0, 3, 0, 10, gaps_are_proof=False)
    (found,) = PartitionAudit(TERMS, facts).end()
    assert isinstance(found, Violation)
    assert "offsets 0 to 2" in found.problem


def test_a_group_that_began_at_the_end_owes_nothing_before() -> None:
    audit = PartitionAudit(TERMS, PartitionFacts(0, 5, 2, 5, begin=5))
    assert [*audit.look(Case(3, record=LoggedRecord(3, TRUE_FINGERPRINT, 0))), *audit.end()] == []
    assert audit.counts["before_the_beginning"] == 1


async def test_only_records_of_the_period_are_judged_and_all_are_seen_for_the_order() -> None:
    early = 1_793_534_400_000
    rows = [
        good_row(SOURCE, TOPIC, 0, 0, timestamp_ms=early, final_at=at(12)),
        good_row(SOURCE, TOPIC, 0, 1, timestamp_ms=early + 60_000),
    ]
    since = datetime.fromtimestamp(early / 1000, UTC) + timedelta(seconds=60)
    audit = PartitionAudit(replace(TERMS, period=Period(since)), PartitionFacts(0, 2, 2, 2))
    found = [finding for row in rows for finding in audit.look(Case(row.offset, row=row))]
    assert OrderSuspect(0, 0, 1) in found
    assert [finding.kind for finding in found if isinstance(finding, Violation)] == [Kind.CHARGE_MISSING]
    assert audit.counts["outside_of_period"] == 1


async def test_books_that_are_not_in_order_are_refused() -> None:
    records: Sequence[LoggedRecord] = [LoggedRecord(offset, TRUE_FINGERPRINT, 0) for offset in (1, 1)]
    with pytest.raises(OrderProblem, match="topic: offset 1 came after offset 1"):
        [case async for case in side_by_side(flowing(records), flowing(()), iter(()), iter(()), iter(()))]


# --- Second looks -----------------------------------------------------------------------------------------------------


class World:
    """A ledger and a Temporal that have moved on since the first look, and tell in which order they were asked."""

    def __init__(self, rows: Sequence[AuditedRow], status: str) -> None:
        self.asked: list[str] = []
        self._rows = rows
        self._status = status

    async def rows_at(self, source: str, topic: str, partition: int, offsets: Collection[int]) -> list[AuditedRow]:
        assert (source, topic, partition) == (SOURCE, TOPIC, 0)
        self.asked.append("ledger")
        return [row for row in self._rows if row.offset in offsets]

    async def newest(self, partition: int, offset: int) -> Workflow:
        assert partition == 0
        self.asked.append("Temporal")
        return Workflow(offset, self._status, self._status == "running")


async def second_look(world: World, *suspects: OrderSuspect | WorkflowSuspect) -> list[Kind | NoteKind]:
    recheck = Recheck(cast("AuditReader", world), cast("TemporalBook", world), TERMS)
    for suspect in suspects:
        recheck.add(suspect)
    found = await recheck.settle()
    assert recheck.count == len(suspects)
    assert await recheck.settle() == []
    return [finding.kind for finding in found]


async def test_what_was_only_a_moments_contradiction_is_not_told() -> None:
    rows = [good_row(SOURCE, TOPIC, 0, offset) for offset in (0, 1)]
    world = World(rows, "completed")
    assert await second_look(world, WorkflowSuspect(0, 0, is_committed=False), OrderSuspect(0, 0, 1)) == []
    assert world.asked == ["Temporal", "ledger"], "a row becomes final before its workflow completes"


async def test_what_is_still_so_at_the_second_look_is_told() -> None:
    rows = [good_row(SOURCE, TOPIC, 0, 0, state=State.HELD, final_at=None), good_row(SOURCE, TOPIC, 0, 1)]
    found = await second_look(
        World(rows, "completed"), WorkflowSuspect(0, 0, is_committed=False), OrderSuspect(0, 0, 1)
    )
    assert found == [Kind.COMPLETED_BUT_OPEN, Kind.OUT_OF_ORDER]
    assert await second_look(World(rows, "failed"), WorkflowSuspect(0, 0, is_committed=False)) == [NoteKind.LANE_HELD]
    assert await second_look(World(rows, NEVER_STARTED), WorkflowSuspect(0, 0, is_committed=False)) == [
        NoteKind.NOT_UNDER_WAY
    ]
