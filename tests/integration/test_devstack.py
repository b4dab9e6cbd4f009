"""The local stack is as strict as production, and leaves nothing behind."""

import asyncio
import os
import signal
import ssl
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aiomysql
import psutil
import pymysql
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError

from devstack.cache import ensure_built
from devstack.errors import DevstackError, ProcessEndedError, WaitTimeoutError
from devstack.kafka import PRODUCER, SERVICE, new_cluster_id
from devstack.processes import ManagedProcess, wait_until
from devstack.server import minimal_environment
from devstack.site import Site
from devstack.stack import Devstack

TIMEOUT_S = 30.0


@pytest.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Devstack]:
    """A stack of these tests' own: they kill and freeze its servers, which the other tests' connections would not forgive."""
    async with Devstack(tmp_path_factory.mktemp("own-devstack")) as running:
        yield running


@pytest.fixture(scope="module")
async def shared(stack: Devstack) -> Site:
    """A site without a service, for the tests that only look."""
    return await stack.site("devstack", partitions=2)


@pytest.fixture
def python(tmp_path: Path) -> Iterator["PythonPrograms"]:
    programs = PythonPrograms(tmp_path)
    yield programs
    for process in programs.started:
        process.kill()


class PythonPrograms:
    """Starts small programs as managed processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[ManagedProcess] = []

    async def start(self, program: str) -> ManagedProcess:
        """Start a program and wait until it has said 'ready'."""
        name = f"program-{len(self.started)}"
        argv = [sys.executable, "-u", "-c", textwrap.dedent(program)]
        process = ManagedProcess.start(name, argv, minimal_environment(), self.folder / f"{name}.log", self.folder)
        self.started.append(process)
        await wait_until(lambda: "ready" in process.tail(), TIMEOUT_S, "the program is ready", process=process)
        return process


async def query(url: str, statement: str, *, encrypted: bool = True) -> tuple[tuple[object, ...], ...]:
    """Run one statement as the user of a ledger's URL."""
    parts = urlsplit(url)
    tls = ssl.create_default_context(cafile=parse_qs(parts.query)["ssl_ca"][0]) if encrypted else None
    async with asyncio.timeout(TIMEOUT_S):
        connection = await aiomysql.connect(
            host=parts.hostname, port=parts.port, user=parts.username, password=parts.password,
            db=parts.path.strip("/"), ssl=tls, autocommit=True,
        )  # fmt: skip
        try:
            async with connection.cursor() as cursor:
                await cursor.execute(statement)
                return tuple(await cursor.fetchall())
        finally:
            connection.close()


async def send(stack: Devstack, user: str, topic: str) -> None:
    """Send one record as this user."""
    producer = AIOKafkaProducer(**stack.kafka.client_options(user), acks="all", enable_idempotence=True)
    async with asyncio.timeout(TIMEOUT_S):
        await producer.start()
        try:
            await producer.send_and_wait(topic, b"{}")
        finally:
            await producer.stop()


async def test_the_service_may_write_dead_letters_but_not_the_topic(stack: Devstack, shared: Site) -> None:
    await send(stack, SERVICE, f"{shared.topic}.dlt")
    with pytest.raises(TopicAuthorizationFailedError):
        await send(stack, SERVICE, shared.topic)


async def test_the_producer_may_write_the_topic_but_not_dead_letters(stack: Devstack, shared: Site) -> None:
    await send(stack, PRODUCER, shared.topic)
    with pytest.raises(TopicAuthorizationFailedError):
        await send(stack, PRODUCER, f"{shared.topic}.dlt")


