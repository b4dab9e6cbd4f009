"""The table of instruments: named by Prometheus's conventions, documented, fed, and shown by the process that it belongs to."""

import ast
import re
from pathlib import Path

import pytest

from app.exposition import Exposition
from recharge import instruments, telemetry
from recharge.instruments import INSTRUMENTS
from recharge.telemetry import Instrument, Kind, Of, Reading
from tests.support.http import samples

ROOT = Path(__file__).parents[2]
UNITS = ("_seconds", "_records", "_offsets", "_total", "_info")
WITHOUT_UNIT = {
    "recharge_ready",
    "recharge_stalled",
    "recharge_partition_commit_offset",
    "recharge_partition_stopped",
    "recharge_records_in_flight",
    "recharge_records_in_flight_max",
    "recharge_lanes_held",
    "recharge_intake_paused",
    "recharge_refused_in_a_row",
    "recharge_provider_calls_in_flight",
    "recharge_records_waiting",
}
"""States, and counts whose name says what is counted."""


@pytest.mark.parametrize("each", INSTRUMENTS, ids=lambda each: each.name)
def test_an_instrument_is_named_as_prometheus_has_it(each: Instrument) -> None:
    assert re.fullmatch(r"recharge(_[a-z]+)+", each.name)
    assert each.name.endswith(UNITS) is (each.name not in WITHOUT_UNIT)
    assert (each.kind is Kind.COUNTER) is each.name.endswith("_total")
    assert (each.kind is Kind.HISTOGRAM) is bool(each.buckets)
    assert list(each.buckets) == sorted(set(each.buckets))
    assert all(re.fullmatch(r"[a-z_]+", label) for label in each.labels)
    assert each.help.endswith(".") or ";" in each.help


def test_no_two_have_one_name_and_all_that_are_declared_are_in_the_table() -> None:
    declared = [each for each in vars(instruments).values() if isinstance(each, Instrument)]
    assert list(INSTRUMENTS) == declared
    assert len({each.name for each in INSTRUMENTS}) == len(INSTRUMENTS)


def test_the_page_of_metrics_shows_the_table() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `(recharge_\w+)` \| (\w+) \| (.*?) \| (.+) \|$", page, flags=re.MULTILINE)
    assert documented == [
        (each.name, each.kind, ", ".join(f"`{label}`" for label in each.labels), each.help) for each in INSTRUMENTS
    ]


def test_every_instrument_is_fed_somewhere_with_as_many_labels_as_it_has() -> None:
    fed: set[str] = set()
    for folder in ("activities", "app", "ingest"):
        for file in (ROOT / folder).rglob("*.py"):
            for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(call, ast.Call) and call.args and (name := instrument_of(call.args[0])):
                    fed.add(name)
                    if isinstance(call.func, ast.Attribute) and not any(isinstance(a, ast.Starred) for a in call.args):
                        values = {"count": 1, "observe": 2}[call.func.attr]
                        assert len(call.args) - values == len(getattr(instruments, name).labels), (file.name, name)
    assert fed == {name for name, each in vars(instruments).items() if isinstance(each, Instrument)}


def instrument_of(argument: ast.expr) -> str | None:
    """The name of the instrument that is written here as `instruments.NAME`."""
    is_one = isinstance(argument, ast.Attribute) and isinstance(argument.value, ast.Name)
    return argument.attr if is_one and argument.value.id == "instruments" else None  # type: ignore[attr-defined]


@pytest.mark.parametrize("of", [Of.INTAKE, Of.WORKER])
def test_a_process_shows_its_own_instruments_and_no_others(of: Of) -> None:
    shown = Exposition(frozenset({Of.ANY, of}), list).text().decode()
    names = set(re.findall(r"^# HELP (recharge_\w+)", shown, flags=re.MULTILINE)) - {""}
    created = {name for name in names if name.endswith("_created")}
    assert names - created == {each.name for each in INSTRUMENTS if each.of in {Of.ANY, of}}


def test_a_counter_with_a_label_is_there_before_the_first_event_so_that_prometheus_sees_it_rise() -> None:
    shown = samples(Exposition(frozenset(Of), list).text().decode())
    labelled = [each for each in INSTRUMENTS if each.kind is not Kind.GAUGE and each.labels]
    for each in labelled:
        # No alert rests on how records end, and most pairs of labels never come.
        assert bool(each.values) is (each is not instruments.RECORDS_FINAL)
        ending = "_count" if each.kind is Kind.HISTOGRAM else ""
        for value in each.values:
            (label,) = each.labels
            assert shown[f'{each.name}{ending}{{{label}="{value}"}}'] == 0
    assert len(labelled) > 6


def test_what_is_counted_is_shown_and_what_a_process_does_not_show_is_dropped() -> None:
    exposition = Exposition(
        frozenset({Of.ANY, Of.WORKER}), lambda: [Reading(instruments.RECORDS_WAITING, 3, ("in_doubt",))]
    )
    telemetry.bind(exposition)
    try:
        telemetry.count(instruments.ATTEMPTS, "charged")
        telemetry.count(instruments.ATTEMPTS, "charged")
        telemetry.count(instruments.CONTRADICTIONS)
        telemetry.count(instruments.REBALANCES)
        telemetry.observe(instruments.PROVIDER_CALL, 0.3, "charged")
    finally:
        telemetry.bind(None)
    telemetry.count(instruments.ATTEMPTS, "charged")
    shown = samples(exposition.text().decode())
    assert shown['recharge_attempts_total{outcome="charged"}'] == 2
    assert shown["recharge_late_answers_contradicting_total"] == 1
    assert shown['recharge_provider_call_seconds_bucket{le="0.2",outcome="charged"}'] == 0
    assert shown['recharge_provider_call_seconds_bucket{le="0.4",outcome="charged"}'] == 1
    assert shown['recharge_records_waiting{state="in_doubt"}'] == 3
    assert not any(name.startswith("recharge_rebalances") for name in shown)
