"""The programs of docker-compose.yml do on real servers what the local stack does: users, rights, access rules."""

import re
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import TopicAuthorizationFailedError
from aiokafka.protocol.admin import DescribeAclsRequest
from ruamel.yaml import YAML

from devstack.grants import kafka_rules
from devstack.install import ensure_kafka
from devstack.kafka import PRODUCER, SERVICE
from devstack.kafka_access import AccessRule, Operation, Resource
from devstack.kafka_admin import KafkaAdmin
from devstack.ports import release_port, reserve_port
from devstack.processes import ManagedProcess
from devstack.server import minimal_environment
from devstack.stack import Devstack
from tests.support.compose import (
    COMPOSE_FOLDER,
    ROOT,
    client_options_of_compose,
    make_certificates,
    make_secrets,
)

TIMEOUT_S = 60.0
SERVICES: dict[str, dict[str, Any]] = YAML(typ="safe").load(ROOT / "docker-compose.yml")["services"]


class ComposeKafka:
    """The broker as the container starts it, by the same script, on loopback and with this machine's Kafka."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = (reserve_port(), reserve_port())
        self.address = f"localhost:{self.ports[0]}"
        self._process: ManagedProcess | None = None
        make_secrets(folder / "secrets")
        make_certificates(folder)
        settings = (COMPOSE_FOLDER / "kafka/server.properties").read_text()
        for inside, outside in {
            "CLIENT://0.0.0.0:9093": f"CLIENT://127.0.0.1:{self.ports[0]}",
            "kafka:9093": self.address,
            "127.0.0.1:9094": f"127.0.0.1:{self.ports[1]}",
            "/var/lib/kafka/data": f"{folder}/data",
        }.items():
            assert inside in settings
            settings = settings.replace(inside, outside)
        (folder / "server.properties").write_text(settings)
        (folder / "data").mkdir()
        installation = ensure_kafka()
        run_class = folder / "home/bin/kafka-run-class.sh"
        run_class.parent.mkdir(parents=True)
        words = [str(installation.java), *installation.options]
        run_class.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        run_class.chmod(0o755)

    def start(self) -> None:
        folders = {
            "SECRETS_FOLDER": self.folder / "secrets",
            "AUTHORITY_FOLDER": self.folder / "authority",
            "SERVER_FOLDER": self.folder / "server",
            "SETTINGS_FILE": self.folder / "server.properties",
            "WORK_FOLDER": self.folder / "work",
            "KAFKA_HOME": self.folder / "home",
        }
        env = minimal_environment(**{name: str(path) for name, path in folders.items()})
        argv = ["sh", str(COMPOSE_FOLDER / "kafka/start")]
        self._process = ManagedProcess.start("compose-kafka", argv, env, self.folder / "kafka.log", self.folder)

    async def stop(self) -> None:
        assert self._process is not None
        await self._process.terminate(20.0)

    def set_up(self) -> str:
        """Run the one-shot that makes topics and rules, with its settings out of docker-compose.yml; what it said."""
        service = SERVICES["kafka-setup"]
        env = dict(service["environment"]) | {"RECHARGE_KAFKA__BOOTSTRAP_SERVERS": self.address}
        for name, value in env.items():
            value = value.replace("/run/secrets/", f"{self.folder}/secrets/")  # noqa: PLW2901
            env[name] = value.replace("/etc/recharge/", f"{self.folder}/")
        argv = [sys.executable, str(COMPOSE_FOLDER / "kafka_setup.py"), *service["command"]]
        done = subprocess.run(
            argv, env=minimal_environment(**env), cwd=ROOT, capture_output=True, text=True, check=False, timeout=90
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def options(self, user: str) -> dict[str, Any]:
        secret = {SERVICE: "service"}.get(user, user)
        password = (self.folder / f"secrets/kafka_{secret}_password").read_text()
        return client_options_of_compose(self.address, user, password, self.folder / "authority/ca.pem")


@pytest.fixture(scope="module")
async def broker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ComposeKafka]:
    kafka = ComposeKafka(tmp_path_factory.mktemp("compose"))
    kafka.start()
    try:
        kafka.set_up()
        yield kafka
    finally:
        await kafka.stop()
        for port in kafka.ports:
            release_port(port)


async def test_the_broker_has_the_topics_and_exactly_the_access_rules(broker: ComposeKafka) -> None:
    broker.set_up()  # once more, which changes nothing
    admin = AIOKafkaAdminClient(**broker.options("admin"), request_timeout_ms=20_000)
    await admin.start()
    try:
        described = {each["topic"]: len(each["partitions"]) for each in await admin.describe_topics()}
        any_ = 1
        request = DescribeAclsRequest(any_, None, any_, None, None, any_, any_)
        response = await admin._send_request(request)
    finally:
        await admin.close()
    assert {"credit-transfers": 4, "credit-transfers.dlt": 1}.items() <= described.items()
    found = {
        AccessRule(principal.removeprefix("User:"), Operation(operation), Resource(kind), name)
        for kind, name, _pattern, acls in response.resources
        for principal, _host, operation, _permission in acls
    }
    assert found == set(kafka_rules("credit-transfers", "recharge"))


async def test_the_producer_may_write_the_topic_and_the_service_may_not(broker: ComposeKafka) -> None:
    await KafkaAdmin(broker.options(PRODUCER)).produce("credit-transfers", [(None, b"{}", 0, [])])
    # Not by an idempotent producer, which fails at another right before it comes to the topic's.
    producer = AIOKafkaProducer(**broker.options(SERVICE), request_timeout_ms=20_000)
    await producer.start()
    try:
        with pytest.raises(TopicAuthorizationFailedError):
            await producer.send_and_wait("credit-transfers", b"{}")
    finally:
        await producer.stop()


async def test_the_broker_keeps_its_records_over_a_restart(broker: ComposeKafka) -> None:
    await KafkaAdmin(broker.options(PRODUCER)).produce("credit-transfers", [(None, b"kept", 1, [])])
    await broker.stop()
    broker.start()
    broker.set_up()
    kept = await KafkaAdmin(broker.options("admin")).read_all("credit-transfers")
    assert b"kept" in [record.value for record in kept]


def test_the_broker_s_health_check_logs_in(broker: ComposeKafka) -> None:
    command = SERVICES["kafka"]["healthcheck"]["test"]
    arguments = [
        each.replace("kafka:9093", broker.address).replace("/run/recharge", str(broker.folder / "work"))
        for each in command[2:]
    ]
    # What kafka-configs.sh of the image starts.
    argv = [str(broker.folder / "home/bin/kafka-run-class.sh"), "kafka.admin.ConfigCommand", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "broker 1" in done.stdout
    plain = broker.folder / "plain.properties"
    plain.write_text("security.protocol=PLAINTEXT\ndefault.api.timeout.ms=3000\nrequest.timeout.ms=2000\n")
    without = [each.replace(str(broker.folder / "work/admin.properties"), str(plain)) for each in argv]
    refused = subprocess.run(without, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    assert refused.returncode != 0, "without the administrator's login it fails"


async def test_the_ledger_s_users_have_the_rights_that_the_local_stack_gives_them(
    stack: Devstack, tmp_path: Path
) -> None:
    make_secrets(tmp_path)
    await stack.mysql.execute("CREATE DATABASE compose_ledger")
    for statement in _statements_of_the_ledger_s_users(tmp_path, "compose_ledger"):
        await stack.mysql.execute(statement)
    await stack.mysql.create_ledger("local_ledger")
    for role in ("svc", "ddl"):
        ours = await _grants(stack, f"compose_ledger_{role}", "%")
        assert ours == await _grants(stack, f"local_ledger_{role}", "127.0.0.1")
        ((secured,),) = await stack.mysql.execute(
            "SELECT ssl_type FROM mysql.user WHERE user = %s AND host = %s", [f"compose_ledger_{role}", "%"]
        )
        assert secured in {"ANY", b"ANY"}, "a connection without TLS is refused"


def _statements_of_the_ledger_s_users(secrets: Path, database: str) -> list[str]:
    # The image's entry point reads the script into its own shell and carries out what it hands to docker_process_sql.
    shell = f"docker_process_sql() {{ cat; }}; . {shlex.quote(str(COMPOSE_FOLDER / 'mysql/users.sh'))}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", shell],  # noqa: S607 - bash is on PATH
        env=minimal_environment(MYSQL_DATABASE=database, SECRETS_FOLDER=str(secrets)),
        capture_output=True,
        text=True,
        check=True,
        timeout=TIMEOUT_S,
    )
    return [statement.strip() for statement in done.stdout.split(";") if statement.strip()]


async def _grants(stack: Devstack, user: str, host: str) -> set[str]:
    rows = await stack.mysql.execute("SHOW GRANTS FOR %s@%s", [user, host])
    return {re.sub(r"(compose|local)_ledger", "LEDGER", row[0]).replace(f"@`{host}`", "") for row in rows}


def test_temporal_s_health_check_succeeds_on_a_server_with_its_namespace_alone(stack: Devstack) -> None:
    command = SERVICES["temporal"]["healthcheck"]["test"][1:]
    for namespace, healthy in (("default", True), ("elsewhere", False)):
        words = [
            each.replace("127.0.0.1:7233", stack.temporal.address).replace("default", namespace) for each in command
        ]
        program = Path(sys.executable).parent / words[0]
        done = subprocess.run([program, *words[1:]], capture_output=True, check=False, timeout=TIMEOUT_S)
        assert (done.returncode == 0) is healthy


def test_the_simulator_s_health_check_asks_the_simulator(stack: Devstack) -> None:
    program = SERVICES["simulator"]["healthcheck"]["test"][-1]
    here = program.replace("http://127.0.0.1:8444", stack.simulator.control_url)
    assert here != program
    subprocess.run([sys.executable, "-c", here], check=True, timeout=TIMEOUT_S)
