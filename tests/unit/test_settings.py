"""Each wrong or missing setting gets one line with its full name, the problem and an example, and no secret is ever shown."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.environment import (
    IngestEnvironment,
    MigrateEnvironment,
    ProduceEnvironment,
    RunEnvironment,
    WorkerEnvironment,
    load,
    section_models,
    variables,
)
from app.setting_problems import LINES_MAX, SettingsError, variable
from recharge.contract import Ordering
from recharge.settings import DuplicateProtection, LogLevel

SECRET = "s3cret-that-nobody-may-see"
KAFKA = {
    "RECHARGE_KAFKA__BOOTSTRAP_SERVERS": "kafka-1.example.net:9093",
    "RECHARGE_KAFKA__SOURCE": "topups-2026",
    "RECHARGE_KAFKA__SASL_USERNAME": "recharge",
    "RECHARGE_KAFKA__SASL_PASSWORD": SECRET,
}
MYSQL = {"RECHARGE_MYSQL__URL": f"mysql://recharge:{SECRET}@127.0.0.1:3306/recharge"}
PROVIDER = {"RECHARGE_PROVIDER__URL": "https://provider.example.net/recharges"}
PRIVACY = {"RECHARGE_PRIVACY__HASH_KEY": SECRET}
ALL = KAFKA | MYSQL | PROVIDER | PRIVACY


def problems(environ: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load(RunEnvironment, environ)
    error = caught.value
    assert SECRET not in str(error) + repr(error) + "".join(error.lines)
    assert error.__cause__ is None, "what pydantic said is not shown beneath"
    assert all(line.isprintable() for line in error.lines)
    return error.lines


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
        ("INGEST__MAX_IN_FLIGHT", "many", "RECHARGE_INGEST__MAX_IN_FLIGHT must be a whole number; for example"),
        ("INGEST__MAX_IN_FLIGHT", "9" * 5000, "RECHARGE_INGEST__MAX_IN_FLIGHT must be a whole number"),
        ("INGEST__MAX_IN_FLIGHT", "0", "RECHARGE_INGEST__MAX_IN_FLIGHT must be at least 1"),
        ("INGEST__MAX_IN_FLIGHT", "10001", "RECHARGE_INGEST__MAX_IN_FLIGHT must be at most 10000"),
        ("TEMPORAL__TASK_QUEUE", "", "RECHARGE_TEMPORAL__TASK_QUEUE is empty"),
        (
            "MYSQL__URL",
            None,
            "RECHARGE_MYSQL__URL is missing; for example RECHARGE_MYSQL__URL=mysql://recharge:PASSWORD@",
        ),
        ("MYSQL__URL", f"postgres://u:{SECRET}@h/d", "RECHARGE_MYSQL__URL must begin with mysql://"),
        ("MYSQL__URL", f"mysql://u:{SECRET}@h:x/d", "RECHARGE_MYSQL__URL is not a URL"),
        ("MYSQL__URL", f"mysql://u:{SECRET}@127.0.0.1", "RECHARGE_MYSQL__URL must name user, host and database"),
        ("MYSQL__URL", f"mysql://u:{SECRET}@db/d", "RECHARGE_MYSQL__URL must name the server's CA"),
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


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(
        [(section, name) for section, model in section_models(RunEnvironment).items() for name in model.model_fields]
    ),
    st.text()
    | st.sampled_from(["", "0", "-1", "1e400", "x" * 5000, "{}", "https://", "mysql://[", "9" * 4500, "\ud800"]),
)
def test_whatever_a_setting_holds_it_is_read_or_refused_in_plain_words(setting: tuple[str, str], text: str) -> None:
    name = variable(*setting)
    try:
        load(RunEnvironment, ALL | {name: text})
    except SettingsError as error:
        for line in error.lines:
            assert line.startswith("RECHARGE_")
            assert "; for example RECHARGE_" in line
            assert "nput should" not in line
            assert "is not valid:" not in line, "a kind of problem without words of ours"


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


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("RECHARGE_KAFKA__TOPICS", "RECHARGE_KAFKA__TOPIC"),
        ("RECHARGE_PROVIDER__TIMEOUT", "RECHARGE_PROVIDER__TIMEOUT_S"),
        ("RECHARGE_KAFAK__TOPIC", "RECHARGE_KAFKA__TOPIC"),
        ("RECHARGE_KAFKA__topic", "RECHARGE_KAFKA__TOPIC"),
        ("RECHARGE_Kafka__TOPIC", "RECHARGE_KAFKA__TOPIC"),
        ("RECHARGE_PRIVACY__HASHKEY_FILE", "RECHARGE_PRIVACY__HASH_KEY_FILE"),
    ],
)
def test_a_misspelt_setting_is_refused_with_the_one_that_was_meant(name: str, meant: str) -> None:
    assert problems(ALL | {name: SECRET}) == (f"{name} is not a setting; did you mean {meant}?",)


def test_an_unknown_setting_is_answered_with_those_there_are() -> None:
    (line,) = problems(ALL | {"RECHARGE_MYSQL__ZZZ": SECRET})
    assert line == "RECHARGE_MYSQL__ZZZ is not a setting; RECHARGE_MYSQL__… are URL"


def test_a_process_is_refused_only_for_settings_that_it_reads() -> None:
    wrong = {"RECHARGE_KAFKA__SOURCE": "a:b", "RECHARGE_KAFKA__TOPICS": "x", "RECHARGE_PRIVACY__HASH_KEY": ""}
    assert load(WorkerEnvironment, MYSQL | PROVIDER | wrong).provider.timeout_s == 30
    assert load(MigrateEnvironment, MYSQL | wrong).temporal.task_queue == "recharge"
    assert load(ProduceEnvironment, KAFKA | {"RECHARGE_MYSQL__URL": "x"}).kafka.source == "topups-2026"
    assert load(IngestEnvironment, KAFKA | PRIVACY | {"RECHARGE_PROVIDER__X": "x"}).ingest.max_in_flight == 500


def test_variables_of_others_are_left_alone() -> None:
    load(
        RunEnvironment,
        ALL | {"RECHARGE_DEVSTACK_CACHE": "/x", "RECHARGE_DEVSTACK__X": "1", "KAFKA__TOPICS": "x", "HOME": "/"},
    )


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_secret_is_read_from_its_file_without_the_newline_at_the_end(tmp_path: Path, ending: str) -> None:
    file = tmp_path / "password"
    file.write_bytes(f" {SECRET} {ending}".encode())
    environ = ALL | {"RECHARGE_KAFKA__SASL_PASSWORD_FILE": str(file)}
    del environ["RECHARGE_KAFKA__SASL_PASSWORD"]
    password = load(RunEnvironment, environ).kafka.sasl_password
    assert password is not None
    assert password.get_secret_value() == f" {SECRET} "


def test_what_is_wrong_in_a_secrets_file_is_told_with_both_names(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text(f"postgres://u:{SECRET}@h/d")
    environ = KAFKA | PROVIDER | PRIVACY | {"RECHARGE_MYSQL__URL_FILE": str(file)}
    (line,) = problems(environ)
    assert line.startswith("RECHARGE_MYSQL__URL (from RECHARGE_MYSQL__URL_FILE) must begin with mysql://; for example")


def test_a_secret_given_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(SECRET)
    (line,) = problems(ALL | {"RECHARGE_PRIVACY__HASH_KEY_FILE": str(file)})
    assert line == "RECHARGE_PRIVACY__HASH_KEY and RECHARGE_PRIVACY__HASH_KEY_FILE are both given; leave one out"


def test_a_secrets_file_that_cannot_be_read_is_named_once(tmp_path: Path) -> None:
    environ = KAFKA | MYSQL | PROVIDER | {"RECHARGE_PRIVACY__HASH_KEY_FILE": "/nowhere/key"}
    (line,) = problems(environ)
    assert line.startswith(
        "RECHARGE_PRIVACY__HASH_KEY_FILE names a file that cannot be read: No such file or directory; for example"
    )
    (tmp_path / "binary").write_bytes(b"\xff")
    (tmp_path / "large").write_bytes(b"x" * 300_000)
    for name, said in (
        ("binary", "not UTF-8 text"),
        ("large", "above 256 KiB"),
        (".", "Is a directory"),
        ("\0", "null characters"),
    ):
        (line,) = problems(environ | {"RECHARGE_PRIVACY__HASH_KEY_FILE": f"{tmp_path}/{name}"})
        assert said in line


def test_a_field_whose_own_name_ends_in_file_is_a_path() -> None:
    assert load(RunEnvironment, ALL | {"RECHARGE_KAFKA__SSL_CA_FILE": __file__}).kafka.ssl_ca_file == Path(__file__)


def env_file(tmp_path: Path, *lines: str) -> dict[str, str]:
    file = tmp_path / "recharge.env"
    file.write_text("\n".join(lines))
    return {"RECHARGE_ENV_FILE": str(file)}


def test_settings_come_from_the_file_and_the_environment_wins(tmp_path: Path) -> None:
    secret_file = tmp_path / "hash-key"
    secret_file.write_text("from the other file")
    environ = env_file(
        tmp_path,
        "# The settings of one host.",
        "",
        *(f"{name}='{value}'" for name, value in ALL.items()),
        "export RECHARGE_KAFKA__TOPIC = transfers # the old name",
        'RECHARGE_KAFKA__GROUP_ID="a # b" # quoted',
        "RECHARGE_INGEST__ORDERING=key",
        "TEMPORAL_ADDRESS=temporal.example.net:7233",
    )
    environ |= {
        "RECHARGE_INGEST__ORDERING": "none",
        "RECHARGE_PRIVACY__HASH_KEY_FILE": str(secret_file),
        "TEMPORAL_NAMESPACE": "x",
    }
    settings = load(RunEnvironment, environ)
    assert settings.kafka.topic == "transfers"
    assert settings.kafka.group_id == "a # b"
    assert settings.ingest.ordering is Ordering.NONE
    assert settings.privacy.hash_key.get_secret_value() == "from the other file"
    assert variables(environ)["TEMPORAL_ADDRESS"] == "temporal.example.net:7233"
    assert variables(environ)["TEMPORAL_NAMESPACE"] == "x"


def test_a_password_in_the_file_is_taken_as_it_stands(tmp_path: Path) -> None:
    environ = KAFKA | MYSQL | PROVIDER | env_file(tmp_path, "RECHARGE_PRIVACY__HASH_KEY=${HOME}\\n'#$x\"=0123456")
    assert load(RunEnvironment, environ).privacy.hash_key.get_secret_value() == "${HOME}\\n'#$x\"=0123456"


@pytest.mark.parametrize("line", [SECRET, f"'A'={SECRET}", f'RECHARGE_PRIVACY__HASH_KEY="{SECRET}', f"1A={SECRET}"])
def test_a_line_of_the_file_that_cannot_be_read_is_refused_and_not_shown(tmp_path: Path, line: str) -> None:
    (said,) = problems(ALL | env_file(tmp_path, "A=1", line))
    assert said.startswith("line 2 of the file named by RECHARGE_ENV_FILE cannot be read")


def test_a_name_that_stands_twice_in_the_file_is_refused(tmp_path: Path) -> None:
    (said,) = problems(ALL | env_file(tmp_path, "A=1", "A=2"))
    assert said == "A stands twice in the file named by RECHARGE_ENV_FILE, again in line 2"


def test_a_missing_settings_file_is_named() -> None:
    (said,) = problems(ALL | {"RECHARGE_ENV_FILE": "/nowhere/recharge.env"})
    assert said.startswith("RECHARGE_ENV_FILE names a file that cannot be read: No such file or directory; for example")
