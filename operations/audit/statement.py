"""The provider's statement: CSV, one row a charge carried out. Read strictly, since money is counted by it.

A line that cannot be read is refused with its number, and nothing is counted then.
"""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

from operations.audit.spool import ChargeLine
from recharge import limits
from recharge.problem import Problem

HEADER = ("reference", "provider_reference", "status", "amount", "charged_at")
CHARGED = "charged"
REVERSED = "reversed"

_POSITION = re.compile(r"(?P<partition>0|[1-9][0-9]{0,9}):(?P<offset>0|[1-9][0-9]{0,18})")
_AMOUNT = re.compile(r"(?P<integer>[0-9]+)(?:\.(?P<fraction>[0-9]+))?")
_OFFSET_MAX = 2**63 - 1
_UTF8_BOM = "\ufeff"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


class StatementProblem(Problem):
    """The statement cannot be used. Its text is one line that names the file and the line."""


@dataclass(frozen=True, slots=True)
class Statement:
    """Where the statement is read from."""

    name: str
    """How people know it: the file's name, the URL, or `standard input`."""
    file: BinaryIO
    until: datetime
    """It holds every charge that was carried out before this moment; MySQL's time, in UTC."""


class StatementReader:
    """Reads one statement. Charges of other sources and topics are read as strictly, and left out."""

    def __init__(self, statement: Statement, source: str, topic: str, on_stray: Callable[[str, int], None]) -> None:
        """Read for one source and topic.

        Args:
            statement: the statement.
            source: the source whose charges count.
            topic: the topic whose charges count.
            on_stray: told of a charge whose reference begins like ours and names no position, with its line.
        """
        self._statement = statement
        self._prefix = f"{source}:{topic}:"
        self._on_stray = on_stray
        self.foreign = 0
        """Charges of other sources and topics."""
        self._line = 0

    def charges(self) -> Iterator[ChargeLine]:
        """The charges of our source and topic, as they come.

        Raises:
            StatementProblem: a line cannot be read.
        """
        reader = csv.reader(self._lines(), strict=True)
        try:
            header = next(reader, None)
            if header is None:
                raise self.problem("it is empty; its first line must be " + ",".join(HEADER))
            if tuple(header) != HEADER:
                raise self.problem("its columns must be exactly " + ",".join(HEADER))
            for fields in reader:
                charge = self._charge(fields)
                if charge is not None:
                    yield charge
        except csv.Error as error:
            raise self.problem(f"it is not CSV: {error}") from error

    def problem(self, what: str, line: int | None = None) -> StatementProblem:
        """What is wrong at a line; at the one that was read last where none is named."""
        at = max(1, self._line) if line is None else line
        return StatementProblem(f"the statement {self._statement.name}, line {at}: {what}")

    def _lines(self) -> Iterator[str]:
        while raw := self._statement.file.readline(limits.STATEMENT_LINE_BYTES_MAX + 1):
            self._line += 1
            if len(raw) > limits.STATEMENT_LINE_BYTES_MAX:
                raise self.problem(
                    f"it is longer than {limits.STATEMENT_LINE_BYTES_MAX} bytes, so this is no statement"
                )
            if (self._line == 1 and raw.startswith(_UTF16_BOMS)) or b"\0" in raw:
                raise self.problem("it looks like UTF-16 or binary data; save the statement as UTF-8")
            try:
                text = raw.decode("utf-8")
            except UnicodeDecodeError as error:
                raise self.problem(f"byte {error.start + 1} is not UTF-8; save the statement as UTF-8") from None
            yield text.removeprefix(_UTF8_BOM) if self._line == 1 else text

    def _charge(self, fields: Sequence[str]) -> ChargeLine | None:
        if len(fields) != len(HEADER):
            raise self.problem(f"it has {len(fields)} fields instead of {len(HEADER)}")
        reference, provider_reference, status, amount, charged_at = fields
        if not reference:
            raise self.problem("the reference is missing")
        if status not in {CHARGED, REVERSED}:
            raise self.problem(f"the status must be {CHARGED} or {REVERSED}")
        exact = self._amount(amount)
        if not reference.startswith(self._prefix):
            self.foreign += 1
            return None
        match = _POSITION.fullmatch(reference.removeprefix(self._prefix))
        if match is None or int(match["offset"]) > _OFFSET_MAX:
            if status == CHARGED:
                self._on_stray(reference, self._line)
            return None
        return ChargeLine(
            int(match["partition"]),
            int(match["offset"]),
            int(status == REVERSED),
            exact,
            f"{provider_reference}\n{charged_at}",
            self._line,
            provider_reference,
        )

    def _amount(self, text: str) -> str:
        """The amount without needless zeros, so that equal ones are equal texts."""
        if not text:
            raise self.problem("the amount is missing")
        match = _AMOUNT.fullmatch(text)
        if match is None:
            raise self.problem("the amount is not a plain decimal number, such as 10.50")
        fraction = (match["fraction"] or "").rstrip("0")
        integer = match["integer"].lstrip("0") or "0"
        if len(integer) > limits.STATEMENT_AMOUNT_DIGITS_MAX:
            raise self.problem(
                f"the amount has more than {limits.STATEMENT_AMOUNT_DIGITS_MAX} digits before the point, so it is none"
            )
        return f"{integer}.{fraction}" if fraction else integer
