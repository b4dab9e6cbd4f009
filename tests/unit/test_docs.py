"""The documents' tables say what the code does: each is read from the text and compared with the code that it speaks of."""

import json
import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from activities.profile import Received, read_answer
from app import environment
from app.setting_problems import variable
from ingest import dead_letters
from recharge import limits
from recharge.contract import Ordering, Position, RechargeResult, Transfer
from recharge.outcome import (
    DEAD_LETTER_STATES,
    FINAL_STATES,
    PREDECESSORS,
    Outcome,
    State,
    is_retried,
)
from recharge.record import KNOWN_FIELDS, Invalid, decode, from_kafka
from recharge.sending import AttemptFacts, Facts, judge
from recharge.settings import ProviderSettings

ROOT = Path(__file__).parents[2]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
DECISIONS = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CELL_BORDER = re.compile(r"(?<!\\)\|")
UNITS = {"KiB": limits.KIB, "MiB": limits.MIB, "s": 1, "": 1}


class Table(NamedTuple):
    """A Markdown table: its header cells and its rows."""

    header: list[str]
    rows: list[list[str]]


def tables(text: str) -> list[Table]:
    """Every table of a document, in order."""
    found: list[Table] = []
    for block in re.findall(r"(?:^\|.*\|\n)+", text, flags=re.MULTILINE):
        header, _, *rows = ([cell.strip() for cell in CELL_BORDER.split(line)[1:-1]] for line in block.splitlines())
        assert all(len(row) == len(header) for row in rows), (
            f"a row of the table {header} has too many or too few cells"
        )
        found.append(Table(header, rows))
    return found


def table(text: str, first_column: str, *more: str) -> list[list[str]]:
    """The rows of the one table that begins with these columns."""
    wanted = [first_column, *more]
    (rows,) = [each.rows for each in tables(text) if each.header[: len(wanted)] == wanted]
    assert rows
    return rows


def code(cell: str) -> list[str]:
    """What stands in backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def only(cell: str) -> str:
    """The one thing that stands in backticks in a cell."""
    (found,) = code(cell)
    return found


def test_the_fields_of_a_record_are_those_of_the_code_and_the_example_is_valid() -> None:
    rows = table(ARCHITECTURE, "field", "required")
    assert tuple(only(row[0]) for row in rows) == KNOWN_FIELDS
    examples = re.findall(r"recharge produce <<< '([^']+)'", ARCHITECTURE + README)
    assert len(examples) == 2
    assert all(isinstance(decode(example.encode()), Transfer) for example in examples)
    fields = json.loads(examples[0])
    for name, required, what in rows:
        without = {field: value for field, value in fields.items() if field != only(name)}
        assert isinstance(decode(json.dumps(without).encode()), Invalid) == (required == "yes"), name
        if chars := re.search(r"at most ([0-9]+) characters", what):
            longest = fields | {only(name): "x" * int(chars[1])}
            assert isinstance(decode(json.dumps(longest).encode()), Transfer), name
            assert isinstance(decode(json.dumps(longest | {only(name): "x" * (int(chars[1]) + 1)}).encode()), Invalid)


def test_the_headers_of_a_dead_letter_are_those_that_are_written() -> None:
    record = from_kafka(Position("s", "t", 0, 1), None, b"", 0, ordering=Ordering.PARTITION, traceparent=None)
    written = dead_letters._headers(record, RechargeResult(State.INVALID, record.fingerprint))
    (sentence,) = re.findall(r"in headers of its own, .*?\.", ARCHITECTURE, flags=re.DOTALL)
    assert code(sentence) == [*(name for name, _ in written), "recharge-null-value"]


def test_the_states_are_those_of_the_code_with_all_that_may_lead_there() -> None:
    rows = table(ARCHITECTURE, "state", "kind")
    assert [only(row[0]) for row in rows] == list(State)
    for name, kind, _, predecessors in rows:
        state = State(only(name))
        final = "final, dead letter" if state in DEAD_LETTER_STATES else "final"
        assert kind == (final if state in FINAL_STATES else "open")
        assert set(code(predecessors)) == PREDECESSORS[state], state


def test_the_outcomes_are_those_of_the_code_with_what_follows() -> None:
    rows = table(ARCHITECTURE, "outcome", "meaning")
    assert [only(row[0]) for row in rows] == list(Outcome)
    for name, _, sent_again, states in rows:
        outcome = Outcome(only(name))
        assert sent_again == ("yes" if is_retried(outcome) else "no"), outcome
        assert code(states) == states_after(outcome), outcome


def states_after(outcome: Outcome) -> list[State]:
    """The states through which the ledger's own rules lead a record whose one attempt ended like this."""
    state = judge(Facts(State.SENDING, [AttemptFacts(1, outcome)])).state
    if state is State.SENDING:
        return [State.RETRYING]
    return [State.SENDING, state] if state in FINAL_STATES else [state]


