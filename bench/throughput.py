"""Records per second end to end, from the first start to the last commit, beside the bare loop in the same run."""

import json
import time
from dataclasses import asdict, dataclass, field

import psutil
from temporalio.client import Client

from activities.migrations import migrate
from app.temporal import register_search_attributes
from bench import bare
from devstack.processes import wait_until
from devstack.simulator.client import Rule
from devstack.site import Site
from devstack.stack import Devstack

_DRAINED_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Case:
    """One way to run."""

    ordering: str
    provider_ms: int
    records: int
    partitions: int = 8


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it."""

    name: str
    per_s: float
    cpu_ms_each: float
    servers_cpu_ms_each: dict[str, float] = field(default_factory=dict)
    """The same of each server of the local stack, which share the machine with us."""


def _value(number: int) -> bytes:
    """A record of an account of its own, so that in `account` order nothing waits for another."""
    return json.dumps(
        {
            "operationType": "OneShotTransfer",
            "phoneNumberDonor": f"+5917{number:07d}",
            "phoneNumberReceiver": f"+5916{number:07d}",
            "amount": f"{number % 90 + 1}.50",
            "currency": "BOB",
            "requestId": f"bench-{number}",
        }
    ).encode()


async def end_to_end(stack: Devstack, name: str, case: Case) -> Result:
    """Produce all records, start `recharge run`, and time from the first attempt to the last commit."""
    profile = {"RECHARGE_INGEST__ORDERING": case.ordering, "RECHARGE_LOG__LEVEL": "warning"}
    site = await stack.site(name, partitions=case.partitions, profile=profile)
    await migrate(site.migrate_environment["RECHARGE_MYSQL__URL"])
    if case.provider_ms:
        await stack.simulator.client.set_rules(
            Rule(f"delay:{case.provider_ms / 1000}+charge+ok", prefix=f"{site.source}:")
        )
    await stack.kafka.produce(
        site.topic, [(None, _value(number), number % case.partitions, []) for number in range(case.records)]
    )
    process = site.spawn("run")
    try:
        await stack.simulator.client.wait_for_posts(f"{site.source}:", 1, 60)
        began_s, cpu_s, servers_cpu_s = time.monotonic(), _cpu_s(process.pid), _servers_cpu_s(stack)
        await _until_committed(stack, site)
        took_s = time.monotonic() - began_s
        cpu_ms = (_cpu_s(process.pid) - cpu_s) / case.records * 1000
        servers = {
            name: round((after_s - servers_cpu_s[name]) / case.records * 1000, 1)
            for name, after_s in _servers_cpu_s(stack).items()
        }
    finally:
        await process.terminate(60)
        await stack.simulator.client.clear_rules()
    return Result(f"{case.ordering} order, provider {case.provider_ms} ms", case.records / took_s, cpu_ms, servers)


async def _until_committed(stack: Devstack, site: Site) -> None:
    async def all_committed() -> bool:
        committed = await stack.kafka.committed(site.group, site.topic)
        return committed == await stack.kafka.end_offsets(site.topic)

    await wait_until(all_committed, _DRAINED_TIMEOUT_S, "everything is committed", interval_s=0.5)


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _servers_cpu_s(stack: Devstack) -> dict[str, float]:
    return {server.name: _cpu_s(server.pid) for server in stack.servers}


async def measure(stack: Devstack, cases: list[Case], *, bare_count: int, in_flight: int) -> list[Result]:
    """All cases, and the bare loops before them."""
    await register_search_attributes(await Client.connect(stack.temporal.address))
    results = []
    for kind in (bare.RegularAndLocal, bare.TwoLocal):
        measured = await bare.run(stack.temporal.address, kind, count=bare_count, in_flight=in_flight)
        results.append(Result(f"bare loop, {kind.__name__}", measured.per_s, measured.cpu_ms_each))
    for number, case in enumerate(cases):
        results.append(await end_to_end(stack, f"bench-{number}", case))
    return results


def as_json(results: list[Result]) -> str:
    """The results for a file."""
    return json.dumps([asdict(result) for result in results], indent=2)
