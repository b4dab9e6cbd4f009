"""A person's name is never one of the words that the service itself writes where names stand: a verdict shows who passed it."""

import pytest

from ingest.pause import Pause
from ingest.standing import PauseReason
from operations.names import problem_of
from recharge.contract import CANCELLED_BY, INGESTER_PREFIX, THE_SERVICE
from recharge.outcome import ResolvedBy
from recharge.sending import LOOKUP_VERDICT
from tests.support.audited import BEGAN_AT

WRITTEN_BY_THE_SERVICE = [LOOKUP_VERDICT, *ResolvedBy, THE_SERVICE, CANCELLED_BY, f"{INGESTER_PREFIX}host-1"]


@pytest.mark.parametrize("word", WRITTEN_BY_THE_SERVICE)
def test_no_person_decides_under_a_word_of_the_services_own(word: str) -> None:
    for name in (word, word.upper(), word.title(), f" {word}\t"):
        told = problem_of(name)
        assert told is not None, name
        assert repr(name.strip()) in told
        assert "\n" not in told


@pytest.mark.parametrize(
    "name", ["Ann", "lookup-bot", "Ann Lookup", "a person", "recharge-ops", "Temporal admin", "ann@x"]
)
def test_other_names_are_taken(name: str) -> None:
    assert problem_of(name) is None


def test_the_reserved_words_are_those_that_are_written() -> None:
    paused = Pause("run", f"{INGESTER_PREFIX}host-1", "why", BEGAN_AT)
    assert paused.reason is PauseReason.REFUSED_IN_A_ROW
