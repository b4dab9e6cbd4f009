"""Alerts and dashboard, held against the table of metrics; and by promtool, that Prometheus can read every expression."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from devstack.promtool import ensure_promtool
from recharge.instruments import INSTRUMENTS
from recharge.telemetry import Instrument, Kind

DEPLOY = Path(__file__).parents[2] / "deploy"
RUNBOOK = (DEPLOY.parent / "docs" / "runbook.md").read_text(encoding="utf-8")
SEVERITIES = {"critical", "warning"}
OF_PROMETHEUS = {"up", "process_resident_memory_bytes"}
"""Metrics that others make."""
ADDED = {"instance", "job", "le"}
"""Labels that Prometheus adds, or that a histogram's buckets bear."""


def read_yaml(name: str) -> Any:
    return YAML(typ="safe", pure=True).load(DEPLOY / "prometheus" / name)


RULES: list[dict[str, Any]] = [rule for group in read_yaml("alerts.yml")["groups"] for rule in group["rules"]]
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "recharge.json").read_text(encoding="utf-8"))
EXPRESSIONS = [rule["expr"] for rule in RULES] + [
    target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])
]


def by_metric() -> dict[str, Instrument]:
    """The instrument of each metric that Prometheus stores."""
    found: dict[str, Instrument] = {}
    for each in INSTRUMENTS:
        endings = ("_bucket", "_count", "_sum") if each.kind is Kind.HISTOGRAM else ("",)
        found |= {f"{each.name}{ending}": each for ending in endings}
    return found


METRICS = by_metric()


def used(expression: str) -> Iterator[tuple[str, str]]:
    """Each metric of an expression, with what stands in braces behind it."""
    without_text = re.sub(r'"[^"]*"', '""', expression)
    yield from re.findall(r"\b(recharge_\w+|up|process_\w+)\b(?:\{([^}]*)\})?", without_text)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_speaks_of_metrics_that_there_are_and_of_labels_that_they_have(expression: str) -> None:
    metrics = list(used(expression))
    assert metrics
    known = set(ADDED)
    for name, selector in metrics:
        assert name in METRICS or name in OF_PROMETHEUS
        labels = set(METRICS[name].labels) if name in METRICS else set()
        known |= labels
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector)) <= labels | ADDED
        if name in METRICS:
            assert ("rate(" in expression or "increase(" in expression) or METRICS[name].kind is Kind.GAUGE
    for grouped in re.findall(r"\b(?:by|on|without)\s*\(([^)]*)\)", expression):
        assert set(re.findall(r"\w+", grouped)) <= known


def test_a_label_value_in_an_expression_is_one_that_the_code_gives() -> None:
    words = (DEPLOY.parent / "recharge", DEPLOY.parent / "app", DEPLOY.parent / "ingest", DEPLOY.parent / "activities")
    code = "\n".join(file.read_text(encoding="utf-8") for folder in words for file in folder.rglob("*.py"))
    for expression in EXPRESSIONS:
        for label, value in re.findall(r'(\w+)=~?"([^"$]*)"', expression):
            if label not in ADDED:
                for word in value.split("|"):
                    assert f'"{word}"' in code, (expression, word)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_urgent_it_is_what_is_wrong_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["alert"].startswith("Recharge")
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in SEVERITIES
    assert rule["annotations"].keys() == {"summary", "runbook"}
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"
    assert f"\n### {rule['alert']}\n" in RUNBOOK


def test_the_runbook_has_no_entry_for_an_alert_that_is_gone() -> None:
    assert set(re.findall(r"^### (Recharge\w+)$", RUNBOOK, re.MULTILINE)) == {rule["alert"] for rule in RULES}


def test_every_alert_was_seen_to_fire_and_to_stay_quiet() -> None:
    tests = [check for each in read_yaml("alerts_test.yml")["tests"] for check in each["alert_rule_test"]]
    fires = [check["alertname"] for check in tests if check["exp_alerts"]]
    quiet = [check["alertname"] for check in tests if not check["exp_alerts"]]
    assert list(dict.fromkeys(fires)) == quiet == [rule["alert"] for rule in RULES]


def test_prometheus_can_read_the_dashboard(tmp_path: Path) -> None:
    file = tmp_path / "dashboard.yml"
    expressions = [expression.replace("$__rate_interval", "1m") for expression in EXPRESSIONS]
    rules = [{"record": f"recharge:panel:{number}", "expr": each} for number, each in enumerate(expressions)]
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    command = [str(ensure_promtool(lambda _: None)), "check", "rules", str(file)]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_panel_says_what_it_shows_and_none_lies_over_another() -> None:
    taken: set[tuple[int, int]] = set()
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    for panel in DASHBOARD["panels"]:
        assert panel["title"]
        assert panel["type"] == "row" or panel["description"].endswith(".")
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken
        assert all(x < 24 for x, _ in cells)
        taken |= cells
