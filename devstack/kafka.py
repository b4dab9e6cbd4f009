"""A real Apache Kafka broker: TLS, SCRAM-SHA-512 and authorization as in production, in one Java process."""

import base64
import os
import secrets
import shutil
import ssl
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from aiokafka import ConsumerRecord

from devstack.certificates import Certificates
from devstack.errors import DevstackError
from devstack.grants import kafka_rules
from devstack.install import KafkaInstallation
from devstack.kafka_access import AccessRule, Resource
from devstack.kafka_admin import KafkaAdmin, Record
from devstack.kafka_listeners import MECHANISM, ClientCertificate, Listeners, ProxiedListener
from devstack.processes import ManagedProcess, wait_until
from devstack.secrets_file import ensure_secret
from devstack.server import ManagedServer, accepts_connections, minimal_environment

ADMIN: Final = "admin"
SERVICE: Final = "recharge"
PRODUCER: Final = "producer"
OPERATOR: Final = "operator"
READER: Final = "reader"
_USERS: Final = (ADMIN, SERVICE, PRODUCER, OPERATOR, READER)
_READY_TIMEOUT_S: Final = 60.0
_FORMAT_TIMEOUT_S: Final = 60.0
_CLUSTER_ID_BYTES: Final = 16
# Java's exit status after an orderly end that SIGTERM began.
_ENDED_BY_SIGTERM: Final = 143
# A broker needs half a second; the first one writes the archive of classes besides.
_TERMINATE_TIMEOUT_S: Final = 20.0


