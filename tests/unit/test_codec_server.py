"""A codec server that could not serve, or that would serve in plaintext, is refused at start in one line."""

import asyncio
import base64
import socket
from pathlib import Path

import pytest

from app.codec_server import run
from app.environment import CodecServerEnvironment, load
from app.http_problem import HttpProblem
from app.process import CannotServe
from app.setting_problems import SettingsError
from recharge.settings import TemporalSettings

TOKEN = "t0ken-of-those-who-may-see-numbers"
KEYS = f"k1:{base64.b64encode(bytes(32)).decode()}"


def environ(**settings: str) -> dict[str, str]:
    return {f"RECHARGE_CODEC_SERVER__{name}": text for name, text in ({"TOKEN": TOKEN} | settings).items()}


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"TOKEN": ""}, "RECHARGE_CODEC_SERVER__TOKEN is empty; for example RECHARGE_CODEC_SERVER__TOKEN_FILE="),
        ({"TOKEN": "short"}, "RECHARGE_CODEC_SERVER__TOKEN must have at least 24 characters"),
        ({"TOKEN": "several words of some length"}, "RECHARGE_CODEC_SERVER__TOKEN must be printable ASCII"),
        ({"LISTEN": "8234"}, "RECHARGE_CODEC_SERVER__LISTEN must be HOST:PORT"),
        ({"LISTEN": "127.0.0.1:0"}, "RECHARGE_CODEC_SERVER__LISTEN must be HOST:PORT"),
        ({"LISTEN": "0.0.0.0:8234"}, "RECHARGE_CODEC_SERVER__CERT_FILE is missing: beyond loopback"),
        ({"LISTEN": "codec.example.net:8234"}, "RECHARGE_CODEC_SERVER__CERT_FILE is missing: beyond loopback"),
        ({"CERT_FILE": "/etc/hostname"}, "RECHARGE_CODEC_SERVER__KEY_FILE is missing"),
        ({"KEY_FILE": "/etc/hostname"}, "RECHARGE_CODEC_SERVER__CERT_FILE is missing"),
    ],
)
def test_wrong_settings_are_refused_by_name(settings: dict[str, str], why: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(CodecServerEnvironment, environ(**settings))
    (line,) = caught.value.lines
    assert line.startswith(why)
    assert TOKEN not in line


async def refusal(settings: dict[str, str]) -> str:
    with pytest.raises((CannotServe, HttpProblem)) as caught:
        await run(load(CodecServerEnvironment, settings), "default", asyncio.Event())
    return str(caught.value)


async def test_without_a_key_there_is_nothing_to_serve() -> None:
    assert "RECHARGE_TEMPORAL__PAYLOAD_KEYS is missing" in await refusal(environ())


async def test_a_certificate_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cert").write_text("no certificate")
    files = {name: str(tmp_path / "cert") for name in ("CERT_FILE", "KEY_FILE")}
    told = await refusal(environ(**files) | {"RECHARGE_TEMPORAL__PAYLOAD_KEYS": KEYS})
    assert told.startswith("RECHARGE_CODEC_SERVER__CERT_FILE and __KEY_FILE cannot be used together: ")
    assert "\n" not in told


async def test_an_address_that_is_taken_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        told = await refusal(environ(LISTEN=listen) | {"RECHARGE_TEMPORAL__PAYLOAD_KEYS": KEYS})
    assert told.startswith(f"RECHARGE_CODEC_SERVER__LISTEN={listen} cannot be listened on: Address already in use")


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        (None, None),
        ("https://temporal.example.net/ui", "https://temporal.example.net"),
        ("https://temporal.example.net:443", "https://temporal.example.net"),
        ("http://Temporal.example.net:8233/", "http://temporal.example.net:8233"),
        ("http://[::1]:8233", "http://[::1]:8233"),
    ],
)
def test_the_web_uis_origin_is_told_as_a_browser_tells_it(url: str | None, origin: str | None) -> None:
    assert TemporalSettings.model_validate({"web_ui_url": url}).web_ui_origin == origin
