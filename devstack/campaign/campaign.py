"""One campaign from its plan to its verdict."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from devstack.campaign.fleet import Fleet
from devstack.campaign.person import Operator
from devstack.campaign.plan import PARTITIONS, PROCESSING_TIME_S, TIMEOUT_S, Place, Plan
from devstack.campaign.records import LOOKUP_BEHAVIOURS, PlannedRecord
from devstack.campaign.timeline import Timeline
from devstack.campaign.verdict import Produced, audit_problems, charge_problems, leak_problems, order_problems
from devstack.campaign.weather import Weather
from devstack.errors import DevstackError, WaitTimeoutError
from devstack.faketime import OwnClock, ensure_faketime
from devstack.leaks import Watched
from devstack.processes import ManagedProcess, wait_until
from devstack.simulator.client import Rule
from devstack.simulator.faults import RequestKind
from devstack.site import Site
from devstack.stack import Devstack
from devstack.sweep.rig import servers
from devstack.sweep.service import through
from devstack.wire.disturbed import DisturbedWire

_MIGRATE_TIMEOUT_S: Final = 60.0
_DRAINED_TIMEOUT_S: Final = 420.0
"""After the last fault: sessions that have to run out, a doubt in every lane one after another, and a person for some of them."""
_AUDIT_TIMEOUT_S: Final = 120.0
_POLL_S: Final = 0.5
_LAST_LINES: Final = 40
_SERVICE: Final = {
    "RECHARGE_PROVIDER__TIMEOUT_S": f"{TIMEOUT_S:g}",
    "RECHARGE_PROVIDER__PROCESSING_TIME_S": f"{PROCESSING_TIME_S:g}",
    "RECHARGE_PROVIDER__LOOKUP_FIRST_AFTER_S": "0.2",
}


@dataclass
class Result:
    """What came of one campaign. `problems` are the promises that were broken, each in one line."""

    seed: int
    records: int
    faults: int
    commit: str = ""
    date: str = ""
    shape: str = ""
    took_s: float = 0.0
    drained_s: float = 0.0
    records_per_s: float = 0.0
    posts: int = 0
    charges: int = 0
    decisions: int = 0
    surprises: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class Campaign:
    """One plan on a site of its own. The stack's servers are killed and restarted meanwhile, so nobody else may use it.

    Args:
        stack: the servers.
        plan: what happens.
        without: a safeguard that the service's processes run without (`devstack.without`).
    """

    def __init__(self, stack: Devstack, plan: Plan, without: str | None = None) -> None:
        self._without = without
        self._stack = stack
        self.plan = plan
        self.timeline: Timeline | None = None
        self._kafka_is_up = asyncio.Lock()
        self._produced: dict[tuple[int, int], Produced] = {}
        self._moments: dict[str, tuple[datetime, datetime]] = {}
        """When each record got its row, and when it was last changed, in UTC."""

    async def run(self) -> Result:
        """Carry the plan out, bring everything to its end, and judge it."""
        plan = self.plan
        began_s = time.monotonic()
        site = await self._make_site()
        result = Result(plan.seed, len(plan.records), len(plan.faults), shape=_told(plan))
        with Timeline(site.folder / "timeline.jsonl") as timeline:
            self.timeline = timeline
            timeline.note("plan", command=plan.command, shape=result.shape)
            async with AsyncExitStack() as cleanup:
                await self._carry_out(site, timeline, result, cleanup)
        result.decisions = sum(line["what"] == "operator" for line in timeline.lines)
        await self._judge(site, result)
        result.took_s = round(time.monotonic() - began_s, 1)
        result.records_per_s = round(len(plan.records) / max(result.drained_s, 1.0), 1)
        return result

    async def _carry_out(self, site: Site, timeline: Timeline, result: Result, cleanup: AsyncExitStack) -> None:
        """Let everything happen that is planned, heal it, and wait until every record has come to its end."""
        plan, stack = self.plan, self._stack
        wires = [
            await cleanup.enter_async_context(DisturbedWire(*servers(stack, listener)))
            for listener in stack.kafka.proxied
        ]
        fleet = await cleanup.enter_async_context(await self._fleet(site, timeline, wires))
        await fleet.until_up()
        timeline.begin()
        can_look_up = plan.shape.duplicate_protection == "lookup"
        operator = Operator(stack, site, timeline, can_look_up=can_look_up)
        weather = Weather(stack, fleet, wires, operator, timeline, self._kafka_is_up)
        async with _in_background(operator.decide_what_waits()):
            await _together(self._produce(site, timeline), weather.blow(plan.faults))
            timeline.note("healed")
            for wire in wires:
                wire.calm()
            await stack.simulator.client.clear_rules()
            result.problems += await self._drain(site, operator)
        result.drained_s = round(timeline.now_s, 1)
        timeline.note("drained")
        await fleet.stop()
        result.surprises = fleet.surprises

    async def _fleet(self, site: Site, timeline: Timeline, wires: list[DisturbedWire]) -> Fleet:
        """The service's processes, each behind its wire."""
        environments = [through(wire, self._stack, site) for wire in wires]
        library = await asyncio.to_thread(ensure_faketime, lambda _message: None)
        clocks = {
            place.name: OwnClock(library, site.folder / f"{place.name}.clock")
            for place in self.plan.shape.places
            if place.has_own_clock
        }

        def start(place: Place, own: Mapping[str, str]) -> ManagedProcess:
            return site.spawn(place.command, env={**environments[place.wire], **own}, without=self._without)

        return Fleet(self.plan.shape, start, timeline, clocks)

    def around_first_problem(self, result: Result) -> list[dict[str, Any]]:
        """The timeline around the first violation: while its record was under way, or the timeline's end where it is about none."""
        if self.timeline is None:
            return []
        for problem in result.problems:
            for workflow_id, (first, last) in self._moments.items():
                if problem.startswith(f"{workflow_id}:"):
                    return self.timeline.around(first, last)
        return self.timeline.lines[-_LAST_LINES:]

    async def _make_site(self) -> Site:
        shape = self.plan.shape
        profile = _SERVICE | {
            "RECHARGE_INGEST__ORDERING": shape.ordering,
            "RECHARGE_PROVIDER__DUPLICATE_PROTECTION": shape.duplicate_protection,
        }
        site = await self._stack.site(f"campaign-{self.plan.seed}", partitions=PARTITIONS, profile=profile)
        migration = site.spawn("migrate")
        if await migration.wait(_MIGRATE_TIMEOUT_S) != 0:
            raise DevstackError(f"recharge migrate failed:\n{migration.tail(5)}")
        await self._stack.simulator.client.honour_keys(shape.duplicate_protection == "idempotency_key")
        prefix = f"{site.source}:"
        await self._stack.simulator.client.set_rules(
            *(Rule(each, on=RequestKind.LOOKUP, prefix=prefix, count=1) for each in LOOKUP_BEHAVIOURS)
        )
        return site

    async def _produce(self, site: Site, timeline: Timeline) -> None:
        """Write the records at their times, several at once where it is late. Kafka's outages are waited for."""
        left = list(self.plan.records)
        while left:
            await asyncio.sleep(max(0.0, left[0].at_s - timeline.now_s))
            due = [record for record in left if record.at_s <= timeline.now_s]
            left = left[len(due) :]
            async with self._kafka_is_up:
                places = await self._stack.kafka.produce(site.topic, [_as_kafka_has_it(record) for record in due])
            for record, (partition, offset) in zip(due, places, strict=True):
                self._produced[partition, offset] = Produced(partition, offset, record.key, record.value)

    async def _drain(self, site: Site, operator: Operator) -> list[str]:
        """Wait until everything is committed; what is wrong where it does not come to that."""
        await wait_until(operator.resume, _MIGRATE_TIMEOUT_S, "the intake is resumed", interval_s=_POLL_S)
        ends = dict.fromkeys(range(PARTITIONS), 0)
        for partition, offset in self._produced:
            ends[partition] = max(ends[partition], offset + 1)

        async def is_drained() -> bool:
            committed = await self._stack.kafka.committed(site.group, site.topic)
            return all(committed.get(partition, 0) >= end for partition, end in ends.items())

        try:
            await wait_until(is_drained, _DRAINED_TIMEOUT_S, "everything is committed", interval_s=_POLL_S)
        except WaitTimeoutError:
            committed = await self._stack.kafka.committed(site.group, site.topic)
            return [
                f"{site.source}:{site.topic}:{partition}:{committed.get(partition, 0)}: not final after {_DRAINED_TIMEOUT_S:g} s"
                for partition, end in ends.items()
                if committed.get(partition, 0) < end
            ]
        return []

    async def _judge(self, site: Site, result: Result) -> None:
        """Everything that can be wrong now that all is over."""
        client = self._stack.simulator.client
        prefix = f"{site.source}:{site.topic}:"
        report = await self._audit(site)
        result.counts = {name: count for name, count in report["json"].get("counts", {}).items() if count}
        result.problems += audit_problems(report["status"], report["json"])
        charges = await client.charges(prefix)
        posts = await client.posts(prefix)
        result.charges, result.posts = len(charges), len(posts)
        result.problems += charge_problems(charge.reference for charge in charges)
        ordering = self.plan.shape.ordering
        result.problems += [
            f"{prefix}{problem}".replace("/", ":", 1)
            for problem in order_problems(
                [_position(post.reference) for post in posts],
                lambda partition, offset: self._produced[partition, offset].lanes(ordering),
            )
        ]
        self._moments = await self._read_moments(site)
        result.problems += await asyncio.to_thread(self._leaks, site)

    async def _read_moments(self, site: Site) -> dict[str, tuple[datetime, datetime]]:
        rows = await self._stack.mysql.execute(
            f"SELECT workflow_id, created_at, updated_at FROM {site.names.database}.recharges"  # noqa: S608  # the stack's own names
        )
        return {workflow_id: (first.replace(tzinfo=UTC), last.replace(tzinfo=UTC)) for workflow_id, first, last in rows}

    async def _audit(self, site: Site) -> dict[str, Any]:
        url = f"{self._stack.simulator.client.statement_url}?prefix={site.source}:"
        process = site.spawn("audit", "--json", "--statement", url)
        status = await process.wait(_AUDIT_TIMEOUT_S)
        text = process.log_file.read_text(encoding="utf-8")
        try:
            return {"status": status, "json": json.loads(text)}
        except ValueError:
            return {"status": status, "json": {"violations": []}, "text": text}

    def _written(self, site: Site) -> list[Path]:
        """What the campaign has written for people: logs of the servers and of every process, commands' outputs, the timeline."""
        servers_logs = [server.log_file for server in self._stack.servers]
        return [*servers_logs, *site.folder.rglob("*.log"), *site.folder.rglob("*.jsonl")]

    def _leaks(self, site: Site) -> list[str]:
        watched = Watched()
        watched.add_values(record.value for record in self.plan.records)
        watched.add_secrets_below(self._stack.folder)
        return leak_problems(watched.leaks(self._written(site)))


async def _together(*works: Coroutine[None, None, None]) -> None:
    """Do all of it; what fails is raised as it is, without the group around it."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except ExceptionGroup as errors:
        first: Exception = errors
        while isinstance(first, ExceptionGroup):
            first = first.exceptions[0]
        raise first from errors


@contextlib.asynccontextmanager
async def _in_background(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _told(plan: Plan) -> str:
    shape = plan.shape
    names = ", ".join(place.name for place in shape.places if not place.is_spare)
    instance = "with" if shape.has_instance_ids else "without"
    return f"order {shape.ordering}, {shape.duplicate_protection}, {instance} instance ids; {names}"


def _as_kafka_has_it(record: PlannedRecord) -> tuple[bytes | None, bytes | None, int, list[tuple[str, bytes]]]:
    return record.key, record.value, record.partition, []


def _position(workflow_id: str) -> tuple[int, int]:
    _, _, partition, offset = workflow_id.split(":")
    return int(partition), int(offset)
