"""A real MySQL server: TLS required, durable as in production, one database with three users for each ledger."""

import asyncio
import re
import shutil
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import aiomysql
import pymysql

from devstack.certificates import Certificates
from devstack.errors import DevstackError
from devstack.grants import mysql_statements
from devstack.install import REDO_LOG_OPTION, MySQLInstallation, mysql_options_as_root
from devstack.processes import ManagedProcess, wait_until
from devstack.secrets_file import ensure_secret
from devstack.server import ManagedServer, accepts_connections, minimal_environment

_READY_TIMEOUT_S: Final = 60.0
_QUERY_TIMEOUT_S: Final = 20.0
_CONNECT_TIMEOUT_S: Final = 5.0
_ADMIN: Final = "devstack"
# MySQL's user names hold 32 characters: a ledger's name and four more.
_NAME: Final = re.compile(r"[a-z0-9_]{1,28}")


@dataclass(frozen=True)
class LedgerUrls:
    """The URLs of one ledger: the service's, which may read, add and change rows, that for migrations, and one that only reads."""

    service_url: str
    migrate_url: str
    reader_url: str


class MySQLServer(ManagedServer):
    """MySQL as a child process; its data stays in the folder."""

    def __init__(self, folder: Path, installation: MySQLInstallation, certificates: Certificates) -> None:
        super().__init__("mysql", folder)
        self.installation = installation
        self.ca_file = certificates.ca_file
        self.port = self._reserve_port()
        self._certificates = certificates
        self._data = folder / "data"
        self._admin_password = ""
        self._free: list[aiomysql.Connection] = []
        """Connections to the process that runs now, each kept for the next statement: to log in costs more than most statements."""

    @property
    def address(self) -> str:
        """Host and port of the server."""
        return f"127.0.0.1:{self.port}"

    async def create_ledger(self, name: str) -> LedgerUrls:
        """Make a database with its users, and return their URLs. Safe to repeat: rows and passwords stay.

        Args:
            name: lower-case letters, digits and underscores, 28 at most.

        Raises:
            DevstackError: for another name.
        """
        if not _NAME.fullmatch(name):
            raise DevstackError(f"{name!r} cannot name a ledger: use a-z, 0-9 and _, 28 at most.")
        users = {ending: f"{name}_{ending}" for ending in ("svc", "ddl", "ro")}
        passwords = {ending: self._password(user) for ending, user in users.items()}
        for statement in mysql_statements(name, passwords):
            await self.execute(statement)
        return LedgerUrls(*(self._url(user, name) for user in users.values()))

    async def execute(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement with all rights and return its rows. For tests and the demo, never for the service."""
        async with asyncio.timeout(_QUERY_TIMEOUT_S):
            connection = self._free.pop() if self._free else await self._connect()
            try:
                async with connection.cursor() as cursor:
                    await cursor.execute(statement, parameters or None)
                    rows = list(await cursor.fetchall())
            except BaseException:
                connection.close()
                raise
            self._free.append(connection)
            return rows

    async def stop(self) -> None:
        """End the server gracefully."""
        self._close_free()
        await super().stop()

    def _password(self, user: str) -> str:
        return ensure_secret(self.folder / "passwords", user)

    def _url(self, user: str, database: str) -> str:
        ca_file = quote(str(self.ca_file))
        return f"mysql://{user}:{self._password(user)}@{self.address}/{database}?ssl_ca={ca_file}"

    def _close_free(self) -> None:
        while self._free:
            self._free.pop().close()

    async def _prepare(self) -> None:
        self._close_free()  # They were connected to a process that has ended.
        self._admin_password = self._password(_ADMIN)
        if not self._data.exists():
            copying = self.folder / "data.new"
            shutil.rmtree(copying, ignore_errors=True)
            await asyncio.to_thread(shutil.copytree, self.installation.empty_data, copying)
            copying.rename(self._data)

    def _launch(self) -> ManagedProcess:
        start_script = self.folder / "start.sql"
        start_script.touch(mode=0o600)
        start_script.write_text(
            f"CREATE USER IF NOT EXISTS '{_ADMIN}'@'127.0.0.1' IDENTIFIED BY '{self._admin_password}' REQUIRE SSL;\n"
            f"GRANT ALL ON *.* TO '{_ADMIN}'@'127.0.0.1' WITH GRANT OPTION;\n"
            # The data folder was made without a password for root; this is carried out before the first connection.
            f"ALTER USER 'root'@'localhost' IDENTIFIED BY '{self._admin_password}';\n"
        )
        argv = [
            *self.installation.argv,
            *mysql_options_as_root(),
            f"--datadir={self._data}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            # Relative to the data folder: a socket's path may have 107 characters at most.
            "--socket=mysql.sock",
            "--pid-file=mysql.pid",
            "--mysqlx=OFF",
            "--secure-file-priv=",
            f"--init-file={start_script}",
            "--require-secure-transport=ON",
            f"--ssl-ca={self._certificates.ca_file}",
            f"--ssl-cert={self._certificates.cert_file}",
            f"--ssl-key={self._certificates.key_file}",
            # A commit that was acknowledged must survive a crash, as it must in production.
            "--log-bin=binlog",
            "--sync-binlog=1",
            "--innodb-flush-log-at-trx-commit=1",
            REDO_LOG_OPTION,
            "--innodb-buffer-pool-size=256M",
            "--max-connections=400",
        ]
        return ManagedProcess.start(self.name, argv, minimal_environment(), self.log_file, self.folder)

    async def _wait_until_ready(self, process: ManagedProcess) -> None:
        await wait_until(lambda: accepts_connections(self.port), _READY_TIMEOUT_S, "MySQL listens", process=process)
        await wait_until(self._answers, _READY_TIMEOUT_S, "MySQL answers", process=process)

    async def _answers(self) -> bool:
        try:
            return bool(await self.execute("SELECT 1"))
        except (pymysql.err.OperationalError, TimeoutError):
            return False

    async def _connect(self) -> aiomysql.Connection:
        return await aiomysql.connect(
            host="127.0.0.1",
            port=self.port,
            user=_ADMIN,
            password=self._admin_password,
            autocommit=True,
            # Otherwise 'IF NOT EXISTS' becomes a warning of Python's whenever it did what it says.
            init_command="SET sql_notes = 0",
            connect_timeout=_CONNECT_TIMEOUT_S,
            ssl=ssl.create_default_context(cafile=str(self.ca_file)),
        )
