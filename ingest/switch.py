"""What the ingester knows of its switch: whether it may start anything new, and when it throws the switch itself."""

import asyncio

import structlog
from temporalio.client import Client
from temporalio.exceptions import WorkflowAlreadyStartedError

from ingest import pause
from ingest.patience import DeletedError, Patience
from ingest.pause import Pause
from ingest.refusals import RefusalsInARow
from ingest.standing import PauseReason
from recharge import contract, limits
from recharge.contract import RechargeResult

_log = structlog.get_logger(__name__)


class Switch:
    """The switch of one source, as one ingester sees it.

    While Temporal does not answer, the last known answer holds. Where the ingester itself has to pause, it is paused at once, and the
    workflow that says so follows.
    """

    def __init__(self, client: Client, patience: Patience, source: str, *, by: str, refused_in_a_row_max: int) -> None:
        """Begin as not paused: `refresh` has to be awaited before anything is started.

        Args:
            client: reaches the workflow that is the switch.
            patience: waits for Temporal, and says so once.
            source: the source whose intake it is.
            by: who pauses it, where the ingester does so itself.
            refused_in_a_row_max: how many distinct records may be refused one after another with the same status.
        """
        self._client = client
        self._patience = patience
        self._source = source
        self._by = by
        self._refusals = RefusalsInARow(refused_in_a_row_max)
        self._pause: Pause | None = None
        self._own_reason: str | None = None
        # An answer that was asked for before the ingester paused itself must not be taken for the newer one.
        self._one_at_a_time = asyncio.Lock()

    @property
    def is_paused(self) -> bool:
        """Whether nothing new may be started."""
        return self._pause is not None or self._own_reason is not None

    @property
    def reason(self) -> PauseReason | None:
        """Why nothing new may be started, where that is so."""
        if self._own_reason is not None:
            return PauseReason.REFUSED_IN_A_ROW
        return None if self._pause is None else self._pause.reason

    @property
    def refused_in_a_row(self) -> int:
        """How many distinct records were refused one after another with the same status."""
        return self._refusals.count

    async def watch(self) -> None:
        """Look at the switch again and again, until cancelled.

        Raises:
            StarterProblem: waiting for Temporal cannot help.
        """
        while True:
            await asyncio.sleep(limits.PAUSE_POLL_S)
            await self.refresh()

    async def refresh(self) -> None:
        """Look at the switch; throw it first where the ingester has to.

        Raises:
            StarterProblem: waiting for Temporal cannot help.
        """
        async with self._one_at_a_time:
            reason = self._own_reason
            if reason is not None:
                await self._begin(reason)
            self._now(await self._read())
            if reason is not None:
                self._own_reason = None

    def heard(self, workflow_id: str, result: RechargeResult) -> None:
        """Hear how a record ended that was started here. From the last one that may be refused on, nothing new is started."""
        if self.is_paused:
            return
        self._own_reason = self._refusals.heard(workflow_id, result)
        if self._own_reason is not None:
            _log.error(
                "too many records refused in a row: is the provider's URL right, has its API changed?",
                problem=self._own_reason,
                to_do="mend the cause, then type `recharge resume --by WHO --note WHY`; `recharge redrive` carries refused records out",
            )

    async def settle(self) -> None:
        """Return when the switch stands in Temporal, where the ingester has thrown it.

        Raises:
            StarterProblem: waiting for Temporal cannot help.
        """
        if self._own_reason is not None:
            await self.refresh()

    async def _read(self) -> Pause | None:
        workflow_id = contract.pause_workflow_id(self._source)
        try:
            return await self._patience.ask(workflow_id, lambda: pause.read(self._client, self._source))
        except DeletedError:
            return None

    async def _begin(self, reason: str) -> None:
        workflow_id = contract.pause_workflow_id(self._source)
        try:
            await self._patience.ask(
                workflow_id, lambda: pause.begin(self._client, self._source, by=self._by, note=reason)
            )
        except WorkflowAlreadyStartedError:
            # A person, or another ingester, was quicker.
            _log.info("the intake is paused already", workflow_id=workflow_id)

    def _now(self, found: Pause | None) -> None:
        before, self._pause = self._pause, found
        if found is not None and (before is None or before.run_id != found.run_id):
            _log.warning(
                "intake is paused: what was started goes on, nothing new is started",
                by=found.by,
                since=found.since.isoformat(timespec="seconds"),
                note=found.note,
            )
        if found is None and before is not None:
            self._refusals.forget()
            _log.info("intake goes on: it was resumed")
