"""The alerts and the dashboard of deploy/, as a Prometheus on this machine evaluates them, and what the runbook says to look at then."""

import asyncio
import json
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from ruamel.yaml import YAML

from devstack.processes import wait_until
from devstack.prometheus import Prometheus
from devstack.server import minimal_environment
from tests.support.command import COMMAND_TIMEOUT_S, ask
from tests.support.http import get
from tests.support.service import Service

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
RULES_FILE: Final = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD_FILE: Final = DEPLOY / "grafana" / "recharge.json"
RUNBOOK: Final = (DEPLOY.parent / "docs" / "runbook.md").read_text(encoding="utf-8")
LOOKS: Final = (
    "recharge status",
    "recharge show ",
    "recharge audit",
    "recharge resolve --list",
    "temporal workflow list ",
    "curl http://HOST:9464/",
    "SELECT ",
)
"""How the runbook's commands begin that change nothing."""
STATEMENT: Final = "https://provider.example.com/v1/statement"
FIRING_TIMEOUT_S: Final = 90.0
WHO: Final = ("--by", "Ann", "--note", "a test")


class Panel(NamedTuple):
    """One expression of the dashboard, and the panel that shows it."""

    title: str
    expression: str


def rules() -> list[dict[str, Any]]:
    """The alert rules as they stand in deploy/."""
    return [rule for group in _read_rules()["groups"] for rule in group["rules"]]


def write_impatient_rules(file: Path) -> Path:
    """The same rules, which fire at once: their expressions are untouched, only how long each has to last is left out."""
    read = _read_rules()
    for group in read["groups"]:
        for rule in group["rules"]:
            rule.pop("for", None)
    # JSON is YAML as well.
    file.write_text(json.dumps(read))
    return file


def panels() -> Iterator[Panel]:
    """Every expression of the dashboard, with what Grafana writes in place of its variables."""
    for panel in json.loads(DASHBOARD_FILE.read_text(encoding="utf-8"))["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*")
            assert "$" not in expression, expression
            yield Panel(panel["title"], expression)


async def until_seen(prometheus: Prometheus, expression: str, series: int) -> None:
    """Wait until an expression has so many series."""

    async def seen() -> bool:
        return len(await prometheus.query(expression)) == series

    await wait_until(seen, FIRING_TIMEOUT_S, f"{expression} has {series} series", interval_s=0.1)


async def until_firing(prometheus: Prometheus, *alerts: str, timeout_s: float = FIRING_TIMEOUT_S) -> None:
    """Wait until each of these alerts fires."""
    firing: set[str] = set()

    async def all_fire() -> bool:
        nonlocal firing
        firing |= {rule.alert for rule in await prometheus.alert_rules() if rule.is_firing}
        return set(alerts) <= firing

    try:
        await wait_until(all_fire, timeout_s, f"{alerts} fire", interval_s=0.2)
    except Exception as error:
        error.add_note(f"Of these {sorted(set(alerts) - firing)} did not.")
        raise


async def until_quiet(prometheus: Prometheus, *alerts: str, timeout_s: float = FIRING_TIMEOUT_S) -> None:
    """Wait until none of these alerts fires."""

    async def none_fires() -> bool:
        return not any(rule.is_firing and rule.alert in alerts for rule in await prometheus.alert_rules())

    await wait_until(none_fires, timeout_s, f"{alerts} are quiet", interval_s=0.2)


def looks(alert: str) -> list[str]:
    """The commands of an alert's entry in the runbook that change nothing, as they stand there."""
    (entry,) = re.findall(rf"^### {alert}\n(.*?)(?=^### |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL)
    written = (
        inline.replace("\n", " ") or line for inline, line in re.findall(r"`([^`]+)`|^ {4}(\S.*)$", entry, re.MULTILINE)
    )
    return list(dict.fromkeys(each for each in written if each.startswith(LOOKS)))


async def answers(
    service: Service, *alerts: str, port: int = 0, record: str | Mapping[str, str] = ""
) -> dict[str, str]:
    """What the runbook's commands that look say while these alerts stand, all of each alert together.

    `record` is what its operator puts in for ID, by the alert where it is not the same for all of them; `port` is where the process
    that an alert names can be asked.
    """

    def typed(command: str, alert: str) -> str:
        named = record if isinstance(record, str) else record.get(alert, "")
        here = command.replace(STATEMENT, service.stack.simulator.client.statement_url)
        return re.sub(r"\bID\b", named, here.replace("HOST:9464", f"127.0.0.1:{port}"))

    commands = {alert: [typed(each, alert) for each in looks(alert)] for alert in alerts}
    distinct = list(dict.fromkeys(each for of_one in commands.values() for each in of_one))
    said = dict(zip(distinct, await asyncio.gather(*(_typed(service, each, port) for each in distinct)), strict=True))
    for command, told in said.items():
        assert told, f"{command} says nothing"
        # For whoever wants to read what an operator reads: pytest -rP shows it.
        sys.stdout.write(f"$ {command}\n{told}\n")
    return {alert: "\n".join(said[each] for each in commands[alert]) for alert in alerts}


async def _typed(service: Service, command: str, port: int) -> str:
    if command.startswith("SELECT "):
        return "\n".join(map(str, await service.stack.mysql.execute(command.removesuffix(";")))) or "no row"
    program, *arguments = shlex.split(command)
    match program:
        case "recharge":
            told = await ask(*arguments, environment=service.site.environment)
            # What cannot be asked is told on the screen, with the status 1; a wrong command is told on stderr, with 2.
            assert told.status in {0, 1}, told.err
            return told.out
        case "temporal":
            return await _run_temporal(service, arguments)
        case _:
            (url,) = arguments
            return (await get(port, url.removeprefix(f"http://127.0.0.1:{port}"))).text


async def _run_temporal(service: Service, arguments: list[str]) -> str:
    listing = await asyncio.create_subprocess_exec(
        Path(sys.executable).parent / "temporal",
        *arguments,
        env=minimal_environment() | service.site.environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(COMMAND_TIMEOUT_S):
        out, err = await listing.communicate()
    assert listing.returncode == 0, err.decode()
    return out.decode()


async def says(service: Service, *arguments: str) -> str:
    """What a command of the runbook prints."""
    told = await ask(*arguments, environment=service.site.environment)
    assert told.status == 0, told.err
    return told.out


def _read_rules() -> dict[str, Any]:
    read: dict[str, Any] = YAML(typ="safe", pure=True).load(RULES_FILE)
    return read