async def test_the_service_reads_and_commits_in_its_own_group_only(stack: Devstack) -> None:
    site = await stack.site("group", partitions=2)
    await stack.kafka.produce(site.topic, [(b"k", b"0", 1, []), (b"k", b"1", 1, [("h", b"x")])])
    consumer = AIOKafkaConsumer(
        site.topic, **stack.kafka.client_options(SERVICE), group_id=site.group, enable_auto_commit=False,
        auto_offset_reset="earliest",
    )  # fmt: skip
    async with asyncio.timeout(TIMEOUT_S):
        await consumer.start()
        try:
            assert [(await consumer.getone()).value for _ in range(2)] == [b"0", b"1"]
            await consumer.commit({TopicPartition(site.topic, 1): 2})
        finally:
            await consumer.stop()
    assert await stack.kafka.committed(site.group, site.topic) == {1: 2}
    assert await stack.kafka.end_offsets(site.topic) == {0: 0, 1: 2}
    assert [record.headers for record in await stack.kafka.read_all(site.topic)] == [(), (("h", b"x"),)]
    other = AIOKafkaConsumer(**stack.kafka.client_options(SERVICE), group_id="another", enable_auto_commit=False)
    async with asyncio.timeout(TIMEOUT_S):
        await other.start()
        try:
            other.assign([TopicPartition(site.topic, 0)])
            with pytest.raises(Exception, match="GroupAuthorizationFailedError"):
                await other.commit({TopicPartition(site.topic, 0): 0})
        finally:
            await other.stop()


def test_no_clusters_id_looks_like_an_option() -> None:
    # One of 64 random ids would, and Kafka would not start.
    ids = {new_cluster_id() for _ in range(2000)}
    assert len(ids) == 2000
    assert not [each for each in ids if each.startswith("-")]
    assert {len(each) for each in ids} == {22}


async def test_kafka_refuses_plaintext_and_a_wrong_password(stack: Devstack) -> None:
    options = stack.kafka.client_options(SERVICE)
    plain = AIOKafkaAdminClient(bootstrap_servers=stack.kafka.bootstrap_servers, request_timeout_ms=2_000)
    wrong = AIOKafkaAdminClient(**options | {"sasl_plain_password": "wrong"}, request_timeout_ms=2_000)
    for client in (plain, wrong):
        async with asyncio.timeout(TIMEOUT_S):
            with pytest.raises(KafkaConnectionError):
                await client.start()
            await client.close()


async def test_the_service_can_neither_delete_nor_drop_in_the_ledger(stack: Devstack) -> None:
    site = await stack.site("rights")
    migrate, service = site.ledger.migrate_url, site.ledger.service_url
    await query(migrate, "CREATE TABLE recharges (id INT PRIMARY KEY)")
    await query(migrate, "CREATE TABLE request_claims (id INT PRIMARY KEY)")
    await query(service, "INSERT INTO recharges VALUES (1)")
    await query(service, "UPDATE recharges SET id = 2")
    assert await query(service, "SELECT id FROM recharges") == ((2,),)
    for forbidden in ("DELETE FROM recharges", "DROP TABLE recharges", "TRUNCATE recharges", "CREATE TABLE t (id INT)"):
        with pytest.raises(pymysql.err.OperationalError, match="command denied"):
            await query(service, forbidden)
    await query(service, "INSERT INTO request_claims VALUES (1)")
    await query(service, "DELETE FROM request_claims")
    with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
        await query(service, "USE mysql")


async def test_mysql_refuses_plaintext(shared: Site) -> None:
    with pytest.raises(pymysql.err.OperationalError, match=r"insecure transport|Access denied"):
        await query(shared.ledger.service_url, "SELECT 1", encrypted=False)


async def test_mysql_is_as_durable_as_in_production(shared: Site) -> None:
    variables = "@@sync_binlog, @@innodb_flush_log_at_trx_commit, @@log_bin, @@global.read_only"
    assert await query(shared.ledger.service_url, f"SELECT {variables}") == ((1, 1, 1, 0),)


async def test_sites_are_isolated_and_may_be_asked_for_again(stack: Devstack, shared: Site) -> None:
    again = await stack.site("devstack", partitions=2, profile={"RECHARGE_PROVIDER__TIMEOUT_S": "2"})
    assert again.environment == shared.environment | {"RECHARGE_PROVIDER__TIMEOUT_S": "2"}
    other = await stack.site("other")
    with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
        await query(other.ledger.service_url, f"USE {shared.names.database}")
    with pytest.raises(DevstackError, match="cannot name a site"):
        await stack.site("Other")
    assert (await stack.site("")).environment["RECHARGE_KAFKA__TOPIC"] == "credit-transfers"


