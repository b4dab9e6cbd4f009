"""The connection to MySQL: the pool, and one transaction with its deadline and its retries."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, Self, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import structlog
from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    DisconnectionError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.pool import ConnectionPoolEntry

from activities.ledger import fitness
from activities.ledger.batch import Unusual
from activities.ledger.connection import LedgerConnection, Pool
from activities.ledger.driver import connect
from activities.ledger.encryption import connect_encrypted, refuse_plaintext, tls_context, untrusted
from activities.ledger.errors import LedgerContradiction, LedgerError, LedgerNotMigrated, LedgerUnavailable, LedgerUnfit
from recharge import instruments, limits, telemetry, tracing

log = structlog.get_logger(__name__)

T = TypeVar("T")

_CONTENTION_CODES = frozenset({1205, 1213, 3572})
"""Others hold the locks. MySQL answers, so this is no outage."""
_REFUSED_CODES = frozenset({1044, 1045, 1049, 1142, 1143, 1227, 1251, 2026, 3159})
_REFUSED_ROW_CODES = frozenset({3819, 4025})
"""A row that breaks a CHECK of the schema, which the driver knows by no class of its own."""
_REFUSED_STATEMENT = (IntegrityError, DataError, ProgrammingError, NotSupportedError)
_NO_SUCH_TABLE_CODES = frozenset({1146, 1054})
_IDLE_SINCE_S = "idle_since_s"
_SPAN = {"db.system.name": "mysql"}


def _session() -> str:
    """What each new connection is told first."""
    return (
        f"SET SESSION innodb_lock_wait_timeout = {limits.LEDGER_LOCK_WAIT_S}, wait_timeout = {limits.LEDGER_SILENCE_S}, "
        "time_zone = '+00:00', "
        "sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'"
    )


def error_code(error: BaseException) -> int | None:
    """MySQL's error number inside an exception of SQLAlchemy's, or None."""
    original = error.orig if isinstance(error, DBAPIError) else error
    arguments = getattr(original, "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], int) else None


def make_pool(url: str, *, connections_max: int = limits.LEDGER_CONNECTIONS_MAX) -> Pool:
    """Make the pool for `mysql://user:password@host:port/database?ssl_ca=…`. Nothing is connected yet.

    Raises LedgerUnfit where a certificate file cannot be read.
    """
    parts = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    address = URL.create(
        "mysql+aiomysql",
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        host=parts.hostname,
        port=parts.port or 3306,
        database=parts.path.strip("/"),
    )
    arguments: dict[str, Any] = {
        "connect_timeout": limits.LEDGER_CONNECT_TIMEOUT_S,
        "charset": "utf8mb4",
        "init_command": _session(),
        "async_creator_fn": connect,
    }
    tls = tls_context(query)
    if tls is not None:
        arguments |= {"ssl": tls, "async_creator_fn": connect_encrypted}
    engine = create_engine(
        address,
        connect_args=arguments,
        isolation_level="READ COMMITTED",
        # A connection that was lost shows itself at the transaction's first statement: the pool is emptied, and `transact` runs the
        # transaction again. To ask before each one whether it is still there would be a fifth of all round trips.
        pool_pre_ping=False,
        # Every transaction ends in a commit, a roll-back or a closed connection; to roll back once more is a round trip for nothing.
        pool_reset_on_return=None,
        pool_size=connections_max,
        max_overflow=0,
        pool_timeout=limits.LEDGER_TRANSACTION_TIMEOUT_S,
        # Those that are used go on being used, and the others fall silent and end.
        pool_use_lifo=True,
        pool_recycle=1800,
        hide_parameters=True,
    )
    event.listen(engine, "checkin", _note_time)
    event.listen(engine, "checkout", _refuse_silent)
    if tls is not None:
        # Before SQLAlchemy's own questions to a new server, which would go over that connection as well.
        event.listen(engine, "connect", refuse_plaintext, insert=True)
    return Pool(engine)


def _note_time(_connection: object, record: ConnectionPoolEntry) -> None:
    """A connection goes back into the pool."""
    record.info[_IDLE_SINCE_S] = time.monotonic()


def _refuse_silent(_connection: object, record: ConnectionPoolEntry, _proxy: object) -> None:
    """A connection is taken out of the pool. The pool makes a new one in the place of one that is refused here."""
    idle_since_s = record.info.pop(_IDLE_SINCE_S, None)
    if idle_since_s is not None and time.monotonic() - idle_since_s > limits.LEDGER_IDLE_S_MAX:
        raise DisconnectionError("nobody used it for so long that MySQL may have ended it")


class LedgerEngine:
    """One process's pool, and the one way to run a transaction: with a deadline, and again after deadlocks and lost connections."""

    def __init__(self, url: str, *, connections_max: int = limits.LEDGER_CONNECTIONS_MAX) -> None:
        self._pool = make_pool(url, connections_max=connections_max)
        parts = urlsplit(url)
        self._away_since_s: float | None = None
        self.where = f"MySQL at {parts.hostname}:{parts.port or 3306}, database {parts.path.strip('/')}"

    async def close(self) -> None:
        """Close the pool's connections."""
        await self._pool.dispose()

    async def __aenter__(self) -> Self:
        """Begin to use it. Nothing is connected yet."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.close()

    async def transact_usual(self, work: Callable[[Connection], T]) -> T | None:
        """Run `work` once in a transaction of the same kind; None where it did not succeed, whatever the reason, and was rolled back.

        The caller goes the long way then, by `transact`, which meets the same trouble where there is any, and tells of it.
        A COMMIT whose reply was lost may have been carried out: so that way recognises these rows as well.
        """
        try:
            return await self._once(self._pool.transact(work))
        except (Unusual, SQLAlchemyError, OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            log.debug("not the usual way", why=str(error))
            return None

    async def _once(self, transaction: Awaitable[T]) -> T:
        """Await one transaction within its time; measured where it succeeded."""
        began_s = time.monotonic()
        with tracing.span("ledger transaction", tracing.Kind.CLIENT, attributes=_SPAN):
            async with asyncio.timeout(limits.LEDGER_TRANSACTION_TIMEOUT_S):
                answer = await transaction
        telemetry.observe(instruments.LEDGER_TRANSACTION, time.monotonic() - began_s)
        self._answers()
        return answer

    async def _within(self, work: Callable[[LedgerConnection], Awaitable[T]]) -> T:
        async with self._pool.begin() as connection:
            return await work(connection)

    async def transact(self, work: Callable[[LedgerConnection], Awaitable[T]]) -> T:
        """Run `work` in one READ COMMITTED transaction and commit it.

        `work` is run again from its beginning after a deadlock, a lock wait or a lost connection, also where the reply to
        COMMIT was lost: so it must recognise its own rows (by token or by key), as every operation of this package does.

        Raises LedgerUnavailable where it did not succeed within the tries, LedgerUnfit where MySQL refuses us.
        """
        delay_s = limits.LEDGER_RETRY_FIRST_S
        for tried in range(1, limits.LEDGER_TRIES_MAX + 1):
            try:
                return await self._once(self._within(work))
            except LedgerError:
                raise
            except (SQLAlchemyError, OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                problem = self.in_plain_words(error)
                telemetry.count(instruments.LEDGER_ERRORS, _kind_of(error, problem))
                if isinstance(problem, LedgerUnavailable):
                    self._does_not_answer(error, problem, tried)
                if tried == limits.LEDGER_TRIES_MAX or not isinstance(problem, LedgerUnavailable):
                    raise problem from error
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.5))  # noqa: S311  # jitter, not a secret
            delay_s *= 2
        raise AssertionError("the last try either returned or raised")

    def _does_not_answer(self, error: BaseException, problem: LedgerUnavailable, tried: int) -> None:
        """Tell of an outage once, however many transactions meet it, from the second failure on: the first may be an old connection's."""
        if error_code(error) in _CONTENTION_CODES:
            log.warning("ledger transaction is tried again", error=str(problem))
        elif self._away_since_s is None and tried > 1:
            self._away_since_s = time.monotonic()
            log.warning("the ledger does not answer; trying again", error=str(problem))

    def _answers(self) -> None:
        if self._away_since_s is not None:
            log.info("the ledger answers again", after_s=round(time.monotonic() - self._away_since_s, 1))
            self._away_since_s = None

    def in_plain_words(self, error: BaseException) -> LedgerError:
        """The one line that tells an operator what an error of the driver means, as the exception to raise."""
        code = error_code(error)
        what = str(error.orig if isinstance(error, DBAPIError) else error) or type(error).__name__
        if (unfit := self._unfit(error, code, what)) is not None:
            return unfit
        if isinstance(error, TimeoutError):
            return LedgerUnavailable(f"{self.where} gave no answer in time")
        disconnected = isinstance(error, DBAPIError) and error.connection_invalidated
        if not disconnected and (isinstance(error, _REFUSED_STATEMENT) or code in _REFUSED_ROW_CODES):
            return LedgerContradiction(f"{self.where} refused a statement: {what}")
        # What else a server may say, such as that its disk is full, that it has too many connections of this user, or that its group of
        # replicas chooses a new primary, passes or is mended there, and the statement is as good as before.
        return LedgerUnavailable(f"{self.where} did not carry it out: {what}")

    async def ping(self, *, timeout_s: float) -> None:
        """Ask once whether the ledger is there and takes writes, without a further try.

        Raises LedgerUnavailable where no answer came in time, LedgerUnfit where MySQL refuses us or takes no writes.
        """
        try:
            async with asyncio.timeout(timeout_s), self._pool.connect() as connection:
                await fitness.check_durability(connection)
        except LedgerError:
            raise
        except (SQLAlchemyError, OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise self.in_plain_words(error) from error

    def _unfit(self, error: BaseException, code: int | None, what: str) -> LedgerUnfit | None:
        """What a person has to mend, as far as the error tells that."""
        if (distrust := untrusted(error)) is not None:
            return LedgerUnfit(
                f"{self.where} has a certificate that is not trusted: {distrust.verify_message or distrust.reason}; "
                "check the host and ssl_ca in RECHARGE_MYSQL__URL"
            )
        if code in _REFUSED_CODES:
            return LedgerUnfit(
                f"{self.where} refused us: {what}; check user, password, TLS and grants in RECHARGE_MYSQL__URL"
            )
        if code in _NO_SUCH_TABLE_CODES:
            return LedgerNotMigrated(f"{self.where} lacks a table or column ({what}); run: recharge migrate")
        return None

    async def check(self) -> None:
        """Refuse a server that may lose a commit, and a schema that is not ours.

        Raises LedgerUnfit or LedgerNotMigrated with one line that names the variable or the version, and LedgerUnavailable
        where there is no answer.
        """
        await self.transact(fitness.check_durability)
        await self.check_schema()

    async def check_rights(self) -> None:
        """Refuse a user who may not write what a worker writes: else each record would find it out by itself, and wait.

        Raises LedgerUnfit with one line that names the right and the table, and LedgerUnavailable where there is no answer.
        """
        await self.transact(fitness.check_rights)

    async def check_schema(self) -> None:
        """Refuse a schema that is not ours. Enough for those who only read, a replica's users among them.

        Raises LedgerUnfit or LedgerNotMigrated with one line, and LedgerUnavailable where there is no answer.
        """
        await self.transact(fitness.check_schema)


def _kind_of(error: BaseException, problem: LedgerError) -> str:
    """How a failed transaction is counted."""
    if error_code(error) in _CONTENTION_CODES:
        return "contention"
    return "unavailable" if isinstance(problem, LedgerUnavailable) else "refused"
