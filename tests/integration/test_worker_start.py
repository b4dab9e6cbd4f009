"""How the processes start and stop: what is wrong is told in one line, what is not there yet is waited for, and a stop loses nothing."""

import asyncio
import contextlib
import dataclasses
import itertools
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from urllib.parse import urlsplit

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from activities.migrations import migrate
from devstack.ports import release_port, reserve_port
from devstack.processes import ManagedProcess, wait_until
from devstack.simulator.client import Rule
from devstack.site import Site
from devstack.stack import Devstack
from tests.support.records import value

Behave = Callable[[str], Awaitable[None]]

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
WRONG_PASSWORD = "a-wrong-password-that-nobody-may-see"


def text(process: ManagedProcess) -> str:
    return process.log_file.read_text()


def plain_lines(process: ManagedProcess) -> list[str]:
    """What it said beside its log, which is JSON."""
    return [line for line in text(process).splitlines() if line and not line.startswith("{")]


def events(process: ManagedProcess) -> list[str]:
    """What its log tells so far."""
    return [json.loads(line)["event"] for line in text(process).splitlines() if line.startswith("{")]


def secrets_of(site: Site) -> set[str]:
    """Every secret in the site's settings."""
    named = {secret for name, secret in site.environment.items() if name.endswith(("PASSWORD", "TOKEN", "HASH_KEY"))}
    return named | {urlsplit(site.environment["RECHARGE_MYSQL__URL"]).password or "", WRONG_PASSWORD}


async def assert_refuses(site: Site, process: ManagedProcess, status: int, *words: str) -> None:
    """It ends with this status and exactly one line, which has all of the words and no secret."""
    assert await process.wait(START_TIMEOUT_S) == status, text(process)
    (line,) = plain_lines(process)
    for word in words:
        assert word in line, line
    assert "Traceback" not in text(process)
    for secret in secrets_of(site):
        assert secret not in text(process)