async def test_what_was_acknowledged_survives_a_kill_of_the_servers(stack: Devstack) -> None:
    site = await stack.site("kill")
    await query(site.ledger.migrate_url, "CREATE TABLE kept (id INT PRIMARY KEY)")
    await query(site.ledger.service_url, "INSERT INTO kept VALUES (7)")
    await stack.kafka.produce(site.topic, [(None, b"kept", 0, [])])
    for server in stack.servers:
        server.kill()
        assert await server.process.wait(TIMEOUT_S) == -signal.SIGKILL
    await asyncio.gather(*(server.start() for server in stack.servers))
    assert await query(site.ledger.service_url, "SELECT id FROM kept") == ((7,),)
    assert [record.value for record in await stack.kafka.read_all(site.topic)] == [b"kept"]


async def test_a_frozen_server_goes_on_when_thawed(stack: Devstack, shared: Site) -> None:
    stack.mysql.freeze()
    await wait_until(lambda: _status(stack.mysql.pid) == psutil.STATUS_STOPPED, TIMEOUT_S, "MySQL is frozen")
    answer = asyncio.create_task(query(shared.ledger.service_url, "SELECT 1"))
    done, _ = await asyncio.wait({answer}, timeout=0.3)
    assert not done
    stack.mysql.thaw()
    assert await answer == ((1,),)


async def test_a_second_stack_runs_beside_the_first_and_leaves_nothing_running(stack: Devstack, tmp_path: Path) -> None:
    async with Devstack(tmp_path / "second") as second:
        pids = [server.pid for server in second.servers]
        assert all(psutil.pid_exists(pid) for pid in pids)
        with pytest.raises(DevstackError, match="Another stack runs in"):
            await Devstack(tmp_path / "second").__aenter__()
    assert _alive(pids) == []
    assert all(server.process.returncode is None for server in stack.servers)


async def test_a_failed_start_leaves_nothing_running_and_says_why(tmp_path: Path) -> None:
    # A data folder without data: MySQL ends by itself while the others are starting.
    (tmp_path / "mysql" / "data").mkdir(parents=True)
    before = set(psutil.Process().children(recursive=True))
    failing = Devstack(tmp_path)
    with pytest.raises(ProcessEndedError, match=r"mysql ended with status \d (?s:.)*mysql\.log"):
        await failing.__aenter__()
    assert set(psutil.Process().children(recursive=True)) <= before


async def test_a_folder_of_another_release_is_refused_in_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "kafka"
    folder.mkdir()
    (folder / "formatted").write_text("admin\nof-old")
    with pytest.raises(DevstackError, match=r"has users of another release; remove that folder \(make clean\)$"):
        async with Devstack(tmp_path):
            pytest.fail("it must not start")


async def test_nothing_is_left_running_when_the_parent_is_killed(tmp_path: Path) -> None:
    program = f"""
        import asyncio
        from pathlib import Path
        from devstack.stack import Devstack

        async def main():
            async with Devstack(Path({str(tmp_path / "orphans")!r})) as stack:
                print(*(server.pid for server in stack.servers), flush=True)
                await asyncio.Event().wait()

        asyncio.run(main())
    """
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(program), stdout=subprocess.PIPE, start_new_session=True
    )
    assert parent.stdout is not None
    try:
        pids = [int(pid) for pid in (await asyncio.wait_for(parent.stdout.readline(), 90)).split()]
        assert len(pids) == 4
        assert _alive(pids) == pids
    finally:
        parent.kill()
        await parent.communicate()
    await wait_until(lambda: _alive(pids) == [], TIMEOUT_S, "the servers have ended with their parent")


async def test_ctrl_c_ends_the_stack_in_order(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "devstack", cwd=tmp_path, stdout=subprocess.PIPE, start_new_session=True
    )
    assert parent.stdout is not None
    try:
        async with asyncio.timeout(90):
            while b"Ctrl-C ends it" not in (line := await parent.stdout.readline()):
                assert line, "the stack ended by itself"
        pids = [child.pid for child in psutil.Process(parent.pid).children()]
        os.killpg(parent.pid, signal.SIGINT)
        output, _ = await asyncio.wait_for(parent.communicate(), 60)
    finally:
        if parent.returncode is None:
            parent.kill()
            await parent.communicate()
    assert b"The stack is down." in output
    assert parent.returncode == 0
    assert len(pids) == 4
    assert _alive(pids) == []


