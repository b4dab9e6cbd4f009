"""A rejected record is produced anew by an operator, and is still carried out once."""

import json
import re

import pytest

from devstack.processes import wait_until
from devstack.simulator.client import Rule
from devstack.site import Site
from devstack.stack import Devstack
from tests.conftest import SiteMaker
from tests.integration.test_end_to_end import drained, ledger_rows, produce
from tests.support.command import ask
from tests.support.records import value


async def redrive(site: Site, *arguments: str) -> tuple[int, str]:
    """Run the command as a user who may write to the topic and read the dead letters, and return its status and what it told."""
    process = site.spawn("redrive", *arguments)
    status = await process.wait(30)
    return status, process.log_file.read_text()


async def states(stack: Devstack, site: Site) -> list[str]:
    return [row[2] for row in await ledger_rows(stack, site)]


async def test_a_redriven_record_is_carried_out_once_however_often_it_is_redriven(
    stack: Devstack, make_site: SiteMaker
) -> None:
    site = await make_site()
    client = stack.simulator.client
    first = f"{site.source}:{site.topic}:0:0"
    await client.set_rules(Rule("refuse+ok", reference=first))
    await produce(stack, site, [value(requestId="r-1")])
    site.spawn("run")
    try:
        await drained(stack, site)
        assert await states(stack, site) == ["rejected"]
        for _ in range(2):
            status, told = await redrive(site, "0/0", "--by", "ana", "--note", "the account was opened")
            assert status == 0, told
            assert "produced anew" in told
        await drained(stack, site)
    finally:
        await client.clear_rules()
    assert await states(stack, site) == ["rejected", "succeeded", "rejected"]
    assert len(await client.charges(f"{site.source}:")) == 1
    reason = (await ledger_rows(stack, site))[2][3]
    assert f"duplicate of {site.source}:{site.topic}:0:1" in reason
    decisions = await stack.mysql.execute(f"SELECT action, decided_by FROM {site.names.database}.operator_actions")
    assert decisions == [("redrive", "ana"), ("redrive", "ana")]


@pytest.mark.parametrize(
    ("redriven", "ended"),
    [
        # A copy that was rejected since another one was carried out.
        ([0, 0, 2], ["rejected", "succeeded", "rejected", "rejected"]),
        # A copy that the provider refused, after another one was carried out.
        ([0, 0, 1], ["rejected", "rejected", "succeeded", "rejected"]),
    ],
    ids=["copy-was-a-duplicate", "copy-was-refused"],
)
async def test_a_copy_of_a_copy_is_rejected_where_another_one_was_carried_out(
    stack: Devstack, make_site: SiteMaker, redriven: list[int], ended: list[str]
) -> None:
    site = await make_site()
    client = stack.simulator.client
    ids = [f"{site.source}:{site.topic}:0:{offset}" for offset in range(4)]
    refused = [each for each, state in zip(ids[:2], ended, strict=False) if state == "rejected"]
    await client.set_rules(*(Rule("refuse+ok", reference=each) for each in refused))
    # Without a requestId nothing but its copies' header tells what a record repeats.
    await produce(stack, site, [value()])
    site.spawn("run")
    try:
        await drained(stack, site)
        for offset in redriven:
            status, told = await redrive(site, f"0/{offset}", "--by", "ana", "--note", "the account was opened")
            assert status == 0, told
            await drained(stack, site)
    finally:
        await client.clear_rules()
    found = await ledger_rows(stack, site)
    carried_out = ids[ended.index("succeeded")]
    assert [row[2] for row in found] == ended
    assert [charge.reference for charge in await client.charges(f"{site.source}:")] == [carried_out]
    assert f"duplicate of {carried_out}" in found[3][3]
    shown = await ask("show", ids[3], "--json", environment=site.environment)
    assert shown.json()["record"]["redrive_of"] == ids[0]
    screen = await ask("show", ids[3], environment=site.environment)
    assert re.search(rf"produced anew from +{re.escape(ids[0])}", screen.out), screen.out


async def test_only_what_was_rejected_or_invalid_is_redriven(stack: Devstack, make_site: SiteMaker) -> None:
    site = await make_site()
    await produce(stack, site, [value()])
    site.spawn("run")
    await drained(stack, site)
    status, told = await redrive(site, "0/0", "--by", "ana", "--note", "again")
    assert status == 1
    assert "only rejected and invalid records are redriven" in told
    status, told = await redrive(site, "0/99", "--by", "ana", "--note", "again")
    assert status == 1
    assert "no such record" in told
    status, told = await redrive(site, "0/0")
    assert status == 2
    assert "--by WHO --note WHY" in told


async def test_a_record_that_is_cut_in_the_ledger_is_redriven_whole_from_its_dead_letter(
    stack: Devstack, make_site: SiteMaker
) -> None:
    site = await make_site()
    raw = json.dumps({"operationType": "OneShotTransfer", "padding": "x" * 600_000}).encode()
    await produce(stack, site, [raw])
    site.spawn("run")
    await drained(stack, site)

    status, told = await redrive(site, "0/0", "--by", "ana", "--note", "the limit was raised")
    assert status == 0, told

    async def copied() -> bool:
        return [record.value for record in await stack.kafka.read_all(site.topic)] == [raw, raw]

    await wait_until(copied, 30, "the whole record stands in the topic twice")
    await drained(stack, site)
    assert await states(stack, site) == ["invalid", "invalid"]
