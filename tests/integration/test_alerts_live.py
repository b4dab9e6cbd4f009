"""The alerts and the dashboard of deploy/ on a real Prometheus that reads the real processes, and what the runbook says to do then.

Every alert that can be provoked in bounded time is provoked here, by its own expression; how long a trouble has to last before it is
told (`for:`) is left out. `NOT_PROVOKED` names the others. That each also stays quiet where nothing is wrong, and after how long it
fires, is tested by promtool with deploy/prometheus/alerts_test.yml.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.client import Client

from devstack.prometheus import Prometheus
from devstack.simulator.client import Rule
from devstack.simulator.faults import RequestKind
from devstack.stack import Devstack
from tests.conftest import SiteMaker
from tests.support.alerting import WHO, panels, rules, says, until_firing, until_quiet, until_seen
from tests.support.http import Ports, listening
from tests.support.records import value
from tests.support.service import Service, killed, logged_by

NOT_PROVOKED = {
    "RechargeStalled": "a loop that hangs is a defect of ours, and the product has no hook to make one",
    "RechargePartitionBlocked": "its quarter of an hour stands in the expression, and is longer than a test may take",
}
"""Alerts that fire in promtool's tests alone, and why."""

LOOKUP = {
    "RECHARGE_PROVIDER__DUPLICATE_PROTECTION": "lookup",
    "RECHARGE_PROVIDER__TIMEOUT_S": "2",
    "RECHARGE_PROVIDER__PROCESSING_TIME_S": "0",
    "RECHARGE_PROVIDER__LOOKUP_FIRST_AFTER_S": "1",
    "RECHARGE_PROVIDER__LOOKUP_FORGETS_AFTER_S": "19",
}
"""A provider that forgets after 19 s."""


@pytest.fixture
async def service(stack: Devstack, make_site: SiteMaker, client: Client) -> AsyncIterator[Service]:
    yield Service.of(stack, await make_site(partitions=6, profile=LOOKUP), client)
    await stack.simulator.client.clear_rules()


def test_the_alerts_that_are_not_provoked_are_named() -> None:
    provoked = {
        name
        for file in Path(__file__).parent.glob("test_alerts_live*.py")
        for name in re.findall(r"until_firing\(([^)]*)\)", file.read_text(encoding="utf-8"))
        for name in re.findall(r'"(Recharge\w+)"', name)
    }
    assert provoked.isdisjoint(NOT_PROVOKED)
    assert provoked | NOT_PROVOKED.keys() == {rule["alert"] for rule in rules()}


async def test_the_dashboard_shows_and_the_alerts_tell_what_is_wrong_and_the_runbooks_commands_answer(
    service: Service, prometheus: Prometheus, ports: Ports
) -> None:
    site, provider = service.site, service.stack.simulator.client
    _, doubted, _, tried, held, ended = (service.workflow_id(partition, 0) for partition in range(6))
    await provider.set_rules(
        *(Rule("status:401", reference=each) for each in (tried, held, ended)),
        Rule("status:503", on=RequestKind.LOOKUP, prefix=f"{site.source}:"),
    )
    running = site.spawn("run", env=listening(ports[0]))
    second = site.spawn("worker", "--deployment", site.source, "--build-id", "2", env=listening(ports[1]))
    prometheus.watch("recharge", ports[:2])
    # What was counted before Prometheus looked for the first time is no rise.
    await until_seen(prometheus, 'recharge_attempts_total{outcome="refused"} == 0', 2)
    for partition, behaviour in enumerate(("status:422", "charge+status:500", "accept+accepted")):
        await service.send(partition, value(simulate=[behaviour]))
        await service.send(partition + 3, value())
    await service.send(0, *[value(simulate=["status:422"])] * 8, value(), b"not json")
    await service.until_states(
        {(0, 10): "invalid", (1, 0): "in_doubt", (2, 0): "pending", (4, 0): "retrying", (5, 0): "retrying"}
    )
    await service.handle(5).terminate("by a test")
    await asyncio.gather(says(service, "hold", held, *WHO), says(service, "pause", *WHO))
    await until_firing(
        prometheus,
        "RechargeTwoReleases", "RechargeLaneHeld", "RechargeIntakePaused", "RechargeInDoubt", "RechargeDoubtHorizonNear",
        "RechargeHeld", "RechargeProviderTrouble", "RechargeUnknownOutcomes", "RechargeManyRefused",
    )  # fmt: skip

    assert not [rule for rule in await prometheus.alert_rules() if rule.health != "ok"]
    assert not [panel.title for panel in panels() if not await prometheus.query(panel.expression)]
    status, waiting, of_doubt = await asyncio.gather(
        says(service, "status"), says(service, "resolve", "--list"), says(service, "show", doubted)
    )
    assert "intake: paused by Ann since 20" in status
    assert "not_charged, newest: 401 Unauthorized" in status
    assert "the provider last said: " in waiting
    assert all(f"recharge resolve {each} --charged|--not-charged|--skip" in waiting for each in (doubted, held))
    assert "Look-ups" in of_doubt
    assert logged_by(running, "lane is held: the workflow ended without a final state", workflow_id=ended)

    second.kill()
    await says(service, "resume", *WHO)
    await until_firing(prometheus, "RechargeDown")
    await until_quiet(prometheus, "RechargeIntakePaused")
    await killed([running, second])
