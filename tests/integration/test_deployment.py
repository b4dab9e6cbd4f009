"""Releases with open workflows: a record that waits goes on with whatever build is current, and hangs on no retired worker."""

from collections.abc import Callable

import pytest
from temporalio.client import Client

from app.deployment import Deployment, DeploymentProblem
from devstack.processes import ManagedProcess, wait_until
from devstack.site import Site
from devstack.stack import Devstack
from operations.pollers import queues
from recharge import limits
from recharge.outcome import Action
from tests.conftest import SiteMaker
from tests.support.command import ask
from tests.support.deployment import make_current
from tests.support.intake import FINAL_TIMEOUT_S
from tests.support.records import value
from tests.support.service import Service, logged_by, stopped, until_logged

NONE = {"RECHARGE_PROVIDER__TIMEOUT_S": "2", "RECHARGE_PROVIDER__PROCESSING_TIME_S": "0"}


def worker_of(site: Site, name: str) -> Callable[[str], ManagedProcess]:
    return lambda build_id: site.spawn("worker", "--deployment", name, "--build-id", build_id)


async def test_records_that_wait_go_on_with_the_next_build_and_back_again(
    stack: Devstack, client: Client, make_site: SiteMaker
) -> None:
    site = await make_site(partitions=2, profile=NONE)
    service = Service.of(stack, site, client)
    name = site.source.replace(":", "-")
    worker = worker_of(site, name)
    first = worker("1.0")
    await until_logged(first, "this build is not current")
    (told,) = logged_by(first, "this build is not current")
    assert told["to_do"].endswith(f"set-current-version --deployment-name {name} --build-id 1.0")
    await make_current(stack, name, "1.0")
    await until_logged(first, "this build is current")
    # One record waits in doubt in each partition, with the first build.
    for partition in (0, 1):
        await service.send(partition, value(simulate=["charge+status:500"]), value())
    intake = site.spawn("ingest")
    await service.until_states({(0, 0): "in_doubt", (1, 0): "in_doubt"})
    second = worker("1.1")
    await until_logged(second, "this build is not current")
    await until_builds(service, {"1.0": True, "1.1": False}, shown="(build 1.1, not current, gets no work)")
    await make_current(stack, name, "1.1")
    await until_builds(service, {"1.0": False, "1.1": True}, shown="(build 1.0, not current, gets no work)")
    await stopped([first])
    # The release is rolled out, and its first worker is gone: one record is resolved, and the one behind it is carried out.
    await service.decide(0, Action.CHARGED)
    await service.until_states({(0, 0): "succeeded", (0, 1): "succeeded", (1, 0): "in_doubt"})
    assert logged_by(second, "attempt answered")
    # And back: the old build takes over what waits.
    again = worker("1.0")
    await until_logged(again, "this build is not current")
    await make_current(stack, name, "1.0")
    await until_logged(again, "this build is current")
    await stopped([second])
    await service.decide(1, Action.CHARGED)
    await service.until_drained()
    assert set((await service.states()).values()) == {"succeeded"}
    assert logged_by(again, "attempt answered")
    await stopped([again, intake])


async def until_builds(service: Service, expected: dict[str, bool], *, shown: str) -> None:
    """Wait until Temporal tells of these builds whether each is current; the screen of `recharge status` shows this text then."""

    async def told() -> bool:
        found = await queues(service.client, service.site.task_queue, timeout_s=limits.RPC_TIMEOUT_S)
        return all({each.build_id: each.is_current for each in queue.pollers} == expected for queue in found)

    await wait_until(told, FINAL_TIMEOUT_S, f"Temporal tells {expected}", interval_s=0.1)
    assert shown in (await ask("status", environment=service.site.reader_environment)).out


async def test_one_process_of_a_deployment_starts_its_records_eagerly_too(
    stack: Devstack, client: Client, make_site: SiteMaker
) -> None:
    site = await make_site()
    name = f"{site.source}-eager"
    service = Service.of(stack, site, client)
    process = site.spawn("run", "--deployment", name, "--build-id", "1")
    await until_logged(process, "this build is not current")
    await make_current(stack, name, "1")
    await service.send(0, value(), value())
    await service.until_drained()
    await stopped([process])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--deployment", "d"), "--build-id is missing"),
        (("--build-id", "1"), "--deployment is missing"),
        (("--deployment", "a.b", "--build-id", "1"), "--deployment 'a.b'"),
        (("--deployment", "a", "--build-id", "1 2"), "--build-id '1 2'"),
    ],
)
def test_half_a_deployment_or_a_name_that_temporal_would_refuse_is_refused_at_once(
    arguments: tuple[str, ...], told: str
) -> None:
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    with pytest.raises(DeploymentProblem, match=told):
        Deployment.of(options.get("--deployment"), options.get("--build-id"))