ANSWERS = [
    (example, only(outcome))
    for _, outcome, examples in table(ARCHITECTURE, "what happened", "outcome")
    for example in code(examples)
]


@pytest.mark.parametrize(("example", "outcome"), ANSWERS)
def test_an_answer_is_read_as_the_table_says(example: str, outcome: str) -> None:
    parts = re.fullmatch(r"(?P<status>\d{3})(?P<unknown> after unknown)?(?: (?P<body>.+))?", example)
    assert parts is not None
    answer = read_answer(
        ProviderSettings.model_validate({"url": "https://provider.example.net/recharges"}),
        Received(int(parts["status"]), {}, (parts["body"] or "").encode()),
        after_unknown=parts["unknown"] is not None,
        now_utc=datetime(2026, 11, 1, tzinfo=UTC),
    )
    assert answer.outcome == outcome


def test_the_table_of_answers_knows_every_outcome_and_has_examples() -> None:
    rows = table(ARCHITECTURE, "what happened", "outcome")
    assert {only(row[1]) for row in rows} == set(Outcome)
    assert {outcome for _, outcome in ANSWERS} == set(Outcome) - {Outcome.NOT_SENT}


def test_every_setting_is_documented_with_its_default() -> None:
    documented = {only(name): default.strip("`") for name, default, _ in table(ARCHITECTURE, "setting", "default")}
    declared = {
        variable(section, name): "required" if field.is_required() else shown(field.default)
        for kind in (environment.RunEnvironment, environment.CodecServerEnvironment)
        for section, model in environment.section_models(kind).items()
        for name, field in model.model_fields.items()
    }
    assert documented == declared


def shown(default: object) -> str:
    """A default as it would be written into the environment."""
    match default:
        case None:
            return "none"
        case bool():
            return str(default).lower()
        case frozenset():
            return ",".join(sorted(map(str, default)))
        case float():
            return f"{default:g}"
        case _:
            return str(default)


def test_each_process_is_documented_with_the_settings_that_it_reads() -> None:
    documented = {
        only(name).removeprefix("recharge ").replace("-", ""): {section.lower() for section in code(sections)}
        for name, sections, _ in table(ARCHITECTURE, "process")
    }
    kinds = [*environment.Environment.__subclasses__(), *environment.IngestEnvironment.__subclasses__()]
    declared = {
        kind.__name__.removesuffix("Environment").lower(): set(environment.section_models(kind)) for kind in kinds
    }
    assert documented == declared


@pytest.mark.parametrize("row", table(ARCHITECTURE, "limit", "value"), ids=lambda row: only(row[0]))
def test_a_documented_limit_is_the_limit_of_the_code(row: list[str]) -> None:
    number, _, unit = row[1].partition(" ")
    assert float(number) * UNITS[unit] == getattr(limits, only(row[0]))


def test_every_dependency_has_its_reason_and_nothing_else_has() -> None:
    documented = [only(row[0]) for each in tables(DECISIONS) if each.header[0] == "package" for row in each.rows]
    required = [
        *PROJECT["dependencies"],
        *(one for extra in PROJECT["optional-dependencies"].values() for one in extra),
    ]
    names = {re.split(r"[\[<>=]", one, maxsplit=1)[0] for one in required} - {PROJECT["name"]}
    assert sorted(documented) == sorted(names)


DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def anchors_of(document: Path) -> set[str]:
    """The names of a document's headings, as GitHub links to them."""
    titles = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = document.parent / path if path else document
        assert file.exists(), f"{document.name}: {target}"
        assert not anchor or anchor in anchors_of(file), f"{document.name}: {target}"


def test_the_changelog_knows_this_version() -> None:
    assert f"## [{PROJECT['version']}]" in CHANGELOG


def test_every_test_that_the_security_page_names_is_there() -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", text))
    sources = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests" / "integration").glob("test_*.py"))
    assert len(named) > 20
    assert [name for name in sorted(named) if f"def {name}(" not in sources] == []
