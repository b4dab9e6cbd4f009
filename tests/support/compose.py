"""What docker-compose.yml's own programs do, done here: secrets, certificates, access rules."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from recharge.settings import KafkaSettings

ROOT = Path(__file__).parents[2]
COMPOSE_FOLDER = ROOT / "deploy/compose"
_TIMEOUT_S = 60.0


def make_secrets(folder: Path) -> None:
    """Run the script that makes the passwords."""
    subprocess.run([COMPOSE_FOLDER / "make-secrets", folder], check=True, timeout=_TIMEOUT_S, stdout=subprocess.DEVNULL)


def make_certificates(folder: Path, *names: str) -> None:
    """Run the program that makes the certificates, into the folders `authority` and `server`."""
    for part in ("authority", "server"):
        (folder / part).mkdir(exist_ok=True)
    argv = [
        sys.executable, str(COMPOSE_FOLDER / "certificates.py"),
        "--authority-folder", str(folder / "authority"), "--server-folder", str(folder / "server"),
        *(names or ("kafka", "mysql", "simulator", "localhost")),
    ]  # fmt: skip
    subprocess.run(argv, check=True, timeout=_TIMEOUT_S, stdout=subprocess.DEVNULL)


def client_options_of_compose(address: str, user: str, password: str, ca_file: Path) -> dict[str, Any]:
    """The arguments by which aiokafka's clients connect as this user, as the set-up of the topics makes them."""
    settings = KafkaSettings.model_validate(
        {
            "bootstrap_servers": address,
            "source": "compose",
            "sasl_username": user,
            "sasl_password": password,
            "ssl_ca_file": ca_file,
        }
    )
    options: dict[str, Any] = _program("kafka_setup").client_options(settings)
    return options


def _program(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"compose_{name}", COMPOSE_FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
