"""A list of recharges decides only where it is certain that it is whole and speaks of ours."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.profiles.listing import read_lookup
from activities.profiles.messages import LookupReading, Received
from recharge.outcome import LookupAnswer
from recharge.settings import ProviderSettings

REF = "source:topic:0:7"


def read(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> LookupReading:
    settings = ProviderSettings.model_validate({"url": "https://provider.example/orders", "charged_words": "charged,0"})
    return read_lookup(settings, Received(status, headers or {}, body), REF)


def item(status: str, **more: str) -> bytes:
    fields = {"orderId": f'"{REF}"', "status": status, **more}
    return ("{" + ",".join(f'"{name}":{text}' for name, text in fields.items()) + "}").encode()


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b" [ ]\n",
        b"\xef\xbb\xbf[]",
        b'{"items":[]}',
        b'{"orders":[],"total":0,"next":null,"error":"","more":false}',
    ],
)
def test_an_empty_list_is_not_found(body: bytes) -> None:
    assert read(body).answer is LookupAnswer.NOT_FOUND


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (b"[" + item('"charged"') + b"]", LookupAnswer.CHARGED),
        (b"[" + item("0") + b"]", LookupAnswer.CHARGED),
        (b"[" + item('"refused"') + b"]", LookupAnswer.REFUSED),
        (b"[" + item('"pending"') + b"]", LookupAnswer.PENDING),
        (b'{"items":[' + item('"charged"') + b'],"total":1}', LookupAnswer.CHARGED),
        (b"[" + item('"charged"') + b"," + item('"charged"') + b"]", LookupAnswer.CHARGED),
    ],
)
def test_what_all_items_say_is_the_answer(body: bytes, answer: LookupAnswer) -> None:
    assert read(body).answer is answer


UNREADABLE = [
    b"",
    b"null",
    b'""',
    b"{}",
    b'{"error":"no such index"}',
    b'{"items":[],"total":3}',
    b'{"items":[],"next":"/orders?page=2"}',
    b'{"items":[],"error":"time-out"}',
    b'{"items":[],"others":[]}',
    b'{"items":[],"page":{"of":2}}',
    b"[]]",
    b"[],[]",
    b'[],"x":1',
    b'[],"items":[]',
    b"[1]",
    b"[null]",
    b"[[]]",
    b"[{}]",
    b'[{"status":"charged"}]',
    b'[{"orderId":"source:topic:0:8","status":"charged"}]',
    b"[" + item('"charged"') + b',{"orderId":"source:topic:0:8","status":"charged"}]',
    b"[" + item('"charged"') + b"," + item('"refused"') + b"]",
    b"[" + item('"charged"') + b"," + item('"pending"') + b"]",
    b"[" + item('"charged"') + b"," + item('"teleported"') + b"]",
    b"[" + item('"Charged"') + b"]",
    b"[" + item("null") + b"]",
    b"[" + item('"charged"', Status='"refused"') + b"]",
    b'[{"orderId":"' + REF.encode() + b'","status":"refused","status":"charged"}]',
    b"<html>maintenance</html>",
    b"[\xff]",
]


@pytest.mark.parametrize("body", UNREADABLE, ids=range(len(UNREADABLE)))
def test_a_list_that_leaves_a_doubt_decides_nothing(body: bytes) -> None:
    assert read(body).answer is LookupAnswer.UNREADABLE


@pytest.mark.parametrize("status", [201, 202, 204, 301, 401, 404, 410, 429, 500])
def test_another_status_than_200_decides_nothing(status: int) -> None:
    assert read(b"[]", status).answer is LookupAnswer.UNREADABLE


def test_a_compressed_list_decides_nothing() -> None:
    assert read(b"[]", headers={"content-encoding": "gzip"}).answer is LookupAnswer.UNREADABLE


def test_the_providers_reference_is_told_where_there_is_one_alone() -> None:
    one, other = item('"charged"', providerReference='"P-1"'), item('"charged"', providerReference='"P-2"')
    assert read(b"[" + one + b"]").provider_reference == "P-1"
    assert read(b"[" + one + b"," + one + b"]").provider_reference == "P-1"
    assert read(b"[" + one + b"," + other + b"]").provider_reference is None


@given(st.binary(max_size=300), st.integers(100, 599))
def test_no_list_raises(body: bytes, status: int) -> None:
    reading = read(body, status)
    assert reading.said.isprintable()
    if reading.answer is LookupAnswer.NOT_FOUND:
        assert status == 200
