"""A profile that contradicts itself, or cannot be loaded, is refused at start by the name of its setting."""

import re
import secrets
from datetime import UTC, datetime
from pathlib import Path

import pytest

from activities.profiles.loading import load as load_profile
from activities.profiles.messages import Received
from activities.provider import Provider, ProviderProblem
from app.environment import WorkerEnvironment, load
from app.setting_problems import SettingsError
from recharge.outcome import Outcome
from recharge.settings import ProviderSettings

REQUIRED = {
    "RECHARGE_MYSQL__URL": "mysql://recharge:password@127.0.0.1:3306/recharge",
    "RECHARGE_PROVIDER__URL": "https://provider.example.net/recharges",
}


def settings(**changes: str) -> ProviderSettings:
    given = {f"RECHARGE_PROVIDER__{name.upper()}": text for name, text in changes.items()}
    return load(WorkerEnvironment, REQUIRED | given).provider


def test_without_any_of_its_settings_the_profile_is_the_standard_one() -> None:
    plain = settings()
    assert (plain.profile, plain.reference_header, plain.reference_field) == (
        "activities.profile",
        "Idempotency-Key",
        None,
    )
    assert (plain.status_field, plain.provider_reference_field) == ("status", "providerReference")
    assert plain.charged_words == {"charged"}
    assert plain.refused_words == {"refused"}
    assert plain.pending_words == {"pending"}


def test_words_are_read_as_they_are_written_with_commas_between_them() -> None:
    given = settings(charged_words="DONE, Completed ,0", refused_words="", pending_words="SUBMITTED")
    assert given.charged_words == {"DONE", "Completed", "0"}
    assert given.refused_words == frozenset()


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"charged_words": ""}, "CHARGED_WORDS is empty; for example RECHARGE_PROVIDER__CHARGED_WORDS=charged,comp"),
        ({"charged_words": " , "}, "CHARGED_WORDS must have at least 1"),
        ({"charged_words": "ok,refused"}, "REFUSED_WORDS holds a word that RECHARGE_PROVIDER__CHARGED_WORDS holds too"),
        ({"charged_words": "pending"}, "PENDING_WORDS holds a word that RECHARGE_PROVIDER__CHARGED_WORDS holds too"),
        ({"pending_words": "a,refused"}, "PENDING_WORDS holds a word that RECHARGE_PROVIDER__REFUSED_WORDS holds too"),
        ({"status_field": "a b"}, "STATUS_FIELD must be the name of a JSON field"),
        ({"status_field": ""}, "STATUS_FIELD is empty"),
        ({"provider_reference_field": "Status"}, "PROVIDER_REFERENCE_FIELD is the same field as RECHARGE_PROVIDER__ST"),
        ({"reference_field": '"x"'}, "REFERENCE_FIELD must be the name of a JSON field"),
        ({"reference_field": "requestId"}, "REFERENCE_FIELD names a field that records have themselves"),
        ({"reference_field": "AMOUNT"}, "REFERENCE_FIELD names a field that records have themselves"),
        ({"reference_header": "Order Id"}, "REFERENCE_HEADER must be the name of an HTTP header"),
        ({"reference_header": "Order:"}, "REFERENCE_HEADER must be the name of an HTTP header"),
        ({"reference_header": "Réf"}, "REFERENCE_HEADER must be the name of an HTTP header"),
        ({"reference_header": "content-Length"}, "REFERENCE_HEADER names a header that the call needs"),
        ({"reference_header": "authorization"}, "REFERENCE_HEADER names a header that the call needs"),
        (
            {"reference_header": "Order-Id", "reference_field": "orderId"},
            "REFERENCE_FIELD is given beside RECHARGE_PROVIDER__REFERENCE_HEADER; leave out",
        ),
        ({"profile": "activities/profile.py"}, "PROFILE must be the dotted name of a Python module"),
        ({"duplicate_protection": "lookup"}, "LOOKUP_URL is required where RECHARGE_PROVIDER__DUPLICATE_PROTECTION"),
        (
            {"duplicate_protection": "idempotency_key", "key_lifetime_s": "120"},
            "KEY_LIFETIME_S must be longer than two calls (RECHARGE_PROVIDER__TIMEOUT_S) and a margin of 60 s",
        ),
        (
            {"duplicate_protection": "idempotency_key", "timeout_s": "300", "key_lifetime_s": "660"},
            "KEY_LIFETIME_S must be longer than two calls",
        ),
    ],
)
def test_a_contradiction_is_refused_by_name(changes: dict[str, str], line: str) -> None:
    with pytest.raises(SettingsError) as refused:
        settings(**changes)
    (told,) = refused.value.lines
    assert told.startswith(f"RECHARGE_PROVIDER__{line}")
    assert "; for example RECHARGE_PROVIDER__" in told