class KafkaBroker(ManagedServer):
    """One broker that is its own controller, with the users of deploy/kafka/acls.sh.

    ADMIN may do everything, the others what that script gives them for the topics of `create_topic` and the groups of `grant_group`.
    Of the `proxied_count` listeners beside the usual one each tells its clients the address of a proxy as its own.
    """

    def __init__(
        self, folder: Path, installation: KafkaInstallation, certificates: Certificates, *, proxied_count: int = 0
    ) -> None:
        super().__init__("kafka", folder, _TERMINATE_TIMEOUT_S)
        self.ca_file = certificates.ca_file
        self.installation = installation
        self.certificates = certificates
        self._port, self._controller_port = self._reserve_port(), self._reserve_port()
        self.proxied = tuple(
            ProxiedListener(f"PROXIED{number}", self._reserve_port(), self._reserve_port())
            for number in range(1, proxied_count + 1)
        )
        self._mutual_ports = {each: self._reserve_port() for each in ClientCertificate}
        self._admin = KafkaAdmin({})
        self._new_class_archive = folder / "classes.jsa"

    @property
    def bootstrap_servers(self) -> str:
        """Host and port of the listener for clients."""
        return f"127.0.0.1:{self._port}"

    def mutual_tls_servers(self, kind: ClientCertificate) -> str:
        """Host and port of a listener that asks its clients for a certificate of the stack's authority."""
        return f"127.0.0.1:{self._mutual_ports[kind]}"

    @property
    def node_id(self) -> int:
        """The broker's number in the cluster."""
        return 1

    @property
    def controller_voters(self) -> str:
        """Where the cluster's controller is, as another broker's settings have it."""
        return f"{self.node_id}@127.0.0.1:{self._controller_port}"

    @property
    def cluster_id(self) -> str:
        """The id that the data folder was formatted with; the broker must have been started once."""
        properties = (self.folder / "data" / "meta.properties").read_text().splitlines()
        return next(line.removeprefix("cluster.id=") for line in properties if line.startswith("cluster.id="))

    def password(self, user: str) -> str:
        """The password of one of the users; it stays the same for the folder."""
        return ensure_secret(self.folder / "passwords", user)

    def client_options(self, user: str = ADMIN) -> dict[str, Any]:
        """The arguments by which aiokafka's clients connect as this user."""
        return {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": "SASL_SSL",
            "ssl_context": ssl.create_default_context(cafile=str(self.ca_file)),
            "sasl_mechanism": MECHANISM,
            "sasl_plain_username": user,
            "sasl_plain_password": self.password(user),
        }

    async def create_topic(self, name: str, partitions: int, *, config: Mapping[str, str] | None = None) -> None:
        """Make a topic and its dead-letter topic (one partition), with everybody's rights to them.

        Safe to repeat; a topic that is there stays as it is.
        """
        dead_letters = f"{name}.dlt"
        await self._admin.create_topics({name: config or {}, dead_letters: {}}, {name: partitions, dead_letters: 1})
        await self._grant(kafka_rules(name, ""), Resource.TOPIC)

    async def grant_group(self, group: str) -> None:
        """Let the service be a member of a consumer group and commit for it, and the reader look at it."""
        await self._grant(kafka_rules("", group), Resource.GROUP)

    async def _grant(self, rules: Iterable[AccessRule], kind: Resource) -> None:
        await self._admin.grant(rule for rule in rules if rule.resource is kind)

    async def produce(self, topic: str, records: Iterable[Record]) -> list[tuple[int, int]]:
        """Write records of (key, value, partition, headers) with `acks=all`; each one's partition and offset."""
        return await self._admin.produce(topic, records)

    async def coordinator(self, group: str) -> int:
        """The number of the broker that coordinates a consumer group."""
        return await self._admin.coordinator(group)

    async def committed(self, group: str, topic: str) -> dict[int, int]:
        """The committed offset of each partition that has one."""
        return await self._admin.committed(group, topic)

    async def end_offsets(self, topic: str) -> dict[int, int]:
        """For each partition the offset that its next record will have."""
        return await self._admin.end_offsets(topic)

    async def read_all(self, topic: str) -> list[ConsumerRecord[bytes | None, bytes | None]]:
        """Every record that is in the topic now, those of one partition in their order."""
        return await self._admin.read_all(topic)

    async def stop(self) -> None:
        """End the broker gracefully, and keep the archive of classes where it has written one."""
        await self._admin.close()
        await super().stop()
        archive = self.installation.class_archive
        if self._new_class_archive.exists():
            if self._process is not None and self._process.returncode == _ENDED_BY_SIGTERM and not archive.exists():
                arriving = archive.with_name(f".{archive.name}.{self.pid}")
                shutil.copyfile(self._new_class_archive, arriving)
                # Java crashes on an archive that is cut short, so it must be whole before it has its name.
                with arriving.open("rb") as copied:
                    os.fsync(copied.fileno())
                arriving.rename(archive)
            self._new_class_archive.unlink()

    async def _prepare(self) -> None:
        await self._admin.close()
        self._admin = KafkaAdmin(self.client_options())
        self._write_private("server.properties", "".join(f"{k}={v}\n" for k, v in self._settings().items()))
        formatted = self.folder / "formatted"
        if not formatted.exists():
            shutil.rmtree(self.folder / "data", ignore_errors=True)
            await self._format()
            formatted.write_text("\n".join(_USERS))
        elif formatted.read_text().splitlines() != list(_USERS):
            raise DevstackError(f"Kafka in {self.folder} has users of another release; remove that folder (make clean)")

    async def _format(self) -> None:
        """Write the empty data folder, with the users' credentials in it."""
        arguments = ["format", "--config", str(self.folder / "server.properties"), *self._format_arguments()]
        # Its output repeats the users' stored keys, so it is kept only where it explains a failure.
        log_file = self.folder / "kafka-format.log"
        process = self._start_java("kafka-format", "kafka.tools.StorageTool", arguments, log_file)
        try:
            status = await process.wait(_FORMAT_TIMEOUT_S)
            if status != 0:
                process.raise_if_ended("it had formatted Kafka's data folder")
            log_file.unlink()
            (self.folder / "kafka-format.arguments").unlink()
        finally:
            await process.kill_and_wait()

    def _format_arguments(self) -> list[str]:
        """What makes this broker the first one of a new cluster."""
        arguments = ["--cluster-id", new_cluster_id()]
        for user in _USERS:
            arguments += ["--add-scram", f"{MECHANISM}=[name={user},password={self.password(user)}]"]
        return arguments

    def _launch(self) -> ManagedProcess:
        return self._start_java(self.name, "kafka.Kafka", [str(self.folder / "server.properties")], self.log_file)

    def _start_java(self, name: str, main_class: str, arguments: Sequence[str], log_file: Path) -> ManagedProcess:
        # Passwords go by a file that only its owner may read; everybody may read a command line.
        argv = [*self._archive_options(name), *self.installation.options, main_class, *arguments]
        argument_file = self._write_private(f"{name}.arguments", "".join(f'"{each}"\n' for each in argv))
        return ManagedProcess.start(
            name,
            [str(self.installation.java), f"@{argument_file}"],
            minimal_environment(),
            log_file,
            self.folder,
        )

    def _archive_options(self, name: str) -> list[str]:
        if self.installation.class_archive.exists():
            return [f"-XX:SharedArchiveFile={self.installation.class_archive}"]
        return [f"-XX:ArchiveClassesAtExit={self._new_class_archive}"] if name == self.name else []

    async def _wait_until_ready(self, process: ManagedProcess) -> None:
        await wait_until(lambda: accepts_connections(self._port), _READY_TIMEOUT_S, "Kafka listens", process=process)
        await wait_until(self._admin.answers, _READY_TIMEOUT_S, "Kafka answers", process=process)

    def _write_private(self, name: str, text: str) -> Path:
        file = self.folder / name
        file.unlink(missing_ok=True)
        file.touch(mode=0o600)
        file.write_text(text)
        return file

    @property
    def _listeners(self) -> Listeners:
        return Listeners(
            port=self._port,
            controller_port=self._controller_port,
            proxied=self.proxied,
            mutual_ports=self._mutual_ports,
            certificates=self.certificates,
            user=ADMIN,
            password=self.password(ADMIN),
        )

    def _settings(self) -> dict[str, str]:
        return self._listeners.settings() | {
            "process.roles": "broker,controller",
            "node.id": str(self.node_id),
            "controller.quorum.voters": self.controller_voters,
            "log.dirs": str(self.folder / "data"),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            # The controller's own connections are plain and so anonymous; its listener is on loopback only.
            "super.users": f"User:{ADMIN};User:ANONYMOUS",
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            # The rest makes one small broker quick: to start, to take a consumer, and to be back after a kill.
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.num.partitions": "4",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            "broker.heartbeat.interval.ms": "500",
            "broker.session.timeout.ms": "2000",
            "num.network.threads": "2",
            "num.io.threads": str(max(2, os.cpu_count() or 2)),
            "log.cleaner.dedupe.buffer.size": "4194304",
        }


def new_cluster_id() -> str:
    """A random id as Kafka writes them. None begins with a hyphen, which its own tool would take for an option."""
    while (cluster_id := base64.urlsafe_b64encode(secrets.token_bytes(_CLUSTER_ID_BYTES)).decode())[0] == "-":
        pass
    return cluster_id.rstrip("=")
