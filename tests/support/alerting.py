"""The alerts and the dashboard of deploy/, as a Prometheus on this machine evaluates them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from ruamel.yaml import YAML

from devstack.processes import wait_until
from devstack.prometheus import Prometheus
from tests.support.command import ask
from tests.support.service import Service

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
RULES_FILE: Final = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD_FILE: Final = DEPLOY / "grafana" / "recharge.json"
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


async def says(service: Service, *arguments: str) -> str:
    """What a command of the runbook prints."""
    told = await ask(*arguments, environment=service.site.environment)
    assert told.status == 0, told.err
    return told.out


def _read_rules() -> dict[str, Any]:
    read: dict[str, Any] = YAML(typ="safe", pure=True).load(RULES_FILE)
    return read
