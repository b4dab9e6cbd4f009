"""Worker deployments: which build of the workers carries records on, as Temporal's `worker deployment` commands decide it.

A record may wait for days, so its workflow must not hang on a build whose workers are gone: it goes on with whatever build is current
(AUTO_UPGRADE), at its next step. Whether a build can go on with the open workflows is what `recharge replay` tells before it is deployed.
"""

import asyncio
import re
from dataclasses import dataclass
from datetime import timedelta

import structlog
from temporalio.api.workflowservice.v1 import DescribeWorkerDeploymentRequest
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import WorkerDeploymentConfig

from recharge import limits

log = structlog.get_logger(__name__)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,199}")
"""Temporal writes a version as NAME.BUILD-ID in places, so a name has no dot."""
_BUILD_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


class DeploymentProblem(ValueError):
    """The deployment or the build id cannot be used. Its text is one line."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """The deployment that a worker belongs to, and its build."""

    name: str
    build_id: str

    @classmethod
    def of(cls, name: str | None, build_id: str | None) -> "Deployment | None":
        """What the two options of the command line say; None where neither was given.

        Raises DeploymentProblem.
        """
        if name is None and build_id is None:
            return None
        if name is None or build_id is None:
            missing = "--deployment" if name is None else "--build-id"
            raise DeploymentProblem(f"{missing} is missing: --deployment NAME and --build-id ID go together")
        if not _NAME.fullmatch(name):
            raise DeploymentProblem(f"--deployment {name!r}: letters, digits, '-' and '_' only, 200 at most")
        if not _BUILD_ID.fullmatch(build_id):
            raise DeploymentProblem(f"--build-id {build_id!r}: letters, digits, '.', '-' and '_' only, 200 at most")
        return cls(name, build_id)

    def config(self) -> WorkerDeploymentConfig:
        """What the SDK's workers are told."""
        return WorkerDeploymentConfig(
            version=WorkerDeploymentVersion(self.name, self.build_id),
            use_worker_versioning=True,
            default_versioning_behavior=VersioningBehavior.AUTO_UPGRADE,
        )

    async def watch(self, client: Client) -> None:
        """Tell, until cancelled, whenever this build becomes the one that gets the work, or is not: Temporal itself says nothing."""
        was_current: bool | None = None
        while True:
            current = await self._current_build_id(client)
            is_current = current == self.build_id
            if is_current is not was_current:
                self._tell(current, is_current=is_current)
                was_current = is_current
            await asyncio.sleep(limits.DEPLOYMENT_POLL_S)

    def _tell(self, current: str | None, *, is_current: bool) -> None:
        where = {"deployment": self.name, "build_id": self.build_id}
        if is_current:
            log.info("this build is current: it gets the work", **where)
        else:
            log.warning(
                "this build is not current: no work comes to it",
                current=current,
                to_do=f"temporal worker deployment set-current-version --deployment-name {self.name} --build-id {self.build_id}",
                **where,
            )

    async def _current_build_id(self, client: Client) -> str | None:
        request = DescribeWorkerDeploymentRequest(namespace=client.namespace, deployment_name=self.name)
        timeout = timedelta(seconds=limits.RPC_TIMEOUT_S)
        while True:
            try:
                answer = await client.workflow_service.describe_worker_deployment(request, timeout=timeout)
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND:
                    return None  # the first poll of its first worker makes it
                log.debug("Temporal does not say which build is current", error=error.message)
                await asyncio.sleep(limits.DEPLOYMENT_POLL_S)
            else:
                return answer.worker_deployment_info.routing_config.current_deployment_version.build_id or None
