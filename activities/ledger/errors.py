"""What can go wrong with the ledger, as a tree.

LedgerError
├── LedgerUnavailable      no answer, a lost connection, a time-out: wait and try again
├── LedgerUnfit            the server or the schema cannot be trusted with this: a person has to mend it
│   └── LedgerNotMigrated  … by `recharge migrate`
├── FingerprintMismatch    the position was used before, by another record: the partition stops
└── LedgerContradiction    the rows say what cannot be: never repaired, always told
"""

from recharge.problem import Problem


class LedgerError(Problem):
    """Anything that the ledger could not do. Its text is one line that says what, where and what to do."""


class LedgerUnavailable(LedgerError):
    """The ledger gave no answer in time. Nothing is known to have been written; every operation may be repeated."""


class LedgerUnfit(LedgerError):
    """The server's settings or its schema do not keep the promises."""


class LedgerNotMigrated(LedgerUnfit):
    """The schema is not the one this release works with."""


class FingerprintMismatch(LedgerError):
    """The ledger holds another record at this position, so the topic was re-created or truncated."""


class LedgerContradiction(LedgerError):
    """A transition that the table of states does not know, or rows that contradict each other."""
