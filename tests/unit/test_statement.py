"""The provider's statement is read strictly: what cannot be read is refused with its line, and nothing is counted by it."""

import io
import random
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.audit.spool import ChargeLine, RunLine, Spool
from operations.audit.statement import HEADER, Statement, StatementProblem, StatementReader
from operations.telling import amount as told_amount
from recharge import limits

SOURCE, TOPIC = "unit", "credit-transfers"
OURS = f"{SOURCE}:{TOPIC}"
HEAD = ",".join(HEADER)
GOOD = f"{OURS}:0:7,P-1,charged,10.50,2026-11-01T00:00:00Z"


def reader_of(raw: bytes, strays: list[str] | None = None) -> StatementReader:
    statement = Statement("july.csv", io.BytesIO(raw), datetime(2026, 11, 1))  # noqa: DTZ001  # MySQL's times
    return StatementReader(
        statement, SOURCE, TOPIC, lambda reference, _: (strays if strays is not None else []).append(reference)
    )


def read(*lines: str) -> list[ChargeLine]:
    return list(reader_of("\n".join((HEAD, *lines)).encode()).charges())


def test_a_charge_is_read_with_its_exact_amount_and_line() -> None:
    lines = read(GOOD, f'{OURS}:12:9223372036854775807,"a ""quoted"", one",reversed,010.500,')
    assert [(line.partition, line.offset, line.is_reversed, line.amount, line.line) for line in lines] == [
        (0, 7, 0, "10.5", 2),
        (12, 2**63 - 1, 1, "10.5", 3),
    ]


@pytest.mark.parametrize("fraction", ["", ".5", ".50001", f".{'3' * 300}"])
def test_whatever_amount_is_read_can_be_told(fraction: str) -> None:
    nines = "9" * limits.STATEMENT_AMOUNT_DIGITS_MAX
    (line,) = read(f"{OURS}:0:7,P,charged,000{nines}{fraction},x")
    assert line.amount == f"{nines}{fraction}"
    assert str(told_amount(Decimal(line.amount))).startswith(f"{nines}.")


def test_windows_line_ends_and_a_utf8_mark_are_no_trouble() -> None:
    raw = ("\ufeff" + HEAD + "\r\n" + GOOD + "\r\n").encode()
    assert len(list(reader_of(raw).charges())) == 1


def test_charges_of_others_are_counted_and_left_out() -> None:
    reader = reader_of(
        "\n".join((HEAD, "other:t:0:1,P,charged,1,x", f"{SOURCE}:other:0:1,P,charged,1,x", GOOD)).encode()
    )
    assert len(list(reader.charges())) == 1
    assert reader.foreign == 2


@pytest.mark.parametrize(
    "end", ["", "abc", "0", "0:", "0:x", "00:1", "0:01", "0:-1", "0:1:2", "0:9223372036854775808", "0:1 "]
)
def test_a_reference_of_ours_that_names_no_position_is_told(end: str) -> None:
    strays: list[str] = []
    reader = reader_of(f"{HEAD}\n{OURS}:{end},P,charged,1,x\n".encode(), strays)
    assert list(reader.charges()) == []
    assert strays == [f"{OURS}:{end}"]


