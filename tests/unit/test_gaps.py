"""A gap is typed as PARTITION:FROM-TO, and nothing else is taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.ledger import Gap
from operations.gaps import parse
from operations.references import ReferenceProblem

NUMBERS = st.integers(min_value=0, max_value=2**63 - 1)


@given(st.integers(min_value=0, max_value=2**31 - 1), NUMBERS, NUMBERS)
def test_a_gap_is_read_as_it_is_written_and_never_ends_before_it_begins(partition: int, one: int, other: int) -> None:
    gap = Gap("source", "topic", partition, min(one, other), max(one, other))
    assert parse(f" {gap}\n", source="source", topic="topic") == gap
    if gap.first < gap.last:
        with pytest.raises(ReferenceProblem, match="ends before it begins"):
            parse(f"{partition}:{gap.last}-{gap.first}", source="source", topic="topic")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "0:1",
        "1-2",
        "0/1-2",
        "0:1-",
        "0:-1-2",
        "0:1-2-3",
        "0: 1-2",
        "x:1-2",
        "0:1-2\n3",
        "\N{ARABIC-INDIC DIGIT ZERO}:1-2",
        "0:" + "9" * 20,
    ],
)
def test_what_is_no_gap_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ReferenceProblem, match="write PARTITION:FROM-TO") as refused:
        parse(text, source="source", topic="topic")
    assert "\n" not in str(refused.value)