def test_a_key_that_outlives_two_calls_and_the_margin_is_taken() -> None:
    assert settings(duplicate_protection="idempotency_key", key_lifetime_s="121").key_lifetime_s == 121


STANDARD = "from activities.profile import lookup_request, read_answer, read_lookup, request\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "cannot be imported: No module named"),
        ("import nowhere_to_be_found", "cannot be imported: No module named 'nowhere_to_be_found'"),
        ("def request(:", "cannot be imported: "),
        ("raise RuntimeError('not today')", "cannot be imported: not today (RuntimeError)"),
        ("", "has no function request"),
        (STANDARD + "del read_answer", "has no function read_answer"),
        (STANDARD + "read_lookup = 'text'", "has no function read_lookup"),
        (STANDARD + "async def read_answer(*_, **__): ...", "has no function read_answer"),
        (STANDARD + "def request(settings): ...", "request takes other arguments than it is given"),
        (STANDARD + "def read_answer(settings, received): ...", "read_answer takes other arguments"),
        (STANDARD + "def read_lookup(settings, received): ...", "read_lookup takes other arguments"),
    ],
)
async def test_a_profile_that_cannot_be_used_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, problem: str
) -> None:
    name = f"profile_{secrets.token_hex(8)}"
    if text is not None:
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ProviderProblem) as refused:
        Provider(settings(profile=name))
    assert str(refused.value).startswith(f"RECHARGE_PROVIDER__PROFILE: {name}")
    assert problem in str(refused.value)
    assert "\n" not in str(refused.value)


async def test_a_profile_whose_request_cannot_be_built_is_refused_at_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"profile_{secrets.token_hex(8)}"
    (tmp_path / f"{name}.py").write_text(STANDARD + "def request(settings, call): return None")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ProviderProblem, match="__PROFILE: fit no request"):
        Provider(settings(profile=name))


async def test_a_module_of_the_three_functions_alone_asks_as_the_standard_profile_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"profile_{secrets.token_hex(8)}"
    (tmp_path / f"{name}.py").write_text("from activities.profile import read_answer, read_lookup, request")
    monkeypatch.syspath_prepend(tmp_path)
    Provider(settings(profile=name, lookup_url="https://provider.example.net/r/{reference}"))


async def test_the_worked_example_can_be_chosen() -> None:
    Provider(
        settings(
            profile="activities.profiles.listing",
            reference_field="orderId",
            duplicate_protection="lookup",
            lookup_url="https://provider.example.net/orders?orderId={reference}",
        )
    )


# --- docs/providers.md ------------------------------------------------------------------------------------------------

PROVIDERS = (Path(__file__).parents[2] / "docs" / "providers.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PROVIDERS, re.MULTILINE | re.DOTALL)


async def test_the_documented_module_does_what_its_text_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (text,) = blocks("python")
    name = f"profile_{secrets.token_hex(8)}"
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    given = settings(profile=name)
    chosen = load_profile(given)

    def outcome(status: int, body: bytes) -> Outcome:
        now_utc = datetime(2026, 11, 1, tzinfo=UTC)
        return chosen.read_answer(given, Received(status, {}, body), after_unknown=True, now_utc=now_utc).outcome

    assert outcome(409, b'{"status":"charged"}') is Outcome.CHARGED
    assert outcome(409, b'{"status":"pending"}') is Outcome.UNKNOWN
    assert outcome(409, b"charged") is Outcome.UNKNOWN
    assert outcome(200, b'{"status":"charged"}') is Outcome.CHARGED
    assert outcome(404, b'{"status":"charged"}') is Outcome.UNKNOWN
    Provider(given)


async def test_the_documented_settings_of_the_worked_example_are_taken() -> None:
    (text,) = blocks("ini")
    lines = dict(line.split("=", 1) for line in text.splitlines())
    Provider(load(WorkerEnvironment, REQUIRED | lines).provider)


def test_every_documented_setting_is_one_and_has_its_default() -> None:
    fields = ProviderSettings.model_fields
    mentioned = set(re.findall(r"`(?:RECHARGE_PROVIDER__)?([A-Z]+(?:_[A-Z]+)+)(?:=[^`]*)?`", PROVIDERS))
    assert {name for name in mentioned if name.lower() not in fields} <= {"RECHARGE_INGEST__ORDERING"}
    for name, default in re.findall(r"^\| `([A-Z_]+)` \| `?([^`|]+?)`? \|", PROVIDERS, re.MULTILINE):
        declared = fields[name.lower()].default
        assert default == shown(declared), name


def shown(default: object) -> str:
    match default:
        case None:
            return "none"
        case bool():
            return str(default).lower()
        case float():
            return f"{default:g}"
        case frozenset():
            return ",".join(sorted(map(str, default)))
        case _:
            return str(default)
