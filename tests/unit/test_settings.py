"""Each wrong or missing setting gets one line with its full name, the problem and an example, and no secret is ever shown."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.environment import (
    RunEnvironment,
    load,
    section_models,
)
from app.setting_problems import LINES_MAX, SettingsError, variable
from recharge.contract import Ordering
from recharge.settings import DuplicateProtection, LogLevel
from tests.support.environment import ALL, SECRET, problems


def problem(name: str, value: str | None) -> str:
    """The one line about this setting when all others are right."""
    environ = ALL | {f"RECHARGE_{name}": "" if value is None else value}
    if value is None:
        del environ[f"RECHARGE_{name}"]
    (line,) = problems(environ)
    return line


def test_right_settings_are_read_with_their_types() -> None:
    settings = load(
        RunEnvironment,
        ALL
        | {
            "RECHARGE_INGEST__ORDERING": "account",
            "RECHARGE_PROVIDER__NOT_CHARGED_STATUSES": "429, 503",
            "RECHARGE_PROVIDER__TIMEOUT_S": "12.5",
            "RECHARGE_PROVIDER__SUCCESS_STATUS_DECIDES": "true",
            "RECHARGE_LOG__LEVEL": "debug",
        },
    )
    assert settings.ingest.ordering is Ordering.ACCOUNT
    assert settings.provider.not_charged_statuses == {429, 503}
    assert settings.provider.timeout_s == 12.5
    assert settings.provider.success_status_decides is True
    assert settings.provider.duplicate_protection is DuplicateProtection.NONE
    assert settings.kafka.dead_letters == "credit-transfers.dlt"
    assert settings.kafka.sasl_password is not None
    assert settings.kafka.sasl_password.get_secret_value() == SECRET
    assert settings.log.level is LogLevel.DEBUG
    assert SECRET not in repr(settings)


def test_no_status_at_all_may_be_promised_as_not_charged() -> None:
    environ = ALL | {"RECHARGE_PROVIDER__NOT_CHARGED_STATUSES": ""}
    assert load(RunEnvironment, environ).provider.not_charged_statuses == frozenset()


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("KAFKA__SOURCE", None, "RECHARGE_KAFKA__SOURCE is missing; for example RECHARGE_KAFKA__SOURCE=topups-2026"),
        ("KAFKA__SOURCE", "", "RECHARGE_KAFKA__SOURCE is empty; for example RECHARGE_KAFKA__SOURCE=topups-2026"),
        ("KAFKA__SOURCE", "a:b", "RECHARGE_KAFKA__SOURCE may hold letters, digits, '.', '_' and '-' only; for example"),
        ("KAFKA__SOURCE", "a/b", "RECHARGE_KAFKA__SOURCE may hold letters"),
        ("KAFKA__SOURCE", "s" * 65, "RECHARGE_KAFKA__SOURCE must have at most 64 characters"),
        ("KAFKA__BOOTSTRAP_SERVERS", None, "RECHARGE_KAFKA__BOOTSTRAP_SERVERS is missing; for example"),
        ("KAFKA__BOOTSTRAP_SERVERS", "kafka-1", "RECHARGE_KAFKA__BOOTSTRAP_SERVERS must be HOST:PORT, or several"),
        ("KAFKA__BOOTSTRAP_SERVERS", "a:1,,b:2", "RECHARGE_KAFKA__BOOTSTRAP_SERVERS must be HOST:PORT, or several"),
        ("KAFKA__BOOTSTRAP_SERVERS", "a:70000", "RECHARGE_KAFKA__BOOTSTRAP_SERVERS must be HOST:PORT, or several"),
        (
            "KAFKA__SECURITY_PROTOCOL",
            "ssl",
            "RECHARGE_KAFKA__SECURITY_PROTOCOL must be PLAINTEXT, SSL, SASL_PLAINTEXT or",
        ),
        (
            "KAFKA__SECURITY_PROTOCOL",
            "PLAINTEXT",
            "RECHARGE_KAFKA__SECURITY_PROTOCOL is PLAINTEXT, which is not encrypted",
        ),
        (
            "KAFKA__SASL_USERNAME",
            None,
            "RECHARGE_KAFKA__SASL_USERNAME is missing: SASL_SSL needs it beside RECHARGE_KAFKA__SASL_",
        ),
        (
            "KAFKA__SASL_PASSWORD",
            None,
            "RECHARGE_KAFKA__SASL_PASSWORD is missing: SASL_SSL needs it beside RECHARGE_KAFKA__SASL_USERNAME; for example ",
        ),
        ("KAFKA__SASL_PASSWORD", "", "RECHARGE_KAFKA__SASL_PASSWORD is empty"),
        (
            "KAFKA__SSL_CA_FILE",
            "/nowhere/ca.pem",
            "RECHARGE_KAFKA__SSL_CA_FILE must be the path of a file; for example",
        ),
        ("KAFKA__SSL_CA_FILE", f"-----BEGIN {SECRET * 400}", "RECHARGE_KAFKA__SSL_CA_FILE must be the path of a file"),
        ("KAFKA__SSL_CA_FILE", "a\0b", "RECHARGE_KAFKA__SSL_CA_FILE must be the path of a file"),
        (
            "KAFKA__SSL_CERT_FILE",
            __file__,
            "RECHARGE_KAFKA__SSL_KEY_FILE is missing: RECHARGE_KAFKA__SSL_CERT_FILE and",
        ),
        ("KAFKA__DEAD_LETTER_TOPIC", "credit-transfers", "RECHARGE_KAFKA__DEAD_LETTER_TOPIC is the topic itself"),
        ("INGEST__ORDERING", "phone", "RECHARGE_INGEST__ORDERING must be partition, account, key or none; for example"),
        ("INGEST__FIRST_START", "newest", "RECHARGE_INGEST__FIRST_START must be earliest or latest; for example"),
        ("INGEST__MAX_IN_FLIGHT", "many", "RECHARGE_INGEST__MAX_IN_FLIGHT must be a whole number; for example"),
        ("INGEST__MAX_IN_FLIGHT", "9" * 5000, "RECHARGE_INGEST__MAX_IN_FLIGHT must be a whole number"),
        ("INGEST__MAX_IN_FLIGHT", "0", "RECHARGE_INGEST__MAX_IN_FLIGHT must be at least 1"),
        ("INGEST__MAX_IN_FLIGHT", "10001", "RECHARGE_INGEST__MAX_IN_FLIGHT must be at most 10000"),
        ("INGEST__REFUSED_IN_A_ROW_MAX", "0", "RECHARGE_INGEST__REFUSED_IN_A_ROW_MAX must be at least 1"),
        ("TEMPORAL__TASK_QUEUE", "", "RECHARGE_TEMPORAL__TASK_QUEUE is empty"),
        ("TEMPORAL__WEB_UI_URL", "", "RECHARGE_TEMPORAL__WEB_UI_URL is empty; for example"),
        ("TEMPORAL__WEB_UI_URL", "temporal:8233", "RECHARGE_TEMPORAL__WEB_UI_URL must be http://HOST or https://HOST"),
        ("TEMPORAL__WEB_UI_URL", "ftp://temporal", "RECHARGE_TEMPORAL__WEB_UI_URL must be http://HOST or https://HOST"),
        ("TEMPORAL__WEB_UI_URL", "http://a b/", "RECHARGE_TEMPORAL__WEB_UI_URL must be http://HOST or https://HOST"),
        ("TEMPORAL__WEB_UI_URL", "http://h:x", "RECHARGE_TEMPORAL__WEB_UI_URL is not a URL"),
        ("TEMPORAL__WEB_UI_URL", f"http://u:{SECRET}@h", "RECHARGE_TEMPORAL__WEB_UI_URL must not hold a user"),
        ("TEMPORAL__WEB_UI_URL", "http://h/?a=b", "RECHARGE_TEMPORAL__WEB_UI_URL must end with the path"),
        (
            "MYSQL__URL",
            None,
            "RECHARGE_MYSQL__URL is missing; for example RECHARGE_MYSQL__URL=mysql://recharge:PASSWORD@",
        ),
        ("MYSQL__URL", f"postgres://u:{SECRET}@h/d", "RECHARGE_MYSQL__URL must begin with mysql://"),
        ("MYSQL__URL", f"mysql://u:{SECRET}@h:x/d", "RECHARGE_MYSQL__URL is not a URL"),
        ("MYSQL__URL", f"mysql://u:{SECRET}@127.0.0.1", "RECHARGE_MYSQL__URL must name user, host and database"),
        ("MYSQL__URL", f"mysql://u:{SECRET}@db/d", "RECHARGE_MYSQL__URL must name the server's CA"),
        ("MYSQL__URL", f"mysql://u:{SECRET}@db/d?ssl_ca=", "RECHARGE_MYSQL__URL has an option twice, or one without a"),
        ("MYSQL__URL", f"mysql://u:{SECRET}@db/d?xssl_ca=a", "RECHARGE_MYSQL__URL has an option that is not known"),
        ("MYSQL__URL", f"mysql://u:{SECRET}@db/d?ssl_ca=a&ssl_ca=b", "RECHARGE_MYSQL__URL has an option twice"),
        ("MYSQL__URL", f"mysql://u:{SECRET}@127.0.0.1/d?ssl_cert=a", "RECHARGE_MYSQL__URL must name the server's CA"),
        ("MYSQL__URL", f"mysql://u:{SECRET}@db/d?ssl_ca=a&ssl_key=b", "RECHARGE_MYSQL__URL must have ssl_cert and ssl"),
        ("PROVIDER__URL", None, "RECHARGE_PROVIDER__URL is missing; for example"),
        ("PROVIDER__URL", "provider", "RECHARGE_PROVIDER__URL must be https://HOST/PATH"),
        ("PROVIDER__URL", "http://provider.example.net/", "RECHARGE_PROVIDER__URL must be https; http is allowed on"),
        ("PROVIDER__URL", f"https://u:{SECRET}@h/", "RECHARGE_PROVIDER__URL must not hold a user or a password"),
        (
            "PROVIDER__DUPLICATE_PROTECTION",
            "lookup",
            "RECHARGE_PROVIDER__LOOKUP_URL is required where RECHARGE_PROVIDER__DUP",
        ),
        ("PROVIDER__LOOKUP_URL", "https://h/{id}", "RECHARGE_PROVIDER__LOOKUP_URL must hold {reference} exactly once"),
        ("PROVIDER__TIMEOUT_S", "30s", "RECHARGE_PROVIDER__TIMEOUT_S must be a number; for example"),
        ("PROVIDER__TIMEOUT_S", "nan", "RECHARGE_PROVIDER__TIMEOUT_S must be a finite number"),
        ("PROVIDER__TIMEOUT_S", "0.5", "RECHARGE_PROVIDER__TIMEOUT_S must be at least 1"),
        ("PROVIDER__KEY_LIFETIME_S", "inf", "RECHARGE_PROVIDER__KEY_LIFETIME_S must be a finite number"),
        (
            "PROVIDER__KEY_LIFETIME_S",
            "60",
            "RECHARGE_PROVIDER__KEY_LIFETIME_S must be longer than two calls (RECHARGE_PROV",
        ),
        ("PROVIDER__LOOKUP_FORGETS_AFTER_S", "0", "RECHARGE_PROVIDER__LOOKUP_FORGETS_AFTER_S must be more than 0"),
        (
            "PROVIDER__LOOKUP_FORGETS_AFTER_S",
            "60",
            "RECHARGE_PROVIDER__LOOKUP_FORGETS_AFTER_S must be longer than RECHARGE_",
        ),
        (
            "PROVIDER__NOT_CHARGED_STATUSES",
            "429,5xx",
            "RECHARGE_PROVIDER__NOT_CHARGED_STATUSES must be HTTP statuses of three",
        ),
        (
            "PROVIDER__NOT_CHARGED_STATUSES",
            "200",
            "RECHARGE_PROVIDER__NOT_CHARGED_STATUSES may hold statuses from 400 to",
        ),
        (
            "PROVIDER__SUCCESS_STATUS_DECIDES",
            "maybe",
            "RECHARGE_PROVIDER__SUCCESS_STATUS_DECIDES must be true or false",
        ),
        ("PROVIDER__AUTH_TOKEN", f"{SECRET} x", "RECHARGE_PROVIDER__AUTH_TOKEN must be printable ASCII without spaces"),
        (
            "PRIVACY__HASH_KEY",
            None,
            "RECHARGE_PRIVACY__HASH_KEY is missing; for example RECHARGE_PRIVACY__HASH_KEY_FILE=",
        ),
        ("PROVIDER__KEY_FILE", __file__, "RECHARGE_PROVIDER__CERT_FILE is missing: RECHARGE_PROVIDER__CERT_FILE and"),
        ("PRIVACY__HASH_KEY", "short", "RECHARGE_PRIVACY__HASH_KEY must have at least 16 characters"),
        (
            "LOG__LEVEL",
            "loud",
            "RECHARGE_LOG__LEVEL must be debug, info, warning or error; for example RECHARGE_LOG__LEVEL=info",
        ),
    ],
)
def test_each_wrong_setting_has_its_line(name: str, value: str | None, line: str) -> None:
    found = problem(name, value)
    assert found.startswith(line)
    assert "for example RECHARGE_" in found


FIELDS = [(section, name) for section, model in section_models(RunEnvironment).items() for name in model.model_fields]
ODD_TEXTS = [
    "",
    "0",
    "-1",
    "1e400",
    "nan",
    "x" * 5000,
    "{}",
    "https://",
    "mysql://[",
    "9" * 4500,
    "\ud800",
    "\0",
    "\n",
    "é",
]


def read_or_refuse(setting: tuple[str, str], text: str) -> None:
    try:
        load(RunEnvironment, ALL | {variable(*setting): text})
    except SettingsError as error:
        for line in error.lines:
            assert line.startswith("RECHARGE_")
            assert "; for example RECHARGE_" in line
            assert "nput should" not in line
            assert "is not valid:" not in line, "a kind of problem without words of ours"


@pytest.mark.parametrize("setting", FIELDS, ids="__".join)
def test_an_odd_text_is_read_or_refused_in_plain_words(setting: tuple[str, str]) -> None:
    for text in ODD_TEXTS:
        read_or_refuse(setting, text)


@settings(deadline=None)
@given(st.sampled_from(FIELDS), st.text())
def test_any_text_is_read_or_refused_in_plain_words(setting: tuple[str, str], text: str) -> None:
    read_or_refuse(setting, text)


def test_the_example_of_a_secret_is_a_file_and_never_a_value() -> None:
    line = problem("KAFKA__SASL_PASSWORD", None)
    assert line.endswith("for example RECHARGE_KAFKA__SASL_PASSWORD_FILE=/run/secrets/kafka_sasl_password")


def test_every_field_has_an_example() -> None:
    for model in section_models(RunEnvironment).values():
        for name, info in model.model_fields.items():
            assert info.examples, f"{model.__name__}.{name}"


def test_four_lines_at_most_are_shown_and_the_others_counted() -> None:
    with pytest.raises(SettingsError) as caught:
        load(RunEnvironment, {"RECHARGE_INGEST__MAX_IN_FLIGHT": "0", "RECHARGE_LOG__LEVEL": "loud"})
    assert len(caught.value.lines) == 7
    shown = str(caught.value).splitlines()
    assert len(shown) == LINES_MAX
    assert shown[-1] == "and 4 more"


def test_both_missing_sasl_settings_are_named() -> None:
    environ = {name: value for name, value in ALL.items() if "SASL" not in name}
    (line,) = problems(environ)
    assert line.startswith(
        "RECHARGE_KAFKA__SASL_USERNAME is missing, and so is RECHARGE_KAFKA__SASL_PASSWORD: SASL_SSL needs both"
    )
