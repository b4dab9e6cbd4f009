"""Records that Kafka deleted before they were carried out: only a person gives them up, and only what is lost indeed."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin.records_to_delete import RecordsToDelete
from temporalio.client import Client

from activities.ledger import Gap, Gaps, Ledger, Opened
from devstack.processes import wait_until
from devstack.stack import Devstack
from ingest.starter import Starter
from operations import gaps
from operations.errors import Refused
from operations.telling import Discretion
from recharge.privacy import mask_text
from tests.conftest import SiteMaker
from tests.support.intake import FINAL_TIMEOUT_S, some_started
from tests.support.records import record, value
from tests.support.service import Service, logged_by, stopped, until_logged
from tests.support.unreadable import produce_unreadable


@pytest.fixture
async def service(stack: Devstack, make_site: SiteMaker, client: Client) -> Service:
    """A site whose group has to go on at offset 1 of a partition that begins at 4 and ends at 6."""
    service = Service.of(stack, await make_site(partitions=2), client)
    await service.send(0, *(value(requestId=f"r-{number}") for number in range(6)))
    await service.move_group({0: 1})
    async with service.kafka_admin() as admin:
        await admin.delete_records({TopicPartition(service.site.topic, 0): RecordsToDelete(before_offset=4)})
    return service


@pytest.fixture
async def ledger(service: Service) -> AsyncIterator[Gaps]:
    """The site's ledger, as the command uses it."""
    opened = Gaps(service.site.environment["RECHARGE_MYSQL__URL"], connections_max=1)
    yield opened
    await opened.close()


async def accepted(service: Service, ledger: Gaps) -> list[tuple[int, int, int, str, str]]:
    """The gaps that stand in the ledger."""
    found = await ledger.accepted(service.site.source, service.site.topic)
    return [(each.gap.partition, each.gap.first, each.gap.last, each.by, each.note) for each in found]


async def told(service: Service, *arguments: str, **environment: str) -> tuple[int, str]:
    """Run the command as a person would; its exit status, and all that it said."""
    ended = service.site.spawn("accept-gap", *arguments, env=environment)
    return await ended.wait(FINAL_TIMEOUT_S), ended.log_file.read_text()


async def test_what_is_not_lost_or_not_final_is_refused_and_nothing_is_written(service: Service, ledger: Gaps) -> None:
    kafka = service.settings().kafka
    acceptor = gaps.Acceptor(ledger, kafka, service.client, Discretion(mask=mask_text))

    async def refused(partition: int, first: int, last: int) -> str:
        gap = Gap(kafka.source, kafka.topic, partition, first, last)
        with pytest.raises(Refused) as why:
            await acceptor.accept(gap, by="ann", note="retention")
        assert "\n" not in str(why.value)
        return str(why.value)

    assert f"{kafka.topic} has no partition 7; it has 0 to 1" in await refused(7, 0, 1)
    assert "holds its records from offset 4 on, so 4 is not lost; 0:1-3 is" in await refused(0, 1, 4)
    assert "from offset 4 on, so 4 to 5 are not lost" in await refused(0, 4, 5)
    assert "from offset 4 on, so 6 to 9 are not lost" in await refused(0, 6, 9)  # not even written
    assert "from offset 0 on, so 0 is not lost" in await refused(1, 0, 0)

    # Started, and no worker has begun it: the ledger does not know it.
    starter = Starter(service.client, task_queue="nobody", hash_key=b"a key of the test", beside=None)
    started = record(kafka.source, 1, value(requestId="started"), topic=kafka.topic)
    waiting = asyncio.create_task(starter.carry_out(started, None))
    await wait_until(lambda: some_started(service, 1), FINAL_TIMEOUT_S, "it is started and listed")
    assert f"{service.workflow_id(0, 1)} stands in the gap and its workflow is open" in await refused(0, 1, 3)
    waiting.cancel()
    await service.handle(0, 1).terminate("by a test")

    async def is_closed() -> bool:
        return all(run.close_time is not None for run in await service.runs())

    await wait_until(is_closed, FINAL_TIMEOUT_S, "it is listed as closed")

    book = Ledger(service.site.environment["RECHARGE_MYSQL__URL"], connections_max=1)
    try:
        for offset in (2, 3):
            one = record(kafka.source, offset, value(requestId=f"open-{offset}"), topic=kafka.topic)
            assert isinstance(await book.open_attempt(one, secrets.token_hex(16), timeout_s=5), Opened)
    finally:
        await book.close()
    assert f"{service.workflow_id(0, 2)} stands in the gap and is sending, as are 1 more" in await refused(0, 1, 3)
    assert f"{service.workflow_id(0, 3)} stands in the gap and is sending: nothing" in await refused(0, 3, 3)
    assert await accepted(service, ledger) == []
    # What is not in the gap does not matter.
    gap = Gap(kafka.source, kafka.topic, 0, 1, 1)
    said = await acceptor.accept(gap, by="ann", note="retention")
    assert "2 to 3 are gone, too, and not accepted" in said
    assert await accepted(service, ledger) == [(0, 1, 1, "ann", "retention")]


