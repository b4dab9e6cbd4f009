"""docker-compose.yml gives each command every setting that it needs, shows no secret, and grants what the local stack grants."""

import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from app.environment import (
    Environment,
    IngestEnvironment,
    MigrateEnvironment,
    ProduceEnvironment,
    WorkerEnvironment,
    load,
)
from recharge import limits
from tests.support.compose import COMPOSE_FOLDER, ROOT, make_certificates, make_secrets

SERVICES: dict[str, dict[str, Any]] = YAML(typ="safe").load(ROOT / "docker-compose.yml")["services"]
FILE: dict[str, Any] = YAML(typ="safe").load(ROOT / "docker-compose.yml")
TEXT = (ROOT / "docker-compose.yml").read_text()
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
ONE_SHOTS = {"certificates", "kafka-setup", "migrate", "produce"}
COMMANDS: dict[str, type[Environment]] = {
    "ingest": IngestEnvironment,
    "worker": WorkerEnvironment,
    "migrate": MigrateEnvironment,
    "produce": ProduceEnvironment,
    # The simulator runs `recharge produce`; the set-up reads the same section, as the administrator.
    "simulator": ProduceEnvironment,
    "kafka-setup": ProduceEnvironment,
}


def seconds(duration: str) -> int:
    match = re.fullmatch(r"([0-9]+)s", duration)
    assert match is not None, f"{duration} is written in seconds"
    return int(match[1])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the secrets and the certificates, as the containers would find them."""
    folder = tmp_path_factory.mktemp("compose")
    make_secrets(folder / "secrets")
    make_certificates(folder)
    return folder


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_finds_all_of_its_settings_and_they_are_right(name: str, prepared: Path) -> None:
    here = {"/run/secrets/": f"{prepared}/secrets/", "/etc/recharge/": f"{prepared}/"}
    environ = dict(SERVICES[name]["environment"])
    for variable, value in environ.items():
        for inside, outside in here.items():
            if value.startswith(inside):
                environ[variable] = value.replace(inside, outside)
    settings = load(COMMANDS[name], environ)
    assert settings.model_dump()["log"]


def test_every_service_that_reads_settings_of_ours_is_checked() -> None:
    reading = {
        name
        for name, each in SERVICES.items()
        if any(key.startswith("RECHARGE_") for key in each.get("environment", {}))
    }
    assert reading == COMMANDS.keys()


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if command is not ProduceEnvironment])
def test_what_talks_to_temporal_is_told_where_it_is(name: str) -> None:
    assert SERVICES[name]["environment"]["TEMPORAL_ADDRESS"] == "temporal:7233"


def test_the_commands_exist() -> None:
    from app.main import cli  # noqa: PLC0415 - it loads the whole product, which the other tests here do without

    known = {each.name or (each.callback.__name__ if each.callback else "") for each in cli.registered_commands}
    used = {SERVICES[name]["command"][0] for name in ("ingest", "worker", "migrate", "produce")}
    assert used <= known


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned_to_a_whole_version(name: str) -> None:
    _, _, tag = SERVICES[name]["image"].rpartition(":")
    assert re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", tag)
    if name in OURS:
        assert tag == VERSION, "our images bear the version of pyproject.toml"


def test_the_base_image_is_pinned_to_a_whole_version() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^ARG PYTHON_IMAGE=python:3\.[0-9]+\.[0-9]+-slim-[a-z]+$", dockerfile, re.MULTILINE)
    sources = re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)
    assert set(sources) <= {"${PYTHON_IMAGE}", "wheels", "base"}


def test_our_images_run_as_a_numbered_user_that_is_not_root() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    for target in ("service", "devstack"):
        stage = re.search(rf"^FROM \S+ AS {target}$(.*?)(?=^FROM|\Z)", dockerfile, re.MULTILINE | re.DOTALL)
        assert stage is not None
        assert "USER 10001:10001" in stage[1]


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_stands_in_the_file(name: str) -> None:
    service = SERVICES[name]
    for key, value in service.get("environment", {}).items():
        if re.search(r"PASSWORD|TOKEN|KEY|SECRET|MYSQL__URL", key):
            assert key.endswith("_FILE"), f"{key} names a file"
            assert value.startswith("/run/secrets/")
    assert not re.search(r"://[^/\s]*:[^/\s]*@", TEXT), "no URL holds a password"


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_is_given_the_secrets_that_it_reads(name: str) -> None:
    service = SERVICES[name]
    given = set(service.get("secrets", []))
    words = [*map(str, service.get("environment", {}).values()), *map(str, service.get("command", []))]
    read = {match for word in words for match in re.findall(r"/run/secrets/(\w+)", word)}
    assert read <= given
    if name in {"kafka", "mysql"}:
        # What their own scripts read besides.
        script = (COMPOSE_FOLDER / {"kafka": "kafka/start", "mysql": "mysql/users.sh"}[name]).read_text()
        patterns = {"kafka": r"(?<=:)(admin|service|producer)\b", "mysql": r"\$secrets/mysql_(\w+)_password"}
        read |= {f"{name}_{user}_password" for user in re.findall(patterns[name], script)}
    assert given == read, "and no other"


def test_every_secret_is_made_by_the_script(prepared: Path) -> None:
    made = {file.name for file in (prepared / "secrets").iterdir()}
    assert made == FILE["secrets"].keys()
    assert {name: Path(each["file"]) for name, each in FILE["secrets"].items()} == {
        name: Path("deploy/compose/secrets") / name for name in made
    }


def test_secrets_are_random_kept_and_closed_to_other_users(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        make_secrets(folder)
    one, two = ({file.name: file.read_text() for file in folder.iterdir()} for folder in folders)
    assert all(one[name] != two[name] for name in one)
    assert len(set(one.values())) == len(one)
    make_secrets(folders[0])
    assert {file.name: file.read_text() for file in folders[0].iterdir()} == one
    assert stat.S_IMODE(folders[0].stat().st_mode) == 0o700


def test_git_ignores_the_secrets() -> None:
    secret = "deploy/compose/secrets/kafka_admin_password"
    ignored = subprocess.run(["git", "check-ignore", "--quiet", secret], cwd=ROOT, check=False)  # noqa: S607 - git is on PATH
    assert ignored.returncode == 0


def test_a_stopped_worker_may_finish_its_call_and_write_down_the_answer() -> None:
    worker = SERVICES["worker"]
    call_s = float(worker["environment"]["RECHARGE_PROVIDER__TIMEOUT_S"])
    assert seconds(worker["stop_grace_period"]) > call_s + limits.ACTIVITY_SLACK_S + limits.DEADLINE_GRACE_S


def test_a_stopped_intake_may_wait_for_its_records_and_commit() -> None:
    assert seconds(SERVICES["ingest"]["stop_grace_period"]) > limits.STOP_TIMEOUT_S + limits.KAFKA_CALL_TIMEOUT_S


@pytest.mark.parametrize("name", OURS)
def test_our_containers_can_change_nothing(name: str) -> None:
    service = OURS[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", SERVICES)
def test_only_the_web_ui_is_published_and_on_loopback(name: str) -> None:
    assert SERVICES[name].get("ports", []) == (["127.0.0.1:8233:8233"] if name == "temporal" else [])


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_starts_after_what_it_needs_is_ready(name: str) -> None:
    service = SERVICES[name]
    for needed, how in service.get("depends_on", {}).items():
        expected = "service_completed_successfully" if needed in ONE_SHOTS else "service_healthy"
        assert how["condition"] == expected
        assert needed in ONE_SHOTS or "healthcheck" in SERVICES[needed]
    assert service["restart"] == ("no" if name in ONE_SHOTS else "unless-stopped")


def test_only_the_servers_see_the_key_of_their_certificate() -> None:
    mounting = {
        name for name, each in SERVICES.items() if any("server-certificate" in str(v) for v in each.get("volumes", []))
    }
    assert mounting == {"certificates", "kafka", "mysql", "simulator"}


def test_the_certificate_has_the_name_of_every_server() -> None:
    command = SERVICES["certificates"]["command"]
    assert {"kafka", "mysql", "simulator", "localhost"} <= set(command)


def test_a_certificate_stays_while_it_fits_and_is_made_anew_when_it_does_not(tmp_path: Path) -> None:
    make_certificates(tmp_path, "kafka")
    first = (tmp_path / "server/server.pem").read_bytes()
    make_certificates(tmp_path, "kafka")
    assert (tmp_path / "server/server.pem").read_bytes() == first
    make_certificates(tmp_path, "kafka", "mysql")
    second = (tmp_path / "server/server.pem").read_bytes()
    assert second != first
    (tmp_path / "server/server.key").unlink()
    make_certificates(tmp_path, "kafka", "mysql")
    assert (tmp_path / "server/server.pem").read_bytes() != second


def test_mysql_keeps_every_commit_and_refuses_plain_connections() -> None:
    command = set(SERVICES["mysql"]["command"])
    assert {
        "--require-secure-transport=ON",
        "--sync-binlog=1",
        "--innodb-flush-log-at-trx-commit=1",
        "--log-bin=binlog",
    } <= command


def test_temporal_runs_with_the_options_of_the_local_stack() -> None:
    source = (ROOT / "devstack/temporal.py").read_text()
    pairs = re.findall(r'"(--(?:sqlite-pragma|dynamic-config-value|log-level))", "([^"]+)"', source)
    assert len(pairs) >= 4
    assert {f"{flag}={value}" for flag, value in pairs} <= set(SERVICES["temporal"]["command"])


def test_temporal_s_program_knows_the_options() -> None:
    program = Path(sys.executable).parent / "temporal"
    described = "".join(
        subprocess.run([program, *arguments], capture_output=True, text=True, check=True, timeout=30).stdout
        for arguments in (["server", "start-dev", "--help"], ["options"])
    )
    for option in SERVICES["temporal"]["command"]:
        assert f"{option.partition('=')[0]} " in described


def test_the_broker_is_as_strict_as_that_of_the_local_stack() -> None:
    properties = (COMPOSE_FOLDER / "kafka/server.properties").read_text().splitlines()
    source = "".join((ROOT / "devstack" / name).read_text() for name in ("kafka.py", "kafka_listeners.py"))
    for key in (
        "listener.security.protocol.map",
        "inter.broker.listener.name",
        "authorizer.class.name",
        "auto.create.topics.enable",
    ):
        (line,) = (each for each in properties if each.startswith(f"{key}="))
        assert f'"{key}": "{line.partition("=")[2]}"' in source


def test_the_file_fits_the_compose_specification() -> None:
    program = Path(sys.executable).parent / "check-jsonschema"
    checked = subprocess.run(
        [program, "--builtin-schema", "vendor.compose-spec", ROOT / "docker-compose.yml"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout


def test_the_ledger_s_users_are_read_by_the_entry_point_and_not_run() -> None:
    script = COMPOSE_FOLDER / "mysql/users.sh"
    assert not script.stat().st_mode & 0o111, "an executable file would be run apart, without docker_process_sql"


def test_scripts_are_free_of_syntax_errors() -> None:
    for shell, name in (("sh", "make-secrets"), ("sh", "kafka/start"), ("bash", "mysql/users.sh")):
        subprocess.run([shell, "-n", COMPOSE_FOLDER / name], check=True, timeout=30)


def test_the_broker_s_secrets_are_written_to_memory_alone() -> None:
    match = re.search(r"WORK_FOLDER:-([^}]+)}", (COMPOSE_FOLDER / "kafka/start").read_text())
    assert match is not None
    assert SERVICES["kafka"]["tmpfs"] == [match[1]]
    assert f"--command-config={match[1]}/admin.properties" in SERVICES["kafka"]["healthcheck"]["test"]


def test_the_builder_is_sent_what_the_dockerfile_copies_and_every_package() -> None:
    copied = {
        source
        for sources in re.findall(r"^COPY (?!--)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
        for source in sources.split()
    }
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == sent
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {name.rstrip("*") for name in packages} <= copied


def test_no_clusters_id_looks_like_an_option() -> None:
    (line,) = re.findall(
        r"^ *head -c 16 /dev/urandom \| (.+)$", (COMPOSE_FOLDER / "kafka/start").read_text(), re.MULTILINE
    )
    for sixteen in (b"\xff", b"\xfb\xef\xbe", b"\x00"):
        made = subprocess.run(
            ["/bin/sh", "-c", line], input=(sixteen * 16)[:16], capture_output=True, check=True
        ).stdout
        assert re.fullmatch(rb"[A-Za-z0-9]{22}", made), made
