"""What is hidden in a text: phone numbers, however they are written, and nothing that people need in order to follow a record."""

import hashlib
import re
from datetime import datetime, timedelta

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ingest.kafka_words import offset_gone
from recharge.privacy import GROUPED_DIGITS_MIN, SHOWN_DIGITS, mask_text
from recharge.settings import KafkaSettings

WORKFLOW_ID = "topups-2026:credit-transfers:3:1234567"
BETWEEN = [" ", "-", ".", "/", " - ", ") ", "(", ") (", "--", "\t", "\u00a0", "\u2011", "\u2013"]
BEFORE = [
    "",
    "for ",
    "+",
    "(",
    "tel",
    "tel:",
    '{"msisdn":"',
    "donor=",
    "n\u00ba ",
    "[",
    "at 2026-11-30 22:46 ",
    f"{WORKFLOW_ID}: ",
]
AFTER = ["", ".", ", again", ")", '"}', "x", "\n12", f" in {WORKFLOW_ID}", " at 22:46:29.123456"]
READ_AS_SOMETHING_ELSE = re.compile(
    r"(?:19|20)\d\d-\d\d-\d\d"  # a date
    r"|\d{1,6}\.\d\d"  # an amount
    r"|(?:10|127|192\.168|172)(?:\.\d{1,3}){2,3}"  # an address of a private network
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("for +5511987654321.", "for +••••••••••321."),
        ("12345 and 1234", "••345 and 1234"),
        ("tel5511987654321x", "tel••••••••••321x"),
        ("donor:5511987654321", "donor:••••••••••321"),
        ("customer +49 151 1234 5678 complained", "customer +•• ••• •••• •678 complained"),
        ("+591 7 123-4567", "+••• • •••-•567"),
        ("(591) 71234567", "(•••) •••••567"),
        ("+591 (7) 123.4567", "+••• (•) •••.•567"),
        ("600-111-222", "•••-•••-222"),
        ("(0591) 600111", "(••••) •••111"),
        ("06.12.34.56.78", "••.••.••.•6.78"),
        ("71234567 71234568", "•••••••• •••••568"),
        ("1234567890123456", "•••••••••••••456"),
        ("00346001112223460033344455", "•••••••••••••••••••••••455"),
        ("5" * 40, "•" * 37 + "555"),
        ("71234567.00", "•••••••7.00"),
        ("on 2026-11-30 71234567 called", "on 2026-11-30 •••••567 called"),
        ("7123-45-67", "••••-•5-67"),
        ("\u0667\u0661\u0662\u0663\u0664\u0665\u0666\u0667", "•••••\u0665\u0666\u0667"),
        ("donor:71234567:1:2", "donor:•••••567:1:2"),
    ],
)
def test_a_phone_number_is_hidden_however_it_is_written(text: str, shown: str) -> None:
    assert mask_text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        f"start {WORKFLOW_ID} again",
        "2026:topups-2026.11:0:9223372036854775807",
        "at 2026-11-24T22:46:29.123456Z",
        "at 2026-11-24 22:46:29.123456+00:00, took 0.105 s",
        "[2026-11-24 22:46:29,123] 4711 2026-11-24",
        "at 22:46:29.123456",
        "on 2026-11-30 18:41 they paid 10.50, ticket 4711",
        "Mon, 30 Nov 2026 22:46:45 GMT",
        "150000.00 BOB and 10.5, at most 999999.99",
        "it has to go on at offset 1234567, but holds offsets 1200000 to 1399999",
        "--reset-offsets --to-offset 1234567 --execute",
        "recharge accept-gap 3:1200000-1399999 --by WHO",
        "127.0.0.1:34567 and kafka-1.example.net:19093 and localhost:34567 and [::1]:34567",
        "'recharge'@'10.244.117.203' and 192.168.100.101 and 172.16.254.254",
        "temporalio 1.35.0, MySQL 8.0.36, Python 3.11.2, kernel 6.1.0-18",
        "run 01970123-4567-7890-8123-123456789012",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad123456203331-01",
        "<object at 0x7f3a12345678>",
        "a" * 10 + "12345" * 10 + "bcde",
        "e2a66fc012345678901234567890123456789012",
    ],
)
def test_what_people_follow_a_record_by_stays_readable(text: str) -> None:
    assert mask_text(text) == text


def test_the_command_that_a_standstill_tells_can_be_typed_as_it_is_shown() -> None:
    given = {"bootstrap_servers": "kafka-1.example.net:19093", "source": "topups-2026", "security_protocol": "SSL"}
    kafka = KafkaSettings.model_validate(given)
    told = str(offset_gone(kafka, 3, 1_234_567, 1_300_000, 1_500_000))
    assert mask_text(told) == told


@st.composite
def phone_numbers(draw: st.DrawFn) -> str:
    """Digits in a row or in groups, as many as a phone number has, or more."""
    if draw(st.booleans()):
        return draw(st.text("0123456789", min_size=5, max_size=31))
    digits = draw(st.text("0123456789", min_size=GROUPED_DIGITS_MIN, max_size=18))
    between = draw(st.lists(st.sampled_from(["", *BETWEEN]), min_size=len(digits) - 1, max_size=len(digits) - 1))
    return "".join(each for pair in zip(digits, [*between, ""], strict=True) for each in pair)


@given(phone_numbers(), st.sampled_from(BEFORE), st.sampled_from(AFTER))
@example("5" * 32, "", "")
def test_of_a_phone_number_no_text_shows_more_than_its_last_digits(number: str, before: str, after: str) -> None:
    assume(not READ_AS_SOMETHING_ELSE.search(number))
    masked = mask_text(before + number + after)
    assert masked.startswith(before)
    hidden = masked.removeprefix(before).removesuffix(after)
    assert len(re.sub(r"\D", "", hidden)) == SHOWN_DIGITS
    assert len(hidden) == len(number)


@given(
    st.sampled_from(["topups-2026", "eu.west_1", "2026", "s-1-2"]),
    st.sampled_from(["credit-transfers", "topups.2026-11", "0"]),
    st.integers(0, 2**31 - 1),
    st.integers(0, 2**63 - 1),
    st.sampled_from(["", "for ", "'", "id=", "(", "at 22:46 "]),
)
def test_a_workflow_id_stays_readable_in_every_text(
    source: str, topic: str, partition: int, offset: int, before: str
) -> None:
    text = f"{before}{source}:{topic}:{partition}:{offset} goes on"
    assert mask_text(text) == text


@given(st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1)), st.uuids(), st.binary(max_size=8))  # noqa: DTZ001  # only its text matters
def test_a_time_an_id_and_a_digest_stay_readable_in_every_text(moment: datetime, run_id: object, data: bytes) -> None:
    digest = hashlib.sha256(data).hexdigest()
    text = f"{moment.isoformat(' ')}: {run_id} and {digest}, {digest[:32]}, by {moment + timedelta(days=1):%Y-%m-%d}"
    assert mask_text(text) == text


def test_a_word_of_any_length_is_walked_through_once() -> None:
    """From each of its letters anew it would take minutes."""
    word = "a" * 200_000
    assert mask_text(f"{word} 71234567") == f"{word} •••••567"