async def test_what_nobody_can_read_is_given_up_and_nothing_beside_it(service: Service, ledger: Gaps) -> None:
    kafka = service.settings().kafka
    await service.send(1, value(requestId="before"))
    await produce_unreadable(service, 1, behind=1)
    await service.send(1, value(requestId="behind"))
    acceptor = gaps.Acceptor(ledger, kafka, service.client, Discretion(mask=mask_text))
    for first, last in ((0, 1), (2, 3), (1, 3), (2, 4), (0, 9)):
        with pytest.raises(Refused, match="not lost"):
            await acceptor.accept(Gap(kafka.source, kafka.topic, 1, first, last), by="ann", note="broken")
    running = service.site.spawn("run")
    await until_logged(running, "partition stands still", partition=1)
    (line,) = logged_by(running, "partition stands still", partition=1)
    assert "`recharge accept-gap 1:1-1 --by WHO --note WHY`" in line["problem"]
    await service.until_states({(1, 0): "succeeded"})
    await stopped([running])
    status, said = await told(service, "1:1-2", "--by", "ann", "--note", "broken headers")
    assert status == 0, said
    assert f"--topic {kafka.topic}:1 --reset-offsets --to-offset 3 --execute" in said
    await service.move_group({0: 4, 1: 3})
    running = service.site.spawn("run")
    await service.until_drained()
    await stopped([running])
    assert (await service.states())[1, 3] == "succeeded"
    await told(service, "0:0-3", "--by", "ann", "--note", "never ours")
    assert await audited(service) == (0, [])


async def test_a_gap_is_accepted_once_and_the_partition_goes_on_when_the_group_is_moved(
    service: Service, ledger: Gaps
) -> None:
    site = service.site
    running = site.spawn("run")
    await until_logged(running, "partition stands still")
    status, said = await told(service, "0:1-3", "--by", "ann", "--note", "retention was too short")
    assert (status, said.count("\n")) == (0, 1), said
    assert said.startswith(
        f"accepted: offsets 1 to 3 of partition 0 of {site.topic} are lost; to go on behind them, stop "
    )
    assert f"--group {site.group} --topic {site.topic}:0 --reset-offsets --to-offset 4 --execute" in said
    assert await accepted(service, ledger) == [(0, 1, 3, "ann", "retention was too short")]
    # The decision moves nothing.
    assert await service.committed() == {0: 1}
    assert await service.states() == {}
    await stopped([running])

    status, said = await told(service, "0:1-3", "--by", "eve", "--note", "again")
    assert (status, said.count("\n")) == (1, 1), said
    assert f"the gap 0:1-3 of {site.topic} was accepted already, by ann at " in said
    await service.move_group({0: 4})
    running = site.spawn("run")
    await service.until_drained()
    await stopped([running])
    assert await service.states() == {(0, 4): "succeeded", (0, 5): "succeeded"}
    assert await accepted(service, ledger) == [(0, 1, 3, "ann", "retention was too short")]

    # The audit honours what was accepted, and nothing else that is gone.
    status, found = await audited(service)
    assert (status, [each["workflow_id"] for each in found]) == (1, [service.workflow_id(0, 0)]), found
    await told(service, "0:0-0", "--by", "ann", "--note", "never ours")
    assert await audited(service) == (0, [])


async def audited(service: Service) -> tuple[int, list[Any]]:
    """The exit status of the audit, and its violations."""
    ended = service.site.spawn("audit", "--json")
    status = await ended.wait(FINAL_TIMEOUT_S)
    said = ended.log_file.read_text()
    violations: list[Any] = json.loads(said[said.index("{") : said.rindex("}") + 1])["violations"]
    return status, violations


async def test_a_wrong_gap_or_a_server_that_is_away_ends_in_one_line(service: Service, ledger: Gaps) -> None:
    person = ("--by", "ann", "--note", "why")
    nobody = "mysql://nobody:secret-word@127.0.0.1:1/nothing"
    for arguments, environment, status in [
        (("0:3-1", *person), {}, 2),
        (("0:1-3", "--by", " ", "--note", "why"), {}, 2),
        (("0:1-3", *person), {"RECHARGE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"}, 1),
        (("0:1-3", *person), {"RECHARGE_MYSQL__URL": nobody}, 1),
    ]:
        ended, said = await told(service, *arguments, **environment)
        assert (ended, said.count("\n")) == (status, 1), said
        assert "secret-word" not in said
    assert await accepted(service, ledger) == []