async def test_a_process_that_ignores_sigterm_is_killed(python: PythonPrograms) -> None:
    stubborn = await python.start(
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready'); signal.pause()"
    )
    with pytest.raises(WaitTimeoutError, match="did not end within"):
        await stubborn.wait(0.05)
    assert await stubborn.terminate(timeout_s=0.2) == -signal.SIGKILL


async def test_a_frozen_process_is_ended_gracefully(python: PythonPrograms) -> None:
    program = (
        "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); print('ready'); signal.pause()"
    )
    frozen = await python.start(program)
    frozen.freeze()
    assert await frozen.terminate(timeout_s=TIMEOUT_S) == 7


async def test_what_a_process_started_is_killed_with_it(python: PythonPrograms) -> None:
    family = await python.start(
        "import subprocess, sys; child = subprocess.Popen(['sleep', '600']); print('ready', child.pid); child.wait()"
    )
    grandchild = int(family.tail().split()[-1])
    family.kill()
    assert await family.wait(TIMEOUT_S) == -signal.SIGKILL
    await wait_until(lambda: _alive([grandchild]) == [], TIMEOUT_S, "the grandchild has ended")


async def test_waiting_names_what_was_waited_for_and_shows_the_log(python: PythonPrograms) -> None:
    process = await python.start("import signal; print('the clue, ready'); signal.pause()")
    with pytest.raises(WaitTimeoutError, match=r"until pigs fly(?s:.)*the clue"):
        await wait_until(lambda: False, 0.1, "pigs fly", process=process)
    process.kill()
    await process.wait(TIMEOUT_S)
    with pytest.raises(ProcessEndedError, match=r"ended with status -9 before pigs fly(?s:.)*the clue"):
        await wait_until(lambda: False, TIMEOUT_S, "pigs fly", process=process)


def test_a_process_is_not_started_from_a_thread_whose_end_would_kill_it(tmp_path: Path) -> None:
    errors: list[str] = []

    def start() -> None:
        try:
            ManagedProcess.start("sleep", ["sleep", "600"], minimal_environment(), tmp_path / "log")
        except DevstackError as error:
            errors.append(str(error))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join(TIMEOUT_S)
    assert errors == ["sleep must be started from the main thread: it is killed when its thread ends."]


def test_what_is_fetched_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECHARGE_DEVSTACK_CACHE", str(tmp_path))

    def interrupted(folder: Path) -> None:
        (folder / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensure_built("thing", interrupted)
    (tmp_path / ".thing-left-by-a-kill.building").mkdir()
    thing = ensure_built("thing", lambda folder: (folder / "whole").touch())
    assert [file.name for file in thing.iterdir()] == ["whole"]
    assert sorted(file.name for file in tmp_path.iterdir()) == [".thing.lock", "thing"]


def test_two_that_fetch_at_once_fetch_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECHARGE_DEVSTACK_CACHE", str(tmp_path))
    builds: list[Path] = []
    second_is_coming = threading.Event()

    def build(folder: Path) -> None:
        assert second_is_coming.wait(TIMEOUT_S)
        builds.append(folder)

    def second() -> None:
        second_is_coming.set()
        ensure_built("thing", build)

    threads = [threading.Thread(target=ensure_built, args=("thing", build)), threading.Thread(target=second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert len(builds) == 1


def test_an_unfit_mysqld_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "devstack.install"],
        env=minimal_environment(MYSQLD="/bin/false"),
        cwd=tmp_path,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 1
    assert "MYSQLD=/bin/false is not a MySQL server of 8.4 or newer." in done.stderr.decode()


def _status(pid: int) -> str:
    return psutil.Process(pid).status()


def _alive(pids: list[int]) -> list[int]:
    """Those that run; a dead child that nobody has waited for does not count."""
    alive = []
    for pid in pids:
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                alive.append(pid)
        except psutil.NoSuchProcess:
            continue
    return alive
