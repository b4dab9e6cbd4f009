"""What must stand in nothing that the product writes: the local stacks' secrets, and the phone numbers of the records that were sent."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from devstack.errors import DevstackError

_NUMBER_FIELD = re.compile(rb'"phoneNumber(?:Donor|Receiver)"\s*:\s*"?\+?([0-9]{9,15})')
"""Shorter numbers may stand anywhere by chance."""
_DIGITS = re.compile(r"(?<![0-9])[0-9]{9,15}(?![0-9])")
_HEXADECIMAL = re.compile(r"[0-9a-f]{48,}")
_SECRET_CHARS = 48
"""A stack's secrets are hexadecimal, and as long as this."""


class Leak(NamedTuple):
    """Where something stands that must not."""

    where: str
    what: str
    line: str


@dataclass
class Watched:
    """What is looked for, and what commands printed. Logs of processes are read from their files."""

    numbers: set[str] = field(default_factory=set)
    secrets: set[str] = field(default_factory=set)
    printed: list[tuple[str, str]] = field(default_factory=list)

    def add_values(self, values: Iterable[bytes | None]) -> None:
        """Look for the phone numbers of these records."""
        for value in values:
            self.numbers.update(number.decode() for number in _NUMBER_FIELD.findall(value or b""))

    def add_secrets_below(self, folder: Path) -> None:
        """Look for the secrets of every stack below a folder.

        Raises:
            DevstackError: a file of secrets holds something else.
        """
        for file in folder.rglob("passwords/[!.]*"):
            secret = file.read_text()
            if len(secret) != _SECRET_CHARS:
                raise DevstackError(f"{file} holds no secret of {_SECRET_CHARS} characters.")
            self.secrets.add(secret)

    def leaks(self, logs: Iterable[Path]) -> Iterator[Leak]:
        """Everything that stands in these files or was printed, and must not."""
        for file in logs:
            yield from self._in(str(file), file.read_text(errors="replace"))
        for command, text in self.printed:
            yield from self._in(command, text)

    def _in(self, where: str, text: str) -> Iterator[Leak]:
        if self.numbers.isdisjoint(_DIGITS.findall(text)) and not _HEXADECIMAL.search(text):
            return
        for line in text.splitlines():
            if not self.numbers.isdisjoint(_DIGITS.findall(line)):
                yield Leak(where, "a phone number", line)
            if any(self._holds_secret(run) for run in _HEXADECIMAL.findall(line)):
                yield Leak(where, "a secret", line)

    def _holds_secret(self, run: str) -> bool:
        windows = (run[start : start + _SECRET_CHARS] for start in range(len(run) - _SECRET_CHARS + 1))
        return not self.secrets.isdisjoint(windows)


def logs_below(folder: Path) -> Iterator[Path]:
    """The logs of the product's own processes, in the sites of every stack below a folder."""
    return folder.rglob("sites/*/*.log")
