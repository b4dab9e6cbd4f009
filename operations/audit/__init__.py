"""`recharge audit`: does what topic, offsets, ledger, workflows and the provider's statement say bear out the promises?

The judging is pure (partition, attempts, charges, order, coverage, workflows); the readers around it are thin.
"""

from operations.audit.facts import Period
from operations.audit.findings import Kind, Note, NoteKind, Promise, Violation
from operations.audit.joining import OrderProblem
from operations.audit.report import Report, as_json
from operations.audit.run import Books, Progress, run
from operations.audit.statement import Statement, StatementProblem

__all__ = [
    "Books",
    "Kind",
    "Note",
    "NoteKind",
    "OrderProblem",
    "Period",
    "Progress",
    "Promise",
    "Report",
    "Statement",
    "StatementProblem",
    "Violation",
    "as_json",
    "run",
]
