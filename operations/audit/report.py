"""What an audit found, and how it is written as JSON."""

from collections import Counter
from dataclasses import dataclass, field

from operations.audit.facts import Period
from operations.audit.findings import Note, Promise, Violation
from operations.telling import Json
from recharge import limits

COUNTS = (
    *("partitions", "records", "rows", "attempts", "waiting", "deleted_with_row", "gaps_in_log", "gone_offsets"),
    *("accepted", "before_the_beginning", "new", "outside_of_period", "late_answers", "read_again"),
)
"""What is counted in every audit, zeros included. The states of the records are counted besides."""

STATEMENT_COUNTS = ("charges", "reversed_charges", "foreign_charges")


@dataclass
class Report:
    """The result of one audit."""

    source: str
    topic: str
    period: Period
    statement: str | None
    """The name of the statement; None where there was none, so that no charge was compared."""
    violations: list[Violation] = field(default_factory=list)
    """The first AUDIT_FINDINGS_MAX of them."""
    notes: list[Note] = field(default_factory=list)
    broken: Counter[Promise] = field(default_factory=Counter)
    """How many violations there are of each promise, those included that are not kept."""
    note_count: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    took_s: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether every promise was kept, as far as the audit looked."""
        return not self.broken

    @property
    def left_out(self) -> int:
        """Violations that are counted and not kept."""
        return self.broken.total() - len(self.violations)

    def add(self, finding: Violation | Note) -> None:
        """Take in what was found for certain."""
        if isinstance(finding, Note):
            self.note_count += 1
            if len(self.notes) < limits.AUDIT_FINDINGS_MAX:
                self.notes.append(finding)
            return
        self.broken[finding.promise] += 1
        if len(self.violations) < limits.AUDIT_FINDINGS_MAX:
            self.violations.append(finding)


def as_json(report: Report) -> dict[str, Json]:
    """The report as one JSON object. Fields may be added to it, and none is taken away."""
    since, until = report.period.since, report.period.until
    names = COUNTS if report.statement is None else COUNTS + STATEMENT_COUNTS
    return {
        "ok": report.ok,
        "violations": [
            {
                "promise": each.promise.value,
                "kind": each.kind.value,
                "workflow_id": each.workflow_id,
                "problem": each.problem,
                "advice": each.advice,
            }
            for each in report.violations
        ],
        "violations_left_out": report.left_out,
        "broken": {promise.value: report.broken[promise] for promise in Promise},
        "notes": [
            {"kind": each.kind.value, "workflow_id": each.workflow_id, "text": each.text} for each in report.notes
        ],
        "notes_left_out": report.note_count - len(report.notes),
        "counts": {name: report.counts[name] for name in names} | dict(sorted(report.counts.items())),
        "source": report.source,
        "topic": report.topic,
        "from": None if since is None else since.isoformat(),
        "to": None if until is None else until.isoformat(),
        "statement": report.statement,
        "took_s": round(report.took_s, 3),
    }
