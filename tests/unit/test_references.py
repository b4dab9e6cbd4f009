"""How a person may name a record, and what is refused before anything is decided."""

import pytest

from operations.references import REFERENCES_MAX, ReferenceProblem, parse, parse_all

WORKFLOW_ID = "eu-1:credit-transfers:3:42"


@pytest.mark.parametrize(
    ("text", "workflow_id"),
    [
        (WORKFLOW_ID, WORKFLOW_ID),
        (f"  {WORKFLOW_ID}\r\n", WORKFLOW_ID),
        ("other:old-topic:0:0", "other:old-topic:0:0"),
        ("credit-transfers/3/42", WORKFLOW_ID),
        ("another.topic/3/42", "eu-1:another.topic:3:42"),
        ("3/42", WORKFLOW_ID),
        ("3/042", WORKFLOW_ID),
    ],
)
def test_a_record_may_be_named_by_its_workflow_or_by_its_position(text: str, workflow_id: str) -> None:
    assert parse(text, source="eu-1", topic="credit-transfers") == workflow_id


@pytest.mark.parametrize(
    "text",
    [
        "",
        "42",
        "3:42",
        "credit-transfers:3:42",
        "eu-1:credit-transfers:3",
        "eu-1:credit-transfers:3/42",
        "eu-1:credit-transfers:x:42",
        "eu-1/credit-transfers/3/42",
        "3/-1",
        "3/4 2",
        "3/" + "9" * 20,
        "٣/٤٢",
        "-",
        "3/42\x1b[2J",
    ],
)
def test_what_names_no_record_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ReferenceProblem, match="names no record") as refused:
        parse(text, source="eu-1", topic="credit-transfers")
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 700


def together(given: list[str], lines: list[str]) -> list[str]:
    return parse_all(given, lines, source="eu-1", topic="t")


def test_a_dash_stands_for_lines_and_empty_ones_are_passed_over() -> None:
    assert together(["-"], ["0/1\n", "\n", "  \n", "eu-1:t:0:2\n"]) == ["eu-1:t:0:1", "eu-1:t:0:2"]


def test_a_record_that_is_named_twice_is_decided_once() -> None:
    assert together(["0/1", "t/0/1", "eu-1:t:0:1", "0/0"], []) == ["eu-1:t:0:1", "eu-1:t:0:0"]


@pytest.mark.parametrize(
    ("given", "lines", "why"),
    [
        ([], ["0/1"], "no record is named"),
        (["-"], [], "no record is named"),
        (["-", "0/1"], ["0/2"], "goes alone"),
        (["0/1", "nonsense"], [], "'nonsense' names no record"),
        (["-"], ["0/1", "x" * 10_000], "names no record"),
    ],
)
def test_one_wrong_name_refuses_the_whole_command(given: list[str], lines: list[str], why: str) -> None:
    with pytest.raises(ReferenceProblem, match=why):
        together(given, lines)


def test_more_records_than_one_command_takes_are_refused() -> None:
    assert len(together(["-"], [f"0/{offset}" for offset in range(REFERENCES_MAX)])) == REFERENCES_MAX
    with pytest.raises(ReferenceProblem, match=f"more than {REFERENCES_MAX}"):
        together(["-"], [f"0/{offset}" for offset in range(REFERENCES_MAX + 1)])
