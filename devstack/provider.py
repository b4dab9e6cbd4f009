"""The provider simulator as a server of the stack: its process, and the client that chooses its faults."""

import sys
from pathlib import Path
from typing import Final

from devstack.certificates import Certificates
from devstack.processes import ManagedProcess, wait_until
from devstack.secrets_file import ensure_secret
from devstack.server import ManagedServer, minimal_environment
from devstack.simulator.client import SimulatorClient

_READY_TIMEOUT_S: Final = 30.0
_TERMINATE_TIMEOUT_S: Final = 5.0


class ProviderSimulator(ManagedServer):
    """The provider's API over HTTPS. What it charged stands in its folder and survives a kill.

    `client` asks it what it received and chooses its faults. `producer_command` reads JSON records from its standard
    input and sends them to the topic; `producer_env_file` is the file of settings that it is given.
    """

    def __init__(
        self, folder: Path, certificates: Certificates, producer_command: str | None, producer_env_file: Path
    ) -> None:
        super().__init__("provider", folder, _TERMINATE_TIMEOUT_S)
        self.ca_file = certificates.ca_file
        self._certificates = certificates
        self._port, self._control_port = self._reserve_port(), self._reserve_port()
        self._producer_command = producer_command
        self._producer_env_file = producer_env_file
        self.client = SimulatorClient(self._port, self._control_port)

    @property
    def port(self) -> int:
        """The port of the provider's API on 127.0.0.1."""
        return self._port

    @property
    def url(self) -> str:
        """Where recharges are POSTed."""
        return self.client.url

    @property
    def lookup_url(self) -> str:
        """Where one recharge is asked for, a template with `{reference}`."""
        return self.client.lookup_url

    @property
    def statement_url(self) -> str:
        """Where the statement of charges is read."""
        return self.client.statement_url

    @property
    def control_url(self) -> str:
        """The control API's address, plain HTTP on loopback."""
        return f"http://127.0.0.1:{self._control_port}"

    @property
    def auth_token(self) -> str:
        """The bearer token that callers must show; it stays the same for the folder."""
        return ensure_secret(self.folder / "passwords", "auth-token")

    def _launch(self) -> ManagedProcess:
        argv = [
            sys.executable, "-m", "devstack.simulator",
            "--port", str(self._port),
            "--control-port", str(self._control_port),
            "--folder", str(self.folder),
            "--cert", str(self._certificates.cert_file),
            "--key", str(self._certificates.key_file),
            "--auth-token", self.auth_token,
        ]  # fmt: skip
        if self._producer_command is not None:
            argv += ["--producer-command", self._producer_command]
        env = minimal_environment(RECHARGE_ENV_FILE=str(self._producer_env_file))
        return ManagedProcess.start(self.name, argv, env, self.log_file, self.folder)

    async def _wait_until_ready(self, process: ManagedProcess) -> None:
        await wait_until(self.client.is_ready, _READY_TIMEOUT_S, "the simulator answers", process=process)
