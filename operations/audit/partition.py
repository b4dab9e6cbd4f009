"""One partition of the audit: every position in its order, what is wrong at each, and what has to be asked again. Pure."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from activities.ledger import AuditedRow
from operations.audit import workflows
from operations.audit.attempts import Problem, check_attempts, late_answers
from operations.audit.charges import check_charges
from operations.audit.claims import check_claim
from operations.audit.copies import may_have_been_carried_out
from operations.audit.coverage import gone_gaps, in_log_gaps, is_accepted
from operations.audit.facts import Case, PartitionFacts, Terms
from operations.audit.findings import Kind, Note, NoteKind, Violation
from operations.audit.letters import check_letters
from operations.audit.order import LaneOrder
from operations.audit.proofs import check_decisions, check_final_state
from recharge.outcome import FINAL_STATES
from recharge.text import counted


@dataclass(frozen=True, slots=True)
class OrderSuspect:
    """A record that was started although one before it in its lane was not final, as far as the rows told when they were read."""

    partition: int
    earlier: int
    later: int


@dataclass(frozen=True, slots=True)
class WorkflowSuspect:
    """A record whose row and workflow seemed to disagree; they were not read at the same moment."""

    partition: int
    offset: int
    is_committed: bool


@dataclass(frozen=True, slots=True)
class ChargeSuspect:
    """A charge of a record that is older than the period: only where the ledger has no row of it is it looked at."""

    partition: int
    offset: int
    without_row: tuple[Violation, ...]
    """What is wrong where there is none."""


@dataclass(frozen=True, slots=True)
class SentCopy:
    """A copy of another record that may have been carried out. Once all of the partition is read, it is compared with the others."""

    partition: int
    offset: int
    first: str
    """The workflow id of the record that it repeats."""


Finding = Violation | Note | OrderSuspect | WorkflowSuspect | ChargeSuspect | SentCopy


class PartitionAudit:
    """Judges the positions of one partition, told in their order. What it has counted stands in `counts`."""

    def __init__(self, terms: Terms, partition: PartitionFacts) -> None:
        self._terms = terms
        self._partition = partition
        self._order = LaneOrder()
        self._next = partition.reach
        """The first offset that has not been accounted for."""
        self.counts: Counter[str] = Counter()

    def begin(self) -> Iterator[Finding]:
        """What is wrong with the partition as a whole."""
        committed, end = self._partition.committed, self._partition.end
        if committed is not None and committed > end:
            yield self._violation(
                Kind.COMMITTED_BEYOND_END,
                committed,
                f"the group has committed offset {committed}, and the topic ends at {end}",
            )

    def look(self, case: Case) -> Iterator[Finding]:
        """What is wrong at one position, and between it and the one before."""
        if case.offset < self._partition.reach:
            yield from self._before_the_period(case)
            return
        if case.record is not None or case.row is not None:
            yield from self._missing(range(self._next, case.offset))
            self._next = case.offset + 1
        earlier = None if case.row is None else self._order.look(case.row)
        if not self._is_looked_at(case):
            self.counts["outside_of_period"] += 1
            return
        yield from self._coverage(case)
        for kind, problem in self._problems(case):
            yield self._violation(kind, case.offset, problem)
        if earlier is not None:
            yield OrderSuspect(self._partition.number, earlier, case.offset)
        if case.row is not None and case.row.redrive_of is not None and may_have_been_carried_out(case.row):
            yield SentCopy(self._partition.number, case.offset, case.row.redrive_of)
        yield from self._notes(case)
        state = None if case.row is None else case.row.state
        is_committed = self._partition.is_committed(case.offset)
        if workflows.is_suspicious(state, case.workflow, is_committed=is_committed):
            yield WorkflowSuspect(self._partition.number, case.offset, is_committed)

    def _before_the_period(self, case: Case) -> Iterator[Finding]:
        """Only the order is looked at, since a record of the period may have been started too early after this one."""
        if case.row is not None:
            self._order.look(case.row)
        elif case.charges is not None and case.charges.charged:
            problems = check_charges(None, case.charges, self._terms)
            yield ChargeSuspect(
                self._partition.number,
                case.offset,
                tuple(self._violation(kind, case.offset, problem) for kind, problem in problems),
            )

    def end(self) -> Iterator[Finding]:
        """What is missing behind the last position that was told."""
        yield from self._missing(range(self._next, max(self._next, self._partition.end)))

    def _is_looked_at(self, case: Case) -> bool:
        """By the record's own time. Where neither topic nor ledger tell it, a charge or a record belongs to every period."""
        if case.record is not None and case.record.timestamp_ms is not None:
            return self._terms.period.holds(case.record.timestamp_ms)
        return case.row is None or self._terms.period.holds(case.row.timestamp_ms)

    def _missing(self, missing: range) -> Iterator[Finding]:
        if not missing:
            return
        self.counts["gaps_in_log"] += in_log_gaps(missing, self._partition)
        for gone in gone_gaps(missing, self._partition):
            self.counts["gone_offsets"] += len(gone)
            what = f"offset {gone.start} is" if len(gone) == 1 else f"offsets {gone.start} to {gone.stop - 1} are"
            yield self._violation(
                Kind.GONE_WITHOUT_ROW,
                gone.start,
                f"{what} not in the topic any more and have no row; they may have been markers of transactions, "
                "which nothing shows any more, or records",
            )

    def _coverage(self, case: Case) -> Iterator[Finding]:
        partition = self._partition
        record, row, offset = case.record, case.row, case.offset
        if row is not None:
            self.counts["rows"] += 1
            self.counts[row.state] += 1
        if record is not None:
            self.counts["records"] += 1
        if record is not None and row is None:
            yield from self._without_row(offset)
        elif row is not None and record is None:
            yield from self._without_record(row)
        elif (
            row is not None
            and record is not None
            and record.unreadable is None
            and row.fingerprint != record.fingerprint
        ):
            yield self._violation(
                Kind.OTHER_RECORD,
                offset,
                "the topic holds another record at this position than the one that was carried out",
            )
        if row is not None and row.state not in FINAL_STATES and partition.is_committed(offset):
            yield self._violation(
                Kind.COMMITTED_BUT_OPEN,
                offset,
                f"it is {row.state}, and the group has committed offset {partition.committed}",
            )

    def _without_row(self, offset: int) -> Iterator[Finding]:
        if not self._partition.is_committed(offset):
            self.counts["waiting"] += 1
        elif offset < self._partition.begin:
            self.counts["before_the_beginning"] += 1
        elif is_accepted(offset, self._partition):
            self.counts["accepted"] += 1
        else:
            problem = f"it stands in the topic below the committed offset {self._partition.committed}, and has no row"
            yield self._violation(Kind.COMMITTED_WITHOUT_ROW, offset, problem)

    def _without_record(self, row: AuditedRow) -> Iterator[Finding]:
        partition, offset = self._partition, row.offset
        deleted_meanwhile = any(offset in gone for gone in partition.deleted)
        if offset < partition.first or deleted_meanwhile or not partition.gaps_are_proof:
            self.counts["deleted_with_row"] += 1
        elif offset < partition.end:
            yield self._violation(
                Kind.ROW_WITHOUT_RECORD, offset, "the topic's log holds no record at this position, and never will"
            )
        elif row.created_at < self._terms.began_at:
            problem = f"the topic ends at offset {partition.end}, and this record had its row before the audit began"
            yield self._violation(Kind.ROW_WITHOUT_RECORD, offset, problem)
        else:
            self.counts["new"] += 1

    def _problems(self, case: Case) -> Iterator[Problem]:
        row = case.row
        if row is not None:
            if row.workflow_id != self._terms.workflow_id(row.partition, row.offset):
                yield Kind.WRONG_WORKFLOW_ID, f"its row bears the workflow id {row.workflow_id}"
            yield from check_attempts(row, self._terms.keys)
            yield from check_final_state(row)
            yield from check_decisions(row)
            yield from check_claim(row, duplicates_are_allowed=self._terms.duplicates_are_allowed)
            self.counts["attempts"] += len(row.attempts)
        if case.charges is not None:
            self.counts["charges"] += case.charges.charged
        if case.letters is not None:
            self.counts["dead_letters"] += case.letters.count
        yield from check_charges(row, case.charges, self._terms)
        yield from workflows.check_listed(row, case.workflow)
        is_owed = self._partition.letters_are_whole and self._partition.is_committed(case.offset)
        yield from check_letters(row, case.letters, is_owed=is_owed)

    def _notes(self, case: Case) -> Iterator[Note]:
        workflow_id = self._terms.workflow_id(self._partition.number, case.offset)
        if case.record is not None and case.record.unreadable is not None:
            self.counts["unreadable"] += 1
            why = f"what the topic holds there cannot be taken apart, and was compared with nothing ({case.record.unreadable})"
            yield Note(NoteKind.UNREADABLE_RECORD, workflow_id, why)
        if case.charges is not None and case.charges.reversed:
            self.counts["reversed_charges"] += case.charges.reversed
            state = "no row" if case.row is None else case.row.state
            told = f"the provider has reversed {counted(case.charges.reversed, 'charge')} of it; the ledger has {state}"
            yield Note(NoteKind.REVERSED_CHARGE, workflow_id, told)
        for text in () if case.row is None else late_answers(case.row):
            self.counts["late_answers"] += 1
            yield Note(NoteKind.LATE_ANSWER, workflow_id, text)

    def _violation(self, kind: Kind, offset: int, problem: str) -> Violation:
        return Violation(kind, self._terms.workflow_id(self._partition.number, offset), problem)
