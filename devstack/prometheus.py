"""A real Prometheus with the alert rules of deploy/, to see what its users would see. Only the tests start it."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from devstack.processes import ManagedProcess, wait_until
from devstack.promtool import ensure_prometheus
from devstack.server import ManagedServer, minimal_environment

_READY_TIMEOUT_S: Final = 30.0
_CALL_TIMEOUT_S: Final = 10.0


class QueryError(Exception):
    """Prometheus refused an expression; the message is its own."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an answer: its labels and its newest value."""

    labels: dict[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class RuleHealth:
    """An alert rule as Prometheus has evaluated it: `health` is `ok`, `err`, or `unknown` before the first time."""

    alert: str
    health: str
    error: str
    is_firing: bool


class Prometheus(ManagedServer):
    """Prometheus as a child process, on loopback.

    `rules_file` is evaluated as often as the targets are read, every `interval_s` seconds. Targets may come and go while it runs.
    """

    def __init__(self, folder: Path, rules_file: Path, *, interval_s: int = 1) -> None:
        super().__init__("prometheus", folder)
        self._rules_file = rules_file
        self._interval_s = interval_s
        self._port = self._reserve_port()
        self._targets_file = folder / "targets.json"

    @property
    def url(self) -> str:
        """Where its API answers."""
        return f"http://127.0.0.1:{self._port}"

    def watch(self, job: str, ports: Sequence[int]) -> None:
        """Read the metrics on these ports of this machine, and on no others, under this job's name."""
        self.folder.mkdir(parents=True, exist_ok=True)
        targets = [f"127.0.0.1:{port}" for port in ports]
        # Renamed into place, so that no half of it is read.
        writing = self._targets_file.with_suffix(".new")
        writing.write_text(json.dumps([{"targets": targets, "labels": {"job": job}}]))
        writing.rename(self._targets_file)

    async def query(self, expression: str) -> list[Series]:
        """What an expression evaluates to at this moment.

        Raises:
            QueryError: where it cannot be evaluated.
        """
        answer = await self._get(f"/api/v1/query?query={quote(expression)}")
        found = answer["result"]
        if answer["resultType"] == "scalar":
            return [Series({}, float(found[1]))]
        return [Series(each["metric"], float(each["value"][1])) for each in found]

    async def alert_rules(self) -> list[RuleHealth]:
        """Every alert rule, as it was evaluated last."""
        answer = await self._get("/api/v1/rules?type=alert")
        return [
            RuleHealth(rule["name"], rule["health"], rule.get("lastError", ""), rule["state"] == "firing")
            for group in answer["groups"]
            for rule in group["rules"]
        ]

    async def _prepare(self) -> None:
        if not self._targets_file.exists():
            self.watch("recharge", [])
        settings = {
            "global": {
                "scrape_interval": f"{self._interval_s}s",
                "scrape_timeout": f"{self._interval_s}s",
                "evaluation_interval": f"{self._interval_s}s",
            },
            "rule_files": [str(self._rules_file)],
            "scrape_configs": [{"job_name": "recharge", "file_sd_configs": [{"files": [str(self._targets_file)]}]}],
        }
        # JSON is YAML as well.
        (self.folder / "prometheus.yml").write_text(json.dumps(settings, indent=2))

    def _launch(self) -> ManagedProcess:
        argv = [
            str(ensure_prometheus(lambda _: None)),
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
            "--log.level=warn",
        ]
        return ManagedProcess.start(self.name, argv, minimal_environment(), self.log_file, self.folder)

    async def _wait_until_ready(self, process: ManagedProcess) -> None:
        await wait_until(self._is_ready, _READY_TIMEOUT_S, "Prometheus answers", process=process)

    async def _is_ready(self) -> bool:
        try:
            await self.query("vector(1)")
        except OSError:
            return False
        return True

    async def _get(self, path: str) -> dict[str, Any]:
        def ask() -> dict[str, Any]:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=_CALL_TIMEOUT_S) as answer:
                    return _object(answer.read())
            except urllib.error.HTTPError as refused:
                with refused:
                    if refused.headers.get_content_type() != "application/json":
                        raise  # it is not ready yet
                    return _object(refused.read())

        answer = await asyncio.to_thread(ask)
        if answer["status"] != "success":
            raise QueryError(answer["error"])
        data: dict[str, Any] = answer["data"]
        return data


def _object(body: bytes) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(body)
    return read
