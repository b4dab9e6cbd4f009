"""Do a record's dead letters agree with its row? Pure."""

import re
from collections.abc import Iterator, Sequence

from activities.ledger import AuditedRow
from operations.audit.attempts import Problem
from operations.audit.facts import Letters, Terms
from operations.audit.findings import Kind
from operations.audit.spool import LetterLine
from recharge.outcome import DEAD_LETTER_STATES

_WORKFLOW_ID, _STATE, _FINGERPRINT = "recharge-workflow-id", "recharge-state", "recharge-fingerprint"
_POSITION = re.compile(r"(?P<partition>[0-9]{1,10}):(?P<offset>[0-9]{1,18})")


def letter_line(headers: Sequence[tuple[str, bytes | None]], terms: Terms) -> LetterLine | None:
    """What a dead letter's headers tell; None where it is not of our source and topic. Of two headers of one name the last is ours."""
    told = {name: (value or b"").decode("utf-8", "replace") for name, value in headers}
    prefix = f"{terms.source}:{terms.topic}:"
    workflow_id = told.get(_WORKFLOW_ID, "")
    match = _POSITION.fullmatch(workflow_id.removeprefix(prefix))
    if not workflow_id.startswith(prefix) or match is None:
        return None
    where = int(match["partition"]), int(match["offset"])
    return LetterLine(*where, told.get(_STATE, ""), told.get(_FINGERPRINT, ""))


def check_letters(row: AuditedRow | None, letters: Letters | None, *, is_owed: bool) -> Iterator[Problem]:
    """Everything that is wrong between one record's row and its dead letters.

    Letters are read before the rows, and a record has its letter only after it is final. `is_owed` tells that a letter that the
    record has to have must be there by now: its offset is committed, and the topic of letters has lost none.
    """
    if letters is None:
        if is_owed and row is not None and row.state in DEAD_LETTER_STATES:
            yield Kind.LETTER_MISSING, f"it is {row.state} and committed, and the dead-letter topic has no letter of it"
    elif row is None or row.state not in DEAD_LETTER_STATES:
        standing = "has no row" if row is None else f"is {row.state}"
        yield Kind.LETTER_WITHOUT_CAUSE, f"the dead-letter topic has a letter of it, and the record {standing}"
    elif letters.states != {row.state}:
        told = " and ".join(sorted(letters.states))
        yield Kind.LETTER_DIFFERS, f"its dead letter says {told or 'no state'}, and the record is {row.state}"
    elif letters.fingerprints != {row.fingerprint}:
        yield Kind.LETTER_DIFFERS, "its dead letter has the fingerprint of another record"
