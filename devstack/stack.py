"""The whole local stack: starts everything at once, ends everything it started."""

import asyncio
import fcntl
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from temporalio.common import SearchAttributeIndexedValueType

from devstack.certificates import ensure_certificates
from devstack.errors import DevstackError
from devstack.install import ensure_kafka, ensure_mysql
from devstack.kafka import OPERATOR, PRODUCER, READER, SERVICE, KafkaBroker
from devstack.mysql import LedgerUrls, MySQLServer
from devstack.provider import ProviderSimulator
from devstack.secrets_file import ensure_secret
from devstack.server import ManagedServer
from devstack.site import Site, SiteNames
from devstack.temporal import TemporalServer

_APP_TERMINATE_TIMEOUT_S: Final = 10.0
_NAMELESS_SITE_FOLDER: Final = "default"


def _silent(_message: str) -> None:
    """Report nothing."""


class Devstack:
    """Temporal, Kafka, MySQL and the provider simulator, for the time of an `async with`.

    Data, passwords and certificates stay in `folder`, which one stack at a time may use; several stacks with folders
    of their own run side by side. It must be entered in the main thread, whose end would end the servers.

    Args:
        folder: where everything is kept.
        on_progress: told in a few words what is fetched and what is up.
        producer_command: what the simulator runs to send its records; it finds the settings of the nameless site's
            producer by RECHARGE_ENV_FILE.
        proxied_count: how many proxies will stand before Kafka (`KafkaBroker.proxied`).
        search_attributes: what Temporal knows from its start (`TemporalServer`); else they are registered later, as by `recharge migrate`.
    """

    temporal: TemporalServer
    kafka: KafkaBroker
    mysql: MySQLServer
    simulator: ProviderSimulator

    def __init__(
        self,
        folder: Path,
        on_progress: Callable[[str], None] | None = None,
        *,
        producer_command: str | None = None,
        proxied_count: int = 0,
        search_attributes: Mapping[str, SearchAttributeIndexedValueType] | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self._report = on_progress or _silent
        self._producer_command = producer_command
        self._proxied_count = proxied_count
        self._search_attributes = search_attributes or {}
        self._sites: list[Site] = []
        self._lock: int | None = None

    @property
    def servers(self) -> tuple[ManagedServer, ...]:
        """The four servers."""
        return (self.temporal, self.kafka, self.mysql, self.simulator)

    async def __aenter__(self) -> Self:
        """Start everything; where one server fails the others are ended again.

        Raises:
            DevstackError: with what is missing or failed.
        """
        # Logs and settings hold what only the owner may read.
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = _lock_folder(self.folder)
        try:
            self._make_servers()
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End everything that was started, the service's processes first."""
        await self._stop()

    async def site(
        self, name: str, *, partitions: int = 1, source: str | None = None, profile: Mapping[str, str] | None = None
    ) -> Site:
        """A whole isolated corner for one test or demo. Safe to repeat for a name.

        Args:
            name: part of the topic's, group's, database's and task queue's names; "" for those of the defaults.
            partitions: of the topic.
            source: the source's name; by default made from the site's.
            profile: settings that are merged over the others, by their full names.

        Raises:
            DevstackError: for a name that cannot be used.
        """
        names = SiteNames.of(name, source)
        ledger, *_ = await asyncio.gather(
            self.mysql.create_ledger(names.database),
            self.kafka.create_topic(names.topic, partitions),
            self.kafka.grant_group(names.group),
        )
        folder = self._site_folder(name)
        settings = self._settings(names, ledger, folder) | dict(profile or {})
        site = Site(
            names=names,
            folder=folder,
            ledger=ledger,
            environment=settings,
            migrate_environment=settings | {"RECHARGE_MYSQL__URL": ledger.migrate_url},
            producer_environment=settings | self._kafka_user(PRODUCER),
            operator_environment=settings | self._kafka_user(OPERATOR),
            reader_environment=settings | self._kafka_user(READER) | {"RECHARGE_MYSQL__URL": ledger.reader_url},
        )
        site.write_environment_files()
        self._sites.append(site)
        return site

    def _make_servers(self) -> None:
        certificates = ensure_certificates(self.folder / "certificates")
        kafka, mysql = ensure_kafka(self._report), ensure_mysql(self._report)
        producer_env_file = self._site_folder("") / "producer.env"
        self.temporal = TemporalServer(self.folder / "temporal", self._search_attributes)
        self.kafka = KafkaBroker(self.folder / "kafka", kafka, certificates, proxied_count=self._proxied_count)
        self.mysql = MySQLServer(self.folder / "mysql", mysql, certificates)
        self.simulator = ProviderSimulator(
            self.folder / "provider", certificates, self._producer_command, producer_env_file
        )

    async def _start(self) -> None:
        try:
            async with asyncio.TaskGroup() as starting:
                for server in self.servers:
                    starting.create_task(self._start_one(server), name=f"start {server.name}")
        except ExceptionGroup as errors:
            # One sentence for one cause; what came after it followed from it. (`except*` may wrap what is raised in it into a group.)
            known = next((error for error in errors.exceptions if isinstance(error, DevstackError)), None)
            if known is None:
                raise
            raise known from None

    async def _start_one(self, server: ManagedServer) -> None:
        began_s = time.monotonic()
        await server.start()
        self._report(f"{server.name} is up ({time.monotonic() - began_s:.1f} s)")

    async def _stop(self) -> None:
        try:
            spawned = [process for site in self._sites for process in site.processes]
            await _all(process.terminate(_APP_TERMINATE_TIMEOUT_S) for process in spawned)
            await _all(server.stop() for server in self._made_servers())
        finally:
            for server in self._made_servers():
                server.release()
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    def _made_servers(self) -> list[ManagedServer]:
        made = (vars(self).get(name) for name in ("temporal", "kafka", "mysql", "simulator"))
        return [server for server in made if server is not None]

    def _site_folder(self, name: str) -> Path:
        return self.folder / "sites" / (name or _NAMELESS_SITE_FOLDER)

    def _kafka_user(self, user: str) -> dict[str, str]:
        return {"RECHARGE_KAFKA__SASL_USERNAME": user, "RECHARGE_KAFKA__SASL_PASSWORD": self.kafka.password(user)}

    def _settings(self, names: SiteNames, ledger: LedgerUrls, folder: Path) -> dict[str, str]:
        return {
            "RECHARGE_KAFKA__BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "RECHARGE_KAFKA__TOPIC": names.topic,
            "RECHARGE_KAFKA__GROUP_ID": names.group,
            "RECHARGE_KAFKA__SOURCE": names.source,
            "RECHARGE_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
            "RECHARGE_KAFKA__SASL_MECHANISM": "SCRAM-SHA-512",
            **self._kafka_user(SERVICE),
            "RECHARGE_KAFKA__SSL_CA_FILE": str(self.kafka.ca_file),
            "RECHARGE_MYSQL__URL": ledger.service_url,
            "RECHARGE_PROVIDER__URL": self.simulator.url,
            "RECHARGE_PROVIDER__LOOKUP_URL": self.simulator.lookup_url,
            "RECHARGE_PROVIDER__CA_FILE": str(self.simulator.ca_file),
            "RECHARGE_PROVIDER__AUTH_TOKEN": self.simulator.auth_token,
            "RECHARGE_PRIVACY__HASH_KEY": ensure_secret(folder / "passwords", "hash-key"),
            "RECHARGE_TEMPORAL__TASK_QUEUE": names.task_queue,
            "RECHARGE_TEMPORAL__WEB_UI_URL": self.temporal.ui_url,
            "TEMPORAL_ADDRESS": self.temporal.address,
            "TEMPORAL_NAMESPACE": self.temporal.namespace,
        }


async def _all(endings: Iterable[Awaitable[object]]) -> None:
    """Wait for all of them, also where one fails, so that no process is left behind; then raise what failed."""
    for result in await asyncio.gather(*endings, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


def _lock_folder(folder: Path) -> int:
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise DevstackError(f"Another stack runs in {folder}; stop it, or use another folder.") from None
    return lock
