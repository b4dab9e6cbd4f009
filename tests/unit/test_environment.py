"""A process reads its own settings from environment and files, and whoever misspells one is told so; no secret is ever shown."""

from pathlib import Path
from typing import NoReturn

import pytest

from app import process
from app.env_file import variables
from app.environment import (
    IngestEnvironment,
    MigrateEnvironment,
    ProduceEnvironment,
    RunEnvironment,
    WorkerEnvironment,
    load,
)
from app.main import main
from recharge.contract import Ordering
from tests.support.environment import ALL, KAFKA, MYSQL, PRIVACY, PROVIDER, SECRET, problems


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("RECHARGE_KAFKA__TOPICS", "RECHARGE_KAFKA__TOPIC"),
        ("RECHARGE_PROVIDER__TIMEOUT", "RECHARGE_PROVIDER__TIMEOUT_S"),
        ("RECHARGE_KAFAK__TOPIC", "RECHARGE_KAFKA__TOPIC"),
        ("RECHARGE_KAFKA__topic", "RECHARGE_KAFKA__TOPIC"),
        ("RECHARGE_Kafka__TOPIC", "RECHARGE_KAFKA__TOPIC"),
        ("RECHARGE_PRIVACY__HASHKEY_FILE", "RECHARGE_PRIVACY__HASH_KEY_FILE"),
        ("RECHARGE_INGEST_STALE_AFTER_S", "RECHARGE_INGEST__STALE_AFTER_S"),
        ("RECHARGE_KAFKA_SASL_PASSWORD_FILE", "RECHARGE_KAFKA__SASL_PASSWORD_FILE"),
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
        ALL
        | {
            "RECHARGE_DEVSTACK_CACHE": "/x",
            "RECHARGE_DEVSTACK__X": "1",
            "RECHARGE_HTTP_SERVICE_HOST": "1",
            "KAFKA__TOPICS": "x",
            "HOME": "/",
        },
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


@pytest.mark.parametrize(
    ("command", "setting"),
    [
        ("worker", "RECHARGE_PROVIDER__URL"),
        ("ingest", "RECHARGE_KAFKA__SOURCE"),
        ("run", "RECHARGE_KAFKA__BOOTSTRAP_SERVERS"),
        ("migrate", "RECHARGE_MYSQL__URL"),
    ],
)
def test_a_command_that_lacks_a_setting_ends_with_one_line_and_the_status_of_a_wrong_use(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, setting: str
) -> None:
    def leave(status: int) -> NoReturn:
        raise SystemExit(status)

    monkeypatch.setattr(process, "leave", leave)
    monkeypatch.setattr("sys.argv", ["recharge", command])
    monkeypatch.setattr("os.environ", {name: given for name, given in ALL.items() if name != setting})
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr()
    assert (ended.value.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert told.err.startswith(f"{setting} is missing; for example ")
