"""Several statements in one message to MySQL, and what each of them answered."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select
from sqlalchemy.dialects import mysql
from sqlalchemy.sql.dml import UpdateBase

_DIALECT = mysql.dialect(paramstyle="pyformat")


class Unusual(Exception):
    """A record is not on its usual way, or MySQL refused a statement: nothing is committed, and the long way decides."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What one statement answered: how many rows it changed, or those that it found, by the names of their columns."""

    rowcount: int
    rows: Sequence[Mapping[str, Any]]


class Batch:
    """Statements that are sent together and run one after another, the first that fails being the last. Built once: that costs most.

    `written` names the columns that an INSERT or an UPDATE is given values for. One value may serve several statements.
    """

    def __init__(self, *statements: Select[Any] | UpdateBase, written: Iterable[Sequence[str]]) -> None:
        texts: list[str] = []
        self._constants: dict[str, Any] = {}
        self._columns = [
            tuple(column.name for column in statement.selected_columns) if isinstance(statement, Select) else ()
            for statement in statements
        ]
        columns = iter(written)
        for statement in statements:
            compiled = statement.compile(
                dialect=_DIALECT,
                column_keys=None if isinstance(statement, Select) else list(next(columns)),
            )
            texts.append(str(compiled))
            for parameter, name in compiled.bind_names.items():
                value = parameter.effective_value
                if not parameter.required and self._constants.setdefault(name, value) != value:
                    raise ValueError(f"two statements of one batch give {name} different values")
        self._text = ";\n".join(texts)

    def run(self, connection: Connection, values: Mapping[str, Any]) -> list[Answered]:
        """Run all of it inside the connection's transaction, which is the caller's to end.

        Raises Unusual where MySQL refused a statement. A connection that broke, or was left in the middle, is not used again.
        """
        cursor = connection.connection.cursor()
        answers = []
        try:
            cursor.execute(self._text, self._constants | dict(values))
            for number, columns in enumerate(self._columns):
                if number > 0:
                    cursor.nextset()
                rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()] if columns else []
                answers.append(Answered(cursor.rowcount, rows))
            cursor.close()
        except connection.dialect.loaded_dbapi.Error as error:
            if connection.dialect.is_disconnect(error, connection.connection, cursor):
                connection.invalidate(error)
            raise Unusual(str(error)) from error
        except BaseException:
            connection.invalidate()
            raise
        return answers
