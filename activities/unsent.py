"""Attempts that were opened and never sent, since the ledger went away before it could say that they are open."""

import asyncio

import structlog

from activities.calls import CallsInFlight
from activities.failures import backoff_s
from activities.ledger import Ledger, LedgerError, LedgerUnavailable, LedgerUnfit
from recharge import limits
from recharge.contract import RecordInput

log = structlog.get_logger(__name__)


class Unsent:
    """The openings of this process that failed, and may stand in the ledger all the same: only the reply to a COMMIT may have been lost.

    To everybody else such an attempt is a doubt. Here it is known that its call never left, so it is closed as `not_sent` as soon
    as the ledger answers again, or when the same record is to be sent once more here. If the process ends before, it stays a doubt.
    """

    def __init__(self, ledger: Ledger, calls: CallsInFlight) -> None:
        self._ledger = ledger
        self._calls = calls
        self._tokens: dict[str, set[str]] = {}

    def add(self, record: RecordInput, token: str) -> None:
        """Remember an opening that failed, and go on trying to take it back."""
        tokens = self._tokens.get(record.workflow_id)
        if tokens is not None:
            tokens.add(token)
            return
        self._tokens[record.workflow_id] = {token}
        self._calls.beside(self._until_taken_back(record))

    async def take_back(self, record: RecordInput) -> None:
        """Close what stands of the record's failed openings. Where there are none, the ledger is not asked.

        Raises LedgerError; they are remembered then.
        """
        tokens = self._tokens.get(record.workflow_id)
        if not tokens:
            return
        asked = frozenset(tokens)
        for number in await self._ledger.close_unsent(record, asked):
            log.info("an attempt was opened and never sent", workflow_id=record.workflow_id, attempt=number)
        tokens -= asked

    async def _until_taken_back(self, record: RecordInput) -> None:
        tokens, tries = self._tokens[record.workflow_id], 0
        try:
            while tokens:
                tries += 1
                await asyncio.sleep(
                    backoff_s(
                        tries,
                        first_s=limits.LEDGER_OPENING_PAUSE_S,
                        coefficient=2.0,
                        max_s=limits.LEDGER_POLL_S_MAX,
                    )
                )
                try:
                    await self.take_back(record)
                except (LedgerUnavailable, LedgerUnfit):
                    continue
                except LedgerError:
                    raise
                except Exception:
                    log.exception(
                        "an opening waits to be taken back: the ledger fails in a way that nobody foresaw",
                        workflow_id=record.workflow_id,
                    )
        except LedgerError as error:
            log.error("the ledger does not take an opening back", workflow_id=record.workflow_id, error=str(error))  # noqa: TRY400  # the error is one line that says everything
        finally:
            del self._tokens[record.workflow_id]
