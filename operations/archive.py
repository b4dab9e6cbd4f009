"""What is taken out of the ledger, kept in a file: a line of JSON a record, with its bytes as they came."""

import base64
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from activities.ledger import Whole
from operations.telling import Discretion
from operations.whole import whole_json


class _Exact(Discretion):
    """Everything, and bytes exactly, where `show` writes what a person can read."""

    def raw(self, value: bytes | None) -> str | None:
        """Bytes of the record in base64."""
        return None if value is None else base64.b64encode(value).decode("ascii")


_EVERYTHING = _Exact(mask=str, reveal=True)


class ArchiveProblem(Exception):
    """The archive cannot be made or written. Its text is one line. No OSError, which the ledger would take for MySQL's."""


class Archive:
    """A new file that only its owner may read, since it has customers' numbers in clear. A context manager, which closes it.

    Where a run is interrupted, its last line may be torn, or its last records may stand in the next run's file as well: none is missing.

    Raises:
        ArchiveProblem: the file cannot be made or written. One that is there already is not touched.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records = 0
        """How many lines it has."""
        with self._refusing():
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            self._keep_name()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def keep(self, records: Sequence[Whole]) -> None:
        """Write records, and return when the disk has them. Raises ArchiveProblem."""
        rest = "".join(f"{_line(each)}\n" for each in records).encode("ascii")
        with self._refusing():
            while rest:
                rest = rest[os.write(self._file, rest) :]
            os.fsync(self._file)
        self.records += len(records)

    def _keep_name(self) -> None:
        """A file outlives a power failure only where its folder's entry does."""
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except FileExistsError as error:
            raise ArchiveProblem(f"{self.path} is there already, and an archive is a new file; name another") from error
        except OSError as error:
            raise ArchiveProblem(
                f"the archive {self.path} cannot be written: {error.strerror}; what is not in it was not blanked"
            ) from error


def _line(whole: Whole) -> str:
    return json.dumps(whole_json(whole, _EVERYTHING) | {"status": whole.record["status"]}, ensure_ascii=True)