WRONG = [
    (b"", 1, "it is empty"),
    (b"\n", 1, "columns must be exactly reference,provider_reference,status,amount,charged_at"),
    (b"reference,status,amount\n", 1, "columns must be exactly"),
    (HEAD.upper().encode(), 1, "columns must be exactly"),
    (f"{HEAD}\n{GOOD}\n".encode("utf-16"), 1, "UTF-16"),
    (f"{HEAD}\n{GOOD}\n".encode("utf-16-le"), 1, "UTF-16"),
    (f"{HEAD}\n".encode() + GOOD.replace("P-1", "Pé").encode("latin-1"), 2, "is not UTF-8"),
    (f"{HEAD}\n{GOOD}\n{OURS}:0:8,P,charged,,x".encode(), 3, "the amount is missing"),
    (f"{HEAD}\n\n".encode(), 2, "it has 0 fields instead of 5"),
    (f"{HEAD}\n{GOOD},more".encode(), 2, "it has 6 fields instead of 5"),
    (f"{HEAD}\n,P,charged,1,x".encode(), 2, "the reference is missing"),
    (f"{HEAD}\n{OURS}:0:8,P,refused,1,x".encode(), 2, "the status must be charged or reversed"),
    (f'{HEAD}\n{OURS}:0:8,"P"x,charged,1,x'.encode(), 2, "it is not CSV"),
    (f'{HEAD}\n{OURS}:0:8,"P,charged,1,x'.encode(), 2, "it is not CSV"),
    (f"{HEAD}\n{'x' * (limits.STATEMENT_LINE_BYTES_MAX + 1)}".encode(), 2, "it is longer than 4096 bytes"),
    *(
        (
            f"{HEAD}\n{reference},P,charged,{'9' * digits},x".encode(),
            2,
            "the amount has more than 24 digits before the point",
        )
        for digits in (limits.STATEMENT_AMOUNT_DIGITS_MAX + 1, 27, 4000)
        for reference in (f"{OURS}:0:8", "other:t:0:1")
    ),
    *(
        (f"{HEAD}\n{OURS}:0:8,P,charged,{amount},x".encode(), 2, "the amount is not a plain decimal number")
        for amount in ("-1", "+1", "1.", ".5", "1e3", "NaN", "'10,50'", " 1", "1_0", "٣")
    ),
]


@pytest.mark.parametrize(("raw", "line", "why"), WRONG)
def test_what_cannot_be_read_is_refused_with_its_line(raw: bytes, line: int, why: str) -> None:
    with pytest.raises(StatementProblem) as caught:
        list(reader_of(raw.replace(b"'10,50'", b'"10,50"')).charges())
    assert str(caught.value).startswith(f"the statement july.csv, line {line}: ")
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_line_that_stands_twice_is_found_and_two_charges_are_not_taken_for_one() -> None:
    with Spool() as spool:
        spool.add_charges(
            read(GOOD, GOOD.replace("P-1", "P-2"), GOOD.replace("00Z", "01Z"), GOOD.replace("10.50", "10.51"))
        )
        assert spool.repeated_line() is None
    with Spool() as spool:
        spool.add_charges(read(GOOD, GOOD.replace(":7", ":8"), GOOD))
        assert spool.repeated_line() == (2, 4)


CHARGES = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 20), st.booleans(), st.sampled_from(["1", "2.5"])), max_size=40
)


@given(CHARGES, st.randoms(use_true_random=False))
def test_charges_come_in_the_order_of_the_positions_whatever_theirs_was(
    charges: Sequence[tuple[int, int, bool, str]], dice: random.Random
) -> None:
    lines = [
        ChargeLine(partition, offset, int(is_reversed), amount, str(number), number)
        for number, (partition, offset, is_reversed, amount) in enumerate(charges)
    ]
    dice.shuffle(lines)
    with Spool() as spool:
        assert spool.add_charges(lines) == len(lines)
        for partition in spool.partitions():
            found = list(spool.charges(partition))
            assert [each.offset for each in found] == sorted(
                {offset for place, offset, _, _ in charges if place == partition}
            )
            for each in found:
                mine = [line for line in lines if (line.partition, line.offset) == (partition, each.offset)]
                assert (each.charged, each.reversed) == (
                    sum(not line.is_reversed for line in mine),
                    sum(line.is_reversed for line in mine),
                )
                assert (each.first_line, each.last_line) == (
                    min(line.line for line in mine),
                    max(line.line for line in mine),
                )
                standing = [line.amount for line in mine if not line.is_reversed]
                assert each.amount is None if not standing else each.amount in set(map(Decimal, standing))


def test_of_several_runs_of_one_workflow_the_newest_counts() -> None:
    with Spool() as spool:
        spool.add_runs([RunLine(0, 5, "running", 2), RunLine(0, 5, "terminated", 1), RunLine(0, 3, "failed", 9)])
        spool.add_runs([RunLine(0, 5, "timed_out", 3), RunLine(0, 3, "running", 8)])
        assert [(run.offset, run.status, run.is_open) for run in spool.workflows(0)] == [
            (3, "failed", False),
            (5, "timed_out", False),
        ]