@pytest.fixture(scope="module", autouse=True)
def from_the_beginning() -> Iterator[None]:
    """How processes start is the matter of these tests, so each loads its modules by itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Site, "starter", staticmethod(ManagedProcess.start))
        yield


@pytest.fixture(scope="module")
async def idle_site(stack: Devstack, client: Client, site_numbers: "itertools.count[int]") -> AsyncIterator[Site]:
    """A migrated site without records, which all processes share that carry nothing out."""
    del client  # it registers the search attributes
    site = await stack.site(f"idle-{next(site_numbers)}")
    await migrate(site.migrate_environment["RECHARGE_MYSQL__URL"])
    yield site
    for process in site.processes:
        await process.kill_and_wait()


@pytest.fixture(scope="module")
async def bare_site(stack: Devstack, site_numbers: "itertools.count[int]") -> Site:
    """A site whose ledger has no tables yet."""
    return await stack.site(f"bare-{next(site_numbers)}")


async def namespace_without_search_attributes(stack: Devstack, name: str) -> None:
    """A namespace as Temporal makes it, once the server knows it."""
    request = RegisterNamespaceRequest(namespace=name)
    request.workflow_execution_retention_period.FromSeconds(86_400)
    admin = await Client.connect(stack.temporal.address, namespace=stack.temporal.namespace)
    await admin.workflow_service.register_namespace(request)

    async def known() -> bool:
        try:
            await admin.operator_service.list_search_attributes(ListSearchAttributesRequest(namespace=name))
        except RPCError:
            return False
        return True

    await wait_until(known, START_TIMEOUT_S, f"the namespace {name} is known")


@pytest.mark.parametrize("command", ["worker", "run"])
async def test_an_unmigrated_ledger_is_refused_in_one_line(bare_site: Site, client: Client, command: str) -> None:
    del client  # it registers the search attributes
    await assert_refuses(bare_site, bare_site.spawn(command), 1, "ledger", "recharge migrate")


@pytest.mark.parametrize("command", ["worker", "ingest", "run"])
async def test_a_namespace_without_search_attributes_is_refused_in_one_line(
    stack: Devstack, idle_site: Site, command: str
) -> None:
    namespace = f"bare-{command}"
    await namespace_without_search_attributes(stack, namespace)
    process = idle_site.spawn(command, env={"TEMPORAL_NAMESPACE": namespace})
    await assert_refuses(idle_site, process, 1, namespace, "RechargeStatus", "recharge migrate")


@pytest.mark.parametrize("command", ["worker", "ingest", "run", "migrate"])
async def test_a_namespace_that_does_not_exist_is_refused_in_one_line(idle_site: Site, command: str) -> None:
    process = idle_site.spawn(command, env={"TEMPORAL_NAMESPACE": "nowhere"})
    await wait_until(lambda: process.returncode is not None, START_TIMEOUT_S, "it has ended")
    assert process.returncode == 1
    line = plain_lines(process)[-1]
    assert "nowhere" in line
    assert "TEMPORAL_NAMESPACE" in line
    assert "Traceback" not in text(process)


@pytest.mark.parametrize("command", ["worker", "run", "migrate"])
async def test_a_wrong_mysql_password_is_refused_in_one_line(idle_site: Site, command: str) -> None:
    url = idle_site.environment["RECHARGE_MYSQL__URL"]
    password = urlsplit(url).password
    assert password is not None
    wrong = url.replace(f":{password}@", f":{WRONG_PASSWORD}@")
    process = idle_site.spawn(command, env={"RECHARGE_MYSQL__URL": wrong})
    await assert_refuses(idle_site, process, 1, "MySQL at 127.0.0.1", "RECHARGE_MYSQL__URL", "password")


@pytest.mark.parametrize("command", ["ingest", "run"])
async def test_a_wrong_kafka_password_is_refused_in_one_line(idle_site: Site, command: str) -> None:
    process = idle_site.spawn(command, env={"RECHARGE_KAFKA__SASL_PASSWORD": WRONG_PASSWORD})
    await assert_refuses(idle_site, process, 1, "RECHARGE_KAFKA__SASL_PASSWORD")


@pytest.mark.parametrize(
    ("suffix", "setting"), [("", "RECHARGE_KAFKA__TOPIC"), (".dlt", "RECHARGE_KAFKA__DEAD_LETTER_TOPIC")]
)
@pytest.mark.parametrize("command", ["ingest", "run"])
async def test_a_missing_topic_is_refused_in_one_line(
    stack: Devstack, site: Site, command: str, suffix: str, setting: str
) -> None:
    topic = site.topic + suffix
    admin = AIOKafkaAdminClient(**stack.kafka.client_options())
    await admin.start()
    try:
        await admin.delete_topics([topic])

        async def gone() -> bool:
            return topic not in await admin.list_topics()

        await wait_until(gone, START_TIMEOUT_S, f"{topic} is gone")
    finally:
        await admin.close()
    await assert_refuses(site, site.spawn(command), 1, repr(topic), setting)


@pytest.mark.parametrize(
    ("command", "setting"), [("worker", "RECHARGE_MYSQL__URL"), ("ingest", "RECHARGE_PRIVACY__HASH_KEY")]
)
async def test_a_missing_setting_is_named_with_an_example(idle_site: Site, command: str, setting: str) -> None:
    environment = {name: given for name, given in idle_site.environment.items() if name != setting}
    process = dataclasses.replace(idle_site, environment=environment).spawn(command)
    await assert_refuses(idle_site, process, 2, f"{setting} is missing", "for example")


class LateServer:
    """A port that nothing listens on until `come`; from then on it leads to the real server."""

    def __init__(self) -> None:
        self.port = reserve_port()
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def come(self, real_port: int) -> None:
        """Listen from now on."""

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", real_port)
            self._writers += [writer, onward_writer]
            await asyncio.gather(self._pipe(reader, onward_writer), self._pipe(onward_reader, writer))

        self._server = await asyncio.start_server(accept, "127.0.0.1", self.port)

    @staticmethod
    async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def close(self) -> None:
        """End every connection, and give the port back."""
        for writer in self._writers:
            writer.close()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        release_port(self.port)


@pytest.fixture
async def late() -> AsyncIterator[LateServer]:
    server = LateServer()
    yield server
    await server.close()


def elsewhere(site: Site, server: str, port: int) -> tuple[dict[str, str], int]:
    """The settings by which a server is looked for on another port, and its real port."""
    if server == "Temporal":
        address = site.environment["TEMPORAL_ADDRESS"]
        return {"TEMPORAL_ADDRESS": f"127.0.0.1:{port}"}, int(address.rpartition(":")[2])
    if server == "MySQL":
        url = site.environment["RECHARGE_MYSQL__URL"]
        real = urlsplit(url).port
        assert real is not None
        return {"RECHARGE_MYSQL__URL": url.replace(f":{real}/", f":{port}/")}, real
    servers = site.environment["RECHARGE_KAFKA__BOOTSTRAP_SERVERS"]
    return {"RECHARGE_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{port}"}, int(servers.rpartition(":")[2])


WAITING = {
    "Temporal": "waiting for Temporal",
    "MySQL": "waiting for the ledger",
    "Kafka": "Kafka cannot be used; waiting for it",
}
MISSING_SERVERS = [
    ("worker", "Temporal"),
    ("worker", "MySQL"),
    ("ingest", "Temporal"),
    ("ingest", "Kafka"),
    ("run", "Temporal"),
    ("run", "MySQL"),
    ("run", "Kafka"),
]


@pytest.mark.parametrize(("command", "server"), MISSING_SERVERS)
async def test_a_server_that_is_not_there_is_waited_for_and_a_stop_ends_the_waiting(
    idle_site: Site, late: LateServer, command: str, server: str
) -> None:
    settings, _ = elsewhere(idle_site, server, late.port)
    process = idle_site.spawn(command, env=settings)
    await wait_until(lambda: WAITING[server] in events(process), START_TIMEOUT_S, "it waits", process=process)
    os.kill(process.pid, signal.SIGTERM)
    assert await process.wait(STOP_TIMEOUT_S) == 0, text(process)
    assert events(process).count(WAITING[server]) == 1
    assert plain_lines(process) == []


@pytest.mark.parametrize(("command", "server"), MISSING_SERVERS)
async def test_a_server_that_comes_late_is_used_when_it_comes(
    stack: Devstack, site: Site, late: LateServer, command: str, server: str
) -> None:
    settings, real_port = elsewhere(site, server, late.port)
    await stack.kafka.produce(site.topic, [(b"key", value(), 0, [])])
    other = {"worker": "ingest", "ingest": "worker"}.get(command)
    if other is not None:
        site.spawn(other)
    process = site.spawn(command, env=settings)
    await wait_until(lambda: WAITING[server] in events(process), START_TIMEOUT_S, "it waits", process=process)
    await late.come(real_port)
    await until_final(stack, site, process)
    assert events(process).count(WAITING[server]) == 1
    assert await process.terminate() == 0, text(process)


async def until_final(stack: Devstack, site: Site, process: ManagedProcess | None = None) -> None:
    """Wait until the site's one record is committed, and see that it was carried out once."""

    async def committed() -> bool:
        return await stack.kafka.committed(site.group, site.topic) == {0: 1}

    await wait_until(committed, 60, "the record is committed", process=process)
    assert len(await stack.simulator.client.charges(f"{site.source}:")) == 1


