"""Checks that can fail: each safeguard of the service is taken away in turn, and the tests that it is kept by have to find that.

All of one run share a process of pytest's own, with a local stack of its own where their tests need one.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from devstack.errors import DevstackError
from devstack.without.safeguard import Safeguard, replaced, taken_away
from devstack.without.safeguards import SAFEGUARDS, by_name
from tests.unit.test_docs import code, table

ROOT = Path(__file__).parents[2]
PROOF = (ROOT / "docs" / "proof.md").read_text(encoding="utf-8")
QUICK = [each for each in SAFEGUARDS if each.is_quick]
SLOW = [each for each in SAFEGUARDS if not each.is_quick]
QUICK_TIMEOUT_S = 200.0
SLOW_TIMEOUT_S = 3600.0


def without(safeguards: list[Safeguard], report: Path, timeout_s: float) -> dict[str, Any]:
    """Run the tests of each safeguard without it, in a process of their own, and return what each of them found."""
    tests = sorted({test for each in safeguards for test in each.found_by})
    names = [each.name for each in safeguards]
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-p",
        "tests.support.without",
    ]
    argv += ["--without", *names, "--without-report", str(report), "--", *tests]
    # Nothing of the run around it: neither its worker's name nor its stack.
    env = {name: text for name, text in os.environ.items() if not name.startswith(("PYTEST_", "RECHARGE_"))}
    run = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=timeout_s, check=False)
    lines = report.read_text(encoding="utf-8").splitlines() if report.exists() else []
    found = {line["name"]: line for line in map(json.loads, lines)}
    assert found.keys() == set(names), run.stdout[-2000:] + run.stderr[-2000:]
    return found


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return without(QUICK, tmp_path_factory.mktemp("quick") / "report.jsonl", QUICK_TIMEOUT_S)


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return without(SLOW, tmp_path_factory.mktemp("slow") / "report.jsonl", SLOW_TIMEOUT_S)


@pytest.mark.parametrize("name", [each.name for each in QUICK])
def test_the_loss_of_a_safeguard_is_found(quick: dict[str, Any], name: str) -> None:
    assert quick[name]["is_found"], quick[name]


@pytest.mark.long
@pytest.mark.timeout(SLOW_TIMEOUT_S)
@pytest.mark.parametrize("name", [each.name for each in SLOW])
def test_the_loss_of_a_safeguard_is_found_on_real_servers(slow: dict[str, Any], name: str) -> None:
    assert slow[name]["is_found"], slow[name]


# --- The table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("safeguard", SAFEGUARDS, ids=lambda each: each.name)
def test_every_safeguard_is_in_the_product_and_is_put_back(safeguard: Safeguard) -> None:
    _, _, before = replaced(safeguard)
    with taken_away(safeguard):
        assert replaced(safeguard)[2] is not before
    assert replaced(safeguard)[2] is before


def test_a_safeguard_that_is_gone_from_the_product_is_an_error() -> None:
    known = by_name("hold")
    for gone in ("recharge.sending._is_held", "recharge.gone.held", "recharge.sending.Facts.held"):
        moved = Safeguard("moved", known.rule, known.without, gone, known.weaken)
        with pytest.raises(DevstackError, match=f"{gone}, the safeguard 'moved', is not in the product any more"):
            replaced(moved)


def test_names_are_unique_and_the_document_has_each_with_its_rule_and_its_tests() -> None:
    rows = {code(row[0])[0]: row for row in table(PROOF, "safeguard", "rule")}
    assert list(rows) == [each.name for each in SAFEGUARDS]
    for each in SAFEGUARDS:
        _, rule, told, target, found_by = rows[each.name]
        assert (rule, told, code(target)) == (each.rule, each.without, [each.target])
        assert code(found_by) == [test.rpartition("/")[2] for test in each.found_by]


def test_a_command_runs_without_a_safeguard_and_a_wrong_name_is_told_in_one_line() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "devstack.without", "hold", "--help"], capture_output=True, text=True, check=False
    )
    assert (told.returncode, told.stderr) == (0, "")
    wrong = subprocess.run(
        [sys.executable, "-m", "devstack.without", "none", "run"], capture_output=True, text=True, check=False
    )
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("without: there is no safeguard 'none'; there are final-is-final, ")
    assert wrong.stderr.count("\n") == 1
