"""Each command does its work with the rights that docs/security.md gives it, and says in one line what it may not do without them."""

from typing import NamedTuple

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError
from temporalio.client import Client

from devstack.kafka import OPERATOR, PRODUCER, READER, SERVICE
from devstack.stack import Devstack
from tests.conftest import SiteMaker
from tests.support.command import Told, ask
from tests.support.records import value
from tests.support.service import Service, killed

WHO = ("--by", "Ann", "--note", "a test")
NOBODY = None


class Rights(NamedTuple):
    """Who a command is on Kafka, and in the ledger: `svc`, `ro` or `ddl`. Without a user it has no password of that server at all."""

    kafka: str | None
    ledger: str | None


@pytest.fixture
async def service(stack: Devstack, make_site: SiteMaker, client: Client) -> Service:
    """A service that has stopped: one record each succeeded, rejected, invalid and in doubt."""
    profile = {"RECHARGE_INGEST__ORDERING": "none", "RECHARGE_PROVIDER__PROCESSING_TIME_S": "0"}
    profile |= {"RECHARGE_PROVIDER__TIMEOUT_S": "2"}
    here = Service.of(stack, await make_site("rights", profile=profile), client)
    await here.send(0, value(), value(simulate=["refuse+ok"]), b"not json", value(simulate=["charge+status:500"]))
    running = here.site.spawn("run")
    await here.until_states({(0, 0): "succeeded", (0, 1): "rejected", (0, 2): "invalid", (0, 3): "in_doubt"})
    await here.until_committed({0: 3})
    await killed([running])
    return here


def environment(service: Service, rights: Rights) -> dict[str, str]:
    """The settings of a process with these rights."""
    ledger = service.site.ledger
    urls = {"svc": ledger.service_url, "ro": ledger.reader_url, "ddl": ledger.migrate_url}
    kafka = rights.kafka or "nobody"
    return service.site.environment | {
        "RECHARGE_KAFKA__SASL_USERNAME": kafka,
        "RECHARGE_KAFKA__SASL_PASSWORD": "none" if rights.kafka is None else service.stack.kafka.password(kafka),
        "RECHARGE_MYSQL__URL": urls[rights.ledger] if rights.ledger else "mysql://nobody:none@127.0.0.1:1/none",
    }


async def with_rights(service: Service, rights: Rights, *arguments: str) -> Told:
    """Run a command; what it produces, where it does, is one record."""
    return await ask(*arguments, environment=environment(service, rights), stdin=value() + b"\n")


async def test_each_command_works_with_the_rights_of_the_table(service: Service) -> None:
    """The processes that work for long are shown by every other test: these are the rights that they have there."""
    rights: dict[tuple[str, ...], Rights] = {
        ("status",): Rights(READER, "ro"),
        ("audit",): Rights(READER, "ro"),
        ("show", "0/3"): Rights(NOBODY, "ro"),
        ("resolve", "--list"): Rights(NOBODY, "ro"),
        ("migrate",): Rights(NOBODY, "ddl"),
        ("pause", *WHO): Rights(NOBODY, NOBODY),
        ("redact", "--older-than", "1", *WHO): Rights(NOBODY, "svc"),
        ("hold", "0/3", *WHO): Rights(NOBODY, "svc"),
        ("redrive", "0/1", *WHO): Rights(OPERATOR, "svc"),
        ("produce",): Rights(PRODUCER, NOBODY),
        ("accept-gap", "0:9-10", *WHO): Rights(READER, "svc"),
    }
    told = {command: await with_rights(service, each, *command) for command, each in rights.items()}
    # Nothing is lost there, which this command has to find out first.
    gap = told.pop(("accept-gap", "0:9-10", *WHO))
    assert "so 9 to 10 are not lost" in gap.err
    assert not {command: each for command, each in told.items() if each.status != 0}


@pytest.mark.long
@pytest.mark.parametrize(
    ("command", "rights", "lacks"),
    [
        (("audit",), Rights(PRODUCER, "ro"), "lacks the permission Read on group"),
        (("accept-gap", "0:9-10", *WHO), Rights(PRODUCER, "svc"), "lacks the permission"),
        (("resolve", "0/3", "--charged", *WHO), Rights(NOBODY, "ro"), "command denied"),
        (("hold", "0/3", *WHO), Rights(NOBODY, "ro"), "command denied"),
        (("redact", "--older-than", "1", *WHO), Rights(NOBODY, "ro"), "command denied"),
        (("redrive", "0/1", *WHO), Rights(READER, "svc"), "lacks the permission Write on any topic"),
        (("redrive", "0/1", *WHO), Rights(OPERATOR, "ro"), "command denied"),
        (("produce",), Rights(READER, NOBODY), "lacks the permission Write on any topic"),
        (("migrate",), Rights(NOBODY, "ro"), "command denied"),
        (("ingest",), Rights(READER, NOBODY), "lacks the permission"),
        (("ingest",), Rights(PRODUCER, NOBODY), "lacks the permission"),
        (("worker",), Rights(NOBODY, "ro"), "command denied"),
        (("run",), Rights(SERVICE, "ro"), "command denied"),
        (("run",), Rights(READER, "svc"), "lacks the permission"),
    ],
)
async def test_a_command_without_its_rights_says_so_in_one_line(
    service: Service, command: tuple[str, ...], rights: Rights, lacks: str
) -> None:
    told = await with_rights(service, rights, *command)
    assert told.status != 0
    (line,) = [each for each in (told.out + told.err).splitlines() if not each.startswith("{")]
    assert lacks in line


async def test_a_status_without_its_rights_tells_what_is_missing_beside_what_it_may_see(service: Service) -> None:
    told = await with_rights(service, Rights(PRODUCER, "ro"), "status")
    assert told.status == 1
    assert "kafka: The Kafka user 'producer' lacks the permission" in told.out
    assert "ledger: up" in told.out


async def test_who_only_looks_can_neither_produce_nor_commit_nor_create(stack: Devstack, make_site: SiteMaker) -> None:
    site = await make_site()
    topic, options = site.topic, stack.kafka.client_options(READER)
    producer = AIOKafkaProducer(**options, request_timeout_ms=20_000)
    await producer.start()
    try:
        for name in (topic, f"{topic}.dlt"):
            with pytest.raises(TopicAuthorizationFailedError):
                await producer.send_and_wait(name, b"{}")
    finally:
        await producer.stop()
    consumer = AIOKafkaConsumer(**options, group_id=site.group, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        with pytest.raises(GroupAuthorizationFailedError):
            await consumer.commit({TopicPartition(topic, 0): 4})
    finally:
        await consumer.stop()
    admin = AIOKafkaAdminClient(**options)
    await admin.start()
    try:
        created = await admin.create_topics([NewTopic("a-topic-of-the-readers", 1, 1)])
        assert [code for _, code, *_ in created.topic_errors] == [TopicAuthorizationFailedError.errno]
    finally:
        await admin.close()
    assert await stack.kafka.committed(site.group, topic) == {}