async def attempts(stack: Devstack, site: Site) -> list[tuple[object, ...]]:
    """Number, outcome and end of each attempt."""
    table = f"{site.names.database}.recharge_attempts"
    return await stack.mysql.execute(f"SELECT number, outcome, closed_at IS NOT NULL FROM {table} ORDER BY number")


@pytest.fixture
async def slow_provider(stack: Devstack, site: Site) -> AsyncIterator[Behave]:
    """Chooses how the provider answers this site's records."""
    client = stack.simulator.client

    async def behave(behaviour: str) -> None:
        await client.set_rules(Rule(behaviour, prefix=f"{site.source}:"))

    yield behave
    await client.clear_rules()


async def test_a_stopping_worker_finishes_the_call_in_flight_and_closes_its_attempt(
    stack: Devstack, site: Site, slow_provider: Behave
) -> None:
    await slow_provider("delay:1.5+charge+ok")
    await stack.kafka.produce(site.topic, [(b"key", value(), 0, [])])
    site.spawn("ingest")
    worker = site.spawn("worker")
    await stack.simulator.client.wait_for_posts(f"{site.source}:", 1, START_TIMEOUT_S)
    assert await attempts(stack, site) == [(1, None, 0)]
    os.kill(worker.pid, signal.SIGTERM)
    assert await worker.wait(20) == 0, text(worker)
    assert await attempts(stack, site) == [(1, "charged", 1)]
    assert plain_lines(worker) == []
    site.spawn("worker")
    await until_final(stack, site)
    assert len(await stack.simulator.client.posts(f"{site.source}:")) == 1
    assert await attempts(stack, site) == [(1, "charged", 1)]


async def test_worker_and_intake_in_one_process_stop_without_losing_the_call_in_flight(
    stack: Devstack, site: Site, slow_provider: Behave
) -> None:
    await slow_provider("delay:1.5+charge+ok")
    await stack.kafka.produce(site.topic, [(b"key", value(), 0, [])])
    both = site.spawn("run")
    await stack.simulator.client.wait_for_posts(f"{site.source}:", 1, START_TIMEOUT_S)
    os.kill(both.pid, signal.SIGTERM)
    assert await both.wait(20) == 0, text(both)
    # The intake waits for what is in flight before it stops, so the record is final and committed by the same process.
    await until_final(stack, site)
    assert await attempts(stack, site) == [(1, "charged", 1)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_a_worker_at_once(
    stack: Devstack, site: Site, slow_provider: Behave, number: signal.Signals
) -> None:
    await slow_provider("delay:20+charge+ok")
    await stack.kafka.produce(site.topic, [(b"key", value(), 0, [])])
    site.spawn("ingest")
    worker = site.spawn("worker")
    await stack.simulator.client.wait_for_posts(f"{site.source}:", 1, START_TIMEOUT_S)
    os.kill(worker.pid, number)
    await wait_until(lambda: "stopping" in events(worker), STOP_TIMEOUT_S, "the first signal is heard", process=worker)
    os.kill(worker.pid, number)
    assert await worker.wait(2) == 128 + number, text(worker)
    assert await attempts(stack, site) == [(1, None, 0)]


@pytest.mark.parametrize("command", ["worker", "ingest", "run"])
async def test_an_idle_process_stops_within_seconds(idle_site: Site, command: str) -> None:
    process = idle_site.spawn(command)
    started = {"worker": "worker is polling", "ingest": "partition assigned", "run": "worker is polling"}[command]
    await wait_until(lambda: started in events(process), START_TIMEOUT_S, "it has started", process=process)
    os.kill(process.pid, signal.SIGTERM)
    assert await process.wait(STOP_TIMEOUT_S) == 0, text(process)
    assert plain_lines(process) == []
