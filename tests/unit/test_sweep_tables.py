"""The tables of docs/proof.md say what the journals of the sweeps say, and how much of a way is left."""

from pathlib import Path

import pytest

from devstack.errors import DevstackError
from devstack.sweep.journal import Journal
from devstack.sweep.rig import Fault, Outcome
from devstack.sweep.scenarios import CHARGED
from devstack.sweep.service import Part
from devstack.sweep.tables import tables_of
from devstack.wire.proxy import Boundary, Hop

ONE = "succeeded by answer, attempts: 1, POSTs: 1, charges: 1"
ONE_TWICE = "2: `succeeded` by answer, 1 attempt"
TWO = "succeeded by lookup, attempts: 2, POSTs: 1, charges: 1"


def outcome(hop: Hop, number: int, told: str, *, is_reached: bool = True, problems: tuple[str, ...] = ()) -> Outcome:
    return Outcome(Boundary(hop, number), is_reached, told, list(problems), 1.0)


def swept(file: Path, part: Part, commit: str, fault: Fault, *outcomes: Outcome) -> None:
    journal = Journal.read(file, part, commit)
    if not journal.counts:
        journal.add_counts(CHARGED, {Hop.KAFKA: 0, Hop.TEMPORAL: 1, Hop.MYSQL: 1, Hop.PROVIDER: 2})
    for each in outcomes:
        journal.add(CHARGED, fault, each)


def test_the_tables_count_what_was_tried_what_was_met_and_how_it_ended(tmp_path: Path) -> None:
    one, other = tmp_path / "one.jsonl", tmp_path / "other.jsonl"
    swept(
        one, Part.RUN, "aaaaaaa", Fault.KILL,
        outcome(Hop.TEMPORAL, 1, ONE, is_reached=False), outcome(Hop.MYSQL, 1, ONE), outcome(Hop.PROVIDER, 1, TWO),
    )  # fmt: skip
    swept(one, Part.RUN, "bbbbbbb", Fault.KILL, outcome(Hop.PROVIDER, 2, ONE, problems=("charged 2 times",)))
    swept(other, Part.WORKER, "bbbbbbb", Fault.FREEZE, outcome(Hop.PROVIDER, 1, TWO))
    kills, freezes = tables_of([one, other]).split("freeze: ")
    assert kills.splitlines()[0] == "kill: 4 boundaries, 3 met, 1 with a broken promise"
    assert freezes.splitlines()[0] == "1 boundaries, 1 met, 0 with a broken promise"
    assert kills.splitlines()[4:] == [
        f"| `recharge run` | charged | `aaaaaaa`, `bbbbbbb` | 4 | 3 | 0, 0, 1, 2 | {ONE_TWICE}; 1: `succeeded` by lookup, 2 attempts |",
        "",
    ]
    assert freezes.splitlines()[4:] == [
        "| `recharge worker` | charged | `bbbbbbb` | 1 of 2 | 1 | 0, 0, 0, 1 | 1: `succeeded` by lookup, 2 attempts |"
    ]


def test_a_journal_that_is_not_one_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(DevstackError, match="There is no journal"):
        tables_of([tmp_path / "none.jsonl"])
    file = tmp_path / "other.jsonl"
    swept(file, Part.RUN, "aaaaaaa", Fault.KILL)
    file.write_text(file.read_text() + '{"way": 1}\n')
    with pytest.raises(DevstackError, match=r"other.jsonl, line 2 is no line of a sweep's journal"):
        tables_of([file])
