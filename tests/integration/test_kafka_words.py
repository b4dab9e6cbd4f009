"""Whatever is wrong between us and Kafka is said in one line that names what, where, and what to do."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from pydantic import SecretStr
from temporalio.client import Client

from app.ingest import intake
from devstack.stack import Devstack
from ingest import kafka_words as words
from ingest.kafka import Cluster, Edge, RecordWriter, find_broker
from recharge.settings import KafkaSettings, SecurityProtocol
from tests.support.intake import Corner


@pytest.fixture
async def corner(stack: Devstack, client: Client, site_numbers: Iterator[int]) -> Corner:
    """A site without a worker."""
    return Corner(stack, await stack.site(f"words-{next(site_numbers)}"), client)


def changed(corner: Corner, **changes: object) -> KafkaSettings:
    """The settings of the site, some of them changed without being checked again."""
    return corner.settings().kafka.model_copy(update=changes)


def assert_one_line(problem: BaseException, *parts: str) -> None:
    text = str(problem)
    assert "\n" not in text
    for part in parts:
        assert part in text


async def test_what_is_right_is_accepted(corner: Corner) -> None:
    settings = corner.settings().kafka
    await find_broker(settings)
    async with Cluster(settings) as cluster:
        await cluster.check_topics()
        assert await cluster.committed({0}) == {}
        assert await cluster.offsets({0}, Edge.EARLIEST) == {0: 0}
        await corner.produce(0, ["succeeded"] * 3)
        assert await cluster.offsets({0}, Edge.END) == {0: 3}
        await corner.move_group({0: 2})
        assert await cluster.committed({0}) == {0: (2, "")}


@pytest.mark.parametrize(
    "changes", [{"sasl_password": SecretStr("not the password")}, {"sasl_username": "nobody"}], ids=["password", "user"]
)
async def test_refused_credentials(corner: Corner, changes: dict[str, object]) -> None:
    with pytest.raises(words.CredentialsRefused) as refused:
        await find_broker(changed(corner, **changes))
    assert_one_line(
        refused.value, "refused the user", "RECHARGE_KAFKA__SASL_PASSWORD", corner.stack.kafka.bootstrap_servers
    )
    assert "not the password" not in str(refused.value)
    assert refused.value.fatal


async def test_refused_credentials_end_the_intake_instead_of_being_tried_for_ever(corner: Corner) -> None:
    settings = corner.settings(RECHARGE_KAFKA__SASL_PASSWORD="not the password")
    with pytest.raises(words.CredentialsRefused):
        await asyncio.wait_for(intake(corner.client, settings, beside=None).run(asyncio.Event()), 30)


async def test_a_certificate_of_a_ca_that_is_not_ours(corner: Corner) -> None:
    with pytest.raises(words.TLSRefused) as refused:
        await find_broker(changed(corner, ssl_ca_file=None))
    assert_one_line(refused.value, "RECHARGE_KAFKA__SSL_CA_FILE")
    assert refused.value.fatal


async def test_plaintext_to_a_port_that_speaks_tls(corner: Corner) -> None:
    with pytest.raises(words.KafkaProblem) as refused:
        await asyncio.wait_for(find_broker(changed(corner, security_protocol=SecurityProtocol.SASL_PLAINTEXT)), 60)
    assert_one_line(refused.value, "RECHARGE_KAFKA__SECURITY_PROTOCOL", "TLS")


async def test_tls_to_a_port_that_does_not_speak_it(corner: Corner) -> None:
    address = corner.stack.temporal.address
    with pytest.raises(words.KafkaProblem) as refused:
        await find_broker(changed(corner, bootstrap_servers=address))
    assert_one_line(refused.value, address, "TLS")


async def test_nobody_listens(corner: Corner) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(words.KafkaUnreachable) as refused:
            await find_broker(changed(corner, bootstrap_servers=f"127.0.0.1:{port}"))
    assert_one_line(refused.value, f"127.0.0.1:{port}", "RECHARGE_KAFKA__BOOTSTRAP_SERVERS")
    assert not refused.value.fatal


async def test_one_server_that_answers_is_enough(corner: Corner) -> None:
    await find_broker(changed(corner, bootstrap_servers=f"127.0.0.1:1, {corner.stack.kafka.bootstrap_servers}"))


async def test_an_address_without_a_port(corner: Corner) -> None:
    with pytest.raises(words.SettingUnusable) as refused:
        await find_broker(changed(corner, bootstrap_servers="localhost"))
    assert_one_line(refused.value, "'localhost'", "HOST:PORT")


async def test_a_ca_file_that_is_none(corner: Corner, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("nothing")
    with pytest.raises(words.SettingUnusable) as refused:
        await find_broker(changed(corner, ssl_ca_file=file))
    assert_one_line(refused.value, "RECHARGE_KAFKA__SSL_CA_FILE")


async def test_a_topic_that_does_not_exist(corner: Corner) -> None:
    # Of a topic that it may describe the user hears that it is missing; of any other that it lacks the permission.
    await corner.delete_topic(f"{corner.site.topic}.dlt")
    async with Cluster(corner.settings().kafka) as cluster:
        with pytest.raises(words.TopicMissing) as missing:
            await cluster.check_topics()
    assert_one_line(missing.value, f"{corner.site.topic}.dlt", "RECHARGE_KAFKA__DEAD_LETTER_TOPIC")
    await corner.delete_topic(corner.site.topic)
    with pytest.raises(words.TopicMissing, match="RECHARGE_KAFKA__TOPIC"):
        await asyncio.wait_for(intake(corner.client, corner.settings(), beside=None).run(asyncio.Event()), 30)


async def test_a_compacted_topic(corner: Corner) -> None:
    async with corner.kafka_admin() as admin:
        resource = ConfigResource(ConfigResourceType.TOPIC, corner.site.topic, {"cleanup.policy": "compact,delete"})
        await admin.alter_configs([resource])
    async with Cluster(corner.settings().kafka) as cluster:
        with pytest.raises(words.TopicCompacted) as compacted:
            await cluster.check_topics()
    assert_one_line(compacted.value, corner.site.topic, "cleanup.policy=delete")


async def test_a_missing_permission_names_operation_and_resource(corner: Corner) -> None:
    settings = changed(corner, topic="somebody-elses")
    async with Cluster(settings) as cluster:
        with pytest.raises(words.PermissionMissing) as missing:
            await cluster.check_topics()
    assert_one_line(missing.value, "Describe", "topic 'somebody-elses'", repr(settings.sasl_username))


async def test_a_missing_permission_to_describe_settings(corner: Corner) -> None:
    # The dead-letter topic may be described, and its settings may not.
    settings = changed(corner, topic=f"{corner.site.topic}.dlt", dead_letter_topic=corner.site.topic)
    async with Cluster(settings) as cluster:
        with pytest.raises(words.PermissionMissing) as missing:
            await cluster.check_topics()
    assert_one_line(missing.value, "DescribeConfigs", f"topic '{settings.topic}'")


async def test_a_missing_permission_for_the_group_ends_the_intake(corner: Corner) -> None:
    settings = corner.settings(RECHARGE_KAFKA__GROUP_ID="somebody-elses")
    with pytest.raises(words.PermissionMissing) as missing:
        await asyncio.wait_for(intake(corner.client, settings, beside=None).run(asyncio.Event()), 60)
    assert_one_line(missing.value, "Read", "group 'somebody-elses'")


async def test_an_error_about_the_whole_group_is_no_group_without_offsets(
    corner: Corner, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Cluster(changed(corner, group_id="somebody-elses")) as cluster:
        # To find the coordinator takes the same permission; it is the one broker there is, so that the offsets themselves are refused.
        (leader,) = (await cluster.leaders(corner.site.topic)).values()

        async def found(*_: object) -> int:
            return leader

        monkeypatch.setattr(cluster._client, "coordinator_lookup", found)
        with pytest.raises(words.PermissionMissing) as missing:
            await cluster.committed({0})
    assert_one_line(missing.value, "group 'somebody-elses'")


async def test_a_missing_permission_to_write(corner: Corner) -> None:
    writer = RecordWriter(corner.settings().kafka)
    await writer.start()
    try:
        with pytest.raises(words.PermissionMissing) as missing:
            await writer.write(corner.site.topic, None, b"value", [])
    finally:
        await writer.stop()
    assert_one_line(missing.value, "Write", f"topic '{corner.site.topic}'")


async def test_a_record_that_is_too_large(corner: Corner) -> None:
    writer = RecordWriter(corner.settings().kafka)
    await writer.start()
    try:
        with pytest.raises(words.RecordTooLarge) as too_large:
            await writer.write(f"{corner.site.topic}.dlt", None, b"x" * 1_100_000, [("header", b"y" * 10)])
        written = await writer.write(f"{corner.site.topic}.dlt", None, b"x" * 900_000, [])
    finally:
        await writer.stop()
    assert_one_line(too_large.value, f"{corner.site.topic}.dlt", "1100016", "max.message.bytes")
    assert (written.partition, written.offset) == (0, 0)
