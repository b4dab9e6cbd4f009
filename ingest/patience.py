"""Calls to Temporal that are repeated until they are answered, and what ends the waiting: somebody has to do something first."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from ingest import starter_words as words
from ingest.outage import Outage, backoff_s
from recharge.payload_codec import PayloadUnreadable

_Answer = TypeVar("_Answer")
_log = structlog.get_logger(__name__)


class DeletedError(Exception):
    """There is no such workflow: never started, deleted, or past its retention."""


class Patience:
    """Waits for Temporal, and says once that it does."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._outage = Outage(_log, "Temporal does not answer; waiting for it", "Temporal answers again")
        self._answered_s = time.monotonic()
        self._problem: str | None = None

    @property
    def silent_s(self) -> float:
        """For how long Temporal has answered nothing. Where nobody asks, that says nothing about it."""
        return time.monotonic() - self._answered_s

    @property
    def problem(self) -> str | None:
        """What it said instead of the last answer, if it said anything."""
        return self._problem

    async def ask(self, who: str, call: Callable[[], Awaitable[_Answer]]) -> _Answer:
        """Repeat a call until Temporal answers it.

        Raises:
            DeletedError: there is no such workflow.
            StarterProblem: waiting cannot help.
        """
        tries = 0
        try:
            while True:
                try:
                    answer = await call()
                except PayloadUnreadable as error:
                    raise words.unreadable(error) from error
                except RPCError as error:
                    self._raise_where_final(error)
                    self._problem = f"{error.status.name}: {error.message}"
                    self._outage.began(who, self._problem)
                    await asyncio.sleep(backoff_s(tries))
                    tries += 1
                else:
                    self._answered(who)
                    return answer
        except (WorkflowAlreadyStartedError, DeletedError):
            # These are answers too.
            self._answered(who)
            raise
        finally:
            self._outage.forget(who)

    def _answered(self, who: str) -> None:
        self._answered_s, self._problem = time.monotonic(), None
        self._outage.over(who)

    def _raise_where_final(self, error: RPCError) -> None:
        match error.status:
            case RPCStatusCode.NOT_FOUND:
                if any(detail.Is(NamespaceNotFoundFailure.DESCRIPTOR) for detail in error.grpc_status.details):
                    raise words.namespace_missing(self._namespace) from error
                raise DeletedError from error
            case RPCStatusCode.INVALID_ARGUMENT if "search attribute" in error.message.lower():
                raise words.start_refused(error.message, self._namespace) from error
            case RPCStatusCode.PERMISSION_DENIED | RPCStatusCode.UNAUTHENTICATED:
                raise words.not_allowed(error.message) from error
            case _:
                return
