"""The ledger in MySQL: what was intended, what came of it, and what is final. It alone decides when a call may leave."""

from activities.ledger.audited import AuditedAction, AuditedAttempt, AuditedLookup, AuditedRow
from activities.ledger.auditing import AuditReader
from activities.ledger.decisions import Decisions, Ruling, Wish, instead_of
from activities.ledger.errors import (
    FingerprintMismatch,
    LedgerContradiction,
    LedgerError,
    LedgerNotMigrated,
    LedgerUnavailable,
    LedgerUnfit,
)
from activities.ledger.gaps import AcceptedGap, Gap, Gaps, OpenInGap
from activities.ledger.ledger import Ledger, LookupFacts
from activities.ledger.reports import OperatorLedger, Reports, Standing, Story, Waiting
from activities.ledger.trouble import Trouble
from activities.ledger.usual import Opened
from activities.ledger.whole import Whole

__all__ = [
    "AcceptedGap",
    "AuditReader",
    "AuditedAction",
    "AuditedAttempt",
    "AuditedLookup",
    "AuditedRow",
    "Decisions",
    "FingerprintMismatch",
    "Gap",
    "Gaps",
    "Ledger",
    "LedgerContradiction",
    "LedgerError",
    "LedgerNotMigrated",
    "LedgerUnavailable",
    "LedgerUnfit",
    "LookupFacts",
    "OpenInGap",
    "Opened",
    "OperatorLedger",
    "Reports",
    "Ruling",
    "Standing",
    "Story",
    "Trouble",
    "Waiting",
    "Whole",
    "Wish",
    "instead_of",
]
