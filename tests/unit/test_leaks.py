"""The look through everything that the product wrote during the tests finds what it looks for."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.leaks import Watched, logs_below
from recharge.privacy import mask_text
from tests.support.records import value

SECRET = "0123456789abcdef" * 3
NUMBER = "34699887766"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the look at the end of this very run does not see."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture
def watched(folder: Path) -> Watched:
    passwords = folder / "stack" / "mysql" / "passwords"
    passwords.mkdir(parents=True)
    (passwords / "recharge_svc").write_text(SECRET)
    found = Watched()
    found.add_values([value(phoneNumberDonor=f"+{NUMBER}"), None, b"not json"])
    found.add_secrets_below(folder)
    return found


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (f'{{"event": "sent", "donor": "+{NUMBER}"}}', "a phone number"),
        (f"charged {NUMBER}.", "a phone number"),
        (f"cannot reach mysql://recharge_svc:{SECRET}@127.0.0.1", "a secret"),
        (f"Authorization: Bearer {SECRET}", "a secret"),
        (f"as hexadecimal text: ab{SECRET}cd", "a secret"),
    ],
)
def test_a_number_or_a_secret_is_found_in_logs_and_in_what_commands_print(
    folder: Path, watched: Watched, line: str, what: str
) -> None:
    log = folder / "stack" / "sites" / "t-1" / "run-1.log"
    log.parent.mkdir(parents=True)
    log.write_text(f"all is well\n{line}\n")
    watched.printed.append(("recharge show 0/1", line))
    assert [(leak.what, leak.line) for leak in watched.leaks(logs_below(folder))] == [(what, line), (what, line)]


def test_what_is_masked_or_is_something_else_is_no_leak(watched: Watched) -> None:
    watched.printed += [
        ("masked", mask_text(f"donor +{NUMBER}")),
        ("a longer number", f"1{NUMBER}"),
        ("a fingerprint", "f" * 64),
    ]
    assert list(watched.leaks([])) == []
