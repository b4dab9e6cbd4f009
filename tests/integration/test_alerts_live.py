"""The alerts and the dashboard of deploy/ on a real Prometheus that reads the real processes, and what the runbook says to do then.

Every alert is provoked here, or in test_alerts_live_long.py, by its own expression; how long a trouble has to last before it is told
(`for:`) is left out. That each also stays quiet where nothing is wrong, and after how long it fires, is tested by promtool with
deploy/prometheus/alerts_test.yml.
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
from tests.support.alerting import WHO, answers, looks, panels, rules, says, until_firing, until_quiet, until_seen
from tests.support.http import Ports, listening
from tests.support.records import value
from tests.support.service import Service, killed, logged_by

WITHOUT_A_COMMAND = "RechargeProviderSlow"
"""Its entry names a panel of the dashboard."""

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


def named_in_calls_of(function: str) -> set[str]:
    """The alerts that these tests name in calls of one function."""
    return {
        name
        for file in Path(__file__).parent.glob("test_alerts_live*.py")
        for arguments in re.findall(rf"\b{function}\(([^)]*)\)", file.read_text(encoding="utf-8"))
        for name in re.findall(r'"(Recharge\w+)"', arguments)
    }


def test_every_alert_is_provoked_and_the_commands_of_its_runbook_entry_are_run_beside_it() -> None:
    alerts = {rule["alert"] for rule in rules()}
    assert named_in_calls_of("until_firing") == alerts
    assert named_in_calls_of("answers") == alerts - {WITHOUT_A_COMMAND}
    assert [alert for alert in alerts if not looks(alert)] == [WITHOUT_A_COMMAND]


async def test_the_dashboard_shows_and_the_alerts_tell_what_is_wrong_and_the_runbooks_commands_answer(
    service: Service, prometheus: Prometheus, ports: Ports
) -> None:
    site, provider = service.site, service.stack.simulator.client
    refused, doubted, _, tried, held, ended = (service.workflow_id(partition, 0) for partition in range(6))
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
    told = await answers(
        service,
        "RechargeTwoReleases", "RechargeLaneHeld", "RechargeIntakePaused", "RechargeInDoubt", "RechargeDoubtHorizonNear",
        "RechargeHeld", "RechargeProviderTrouble", "RechargeUnknownOutcomes", "RechargeManyRefused",
        record={"RechargeLaneHeld": ended, "RechargeDoubtHorizonNear": doubted, "RechargeManyRefused": refused},
    )  # fmt: skip
    assert "(build 2, not current, gets no work)" in told["RechargeTwoReleases"]
    assert "intake: paused by Ann since 20" in told["RechargeIntakePaused"]
    assert "not_charged, newest: 401 Unauthorized" in told["RechargeProviderTrouble"]
    for alert, each in (("RechargeInDoubt", doubted), ("RechargeUnknownOutcomes", doubted), ("RechargeHeld", held)):
        assert f"recharge resolve {each} --charged|--not-charged|--skip" in told[alert]
    assert "of the call it was heard: 500 Internal Server Error" in told["RechargeUnknownOutcomes"]
    assert "503 Service Unavailable" in told["RechargeDoubtHorizonNear"].partition("Look-ups")[2]
    assert f"{ended} (retrying, begun" in told["RechargeLaneHeld"]
    assert "its workflow is terminated: recharge resolve" in told["RechargeLaneHeld"]
    assert logged_by(running, "lane is held: the workflow ended without a final state", workflow_id=ended)
    assert refused in told["RechargeManyRefused"]
    assert "422 Unprocessable" in told["RechargeManyRefused"]

    second.kill()
    await says(service, "resume", *WHO)
    await until_firing(prometheus, "RechargeDown")
    left = await answers(service, "RechargeDown")
    assert re.search(r"workers: \d poll: .*\nintakes: 1 in the group", left["RechargeDown"])
    await until_quiet(prometheus, "RechargeIntakePaused")
    await killed([running, second])
