"""When a call may leave: only after the ledger opened an attempt for it, once for each attempt, and not after its deadline."""

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from temporalio import activity

from activities.calls import CallsInFlight
from activities.failures import backoff_s, from_ledger, not_answered, retry_delay_s
from activities.heartbeats import heartbeats
from activities.ledger import (
    FingerprintMismatch,
    Ledger,
    LedgerContradiction,
    LedgerError,
    LedgerUnavailable,
    LedgerUnfit,
    Opened,
)
from activities.profile import Answer, Call
from activities.provider import Provider, boottime_s
from activities.record_result import tell_final
from activities.unsent import Unsent
from recharge import instruments, limits, telemetry, tracing
from recharge.contract import RECHARGE_ACTIVITY, Finding, RechargeTask, RecordInput
from recharge.outcome import State

log = structlog.get_logger(__name__)


def nobody_waits(_workflow_id: str) -> None:
    """No intake is in the worker's process."""


class Recharge:
    """The activity that carries out a recharge.

    `local_calls_max` is how many calls may be in flight before a local activity leaves the sending to the task queue; none where
    that queue keeps a rate, which local activities would pass by. `has_begun` hears a record's workflow id as soon as its call leaves,
    or no call is to be waited for here.
    """

    def __init__(
        self,
        ledger: Ledger,
        provider: Provider,
        calls: CallsInFlight,
        *,
        timeout_s: float,
        local_calls_max: int,
        has_begun: Callable[[str], None] = nobody_waits,
    ) -> None:
        self._ledger = ledger
        self._provider = provider
        self._calls = calls
        self._timeout_s = timeout_s
        self._local_calls_max = local_calls_max
        self._has_begun = has_begun
        self._unsent = Unsent(ledger, calls)

    @activity.defn(name=RECHARGE_ACTIVITY)
    async def recharge(self, task: RechargeTask) -> Finding:
        """Carry the record's recharge out, or find out that this was done, is in doubt, or may not be done.

        A first task returns whatever was found. A later one fails for as long as sending again is safe, and Temporal tries it again.
        A local one may find that it has no room, and leaves the sending to the task queue (`sending`, nothing was touched). It lets
        a call go on alone that takes longer than its workflow task should (`is_under_way`).
        """
        is_local = activity.info().is_local
        call = self._calls.under_way(task.record)
        if call is None:
            if is_local and len(self._calls) >= self._local_calls_max:
                self._has_begun(task.record.workflow_id)
                return Finding(State.SENDING, "it is sent by the task queue")
            # The deadline is counted from before the opening transaction, so it never lies after the row's own by MySQL's clock.
            deadline_s = boottime_s() + self._timeout_s
            call = self._calls.start(task.record, self._carry_out(task.record, deadline_s))
        try:
            async with heartbeats():
                finding = await _ended(call, _left_s() if is_local else None)
        except LedgerError as error:
            raise from_ledger(error) from error
        if finding is None:
            return Finding(State.SENDING, "the provider has not answered yet", is_under_way=True)
        if finding.state is State.RETRYING and not task.first:
            raise not_answered(finding.said, retry_delay_s(activity.info().attempt, finding.retry_after_s))
        return finding

    async def _carry_out(self, record: RecordInput, deadline_s: float) -> Finding:
        opened = await self._open(record, deadline_s)
        self._has_begun(record.workflow_id)
        if isinstance(opened, Finding):
            log.info("nothing is sent", workflow_id=record.workflow_id, state=opened.state, said=opened.said)
            return opened
        log.info("attempt opened", workflow_id=record.workflow_id, attempt=opened.number)
        answer = await self._send(record, opened, deadline_s)
        log.info(
            "attempt answered",
            workflow_id=record.workflow_id,
            attempt=opened.number,
            outcome=answer.outcome,
            status=answer.status,
            said=answer.said,
        )
        finding = await self._close(record, opened, answer)
        if finding.is_recorded:
            tell_final(record, finding.result(record.fingerprint))
        return finding

    async def _open(self, record: RecordInput, deadline_s: float) -> Opened | Finding:
        """Open the attempt under one token, for a while also where the ledger is away.

        Where only the reply to its COMMIT was lost, the ledger knows the opening by its token. Whoever came later would find an
        attempt of which nobody can tell whether it was sent. Here that is known, so an opening that is given up is taken back.
        """
        token = secrets.token_hex(16)
        until_s = min(deadline_s, boottime_s() + limits.LEDGER_OPENING_S_MAX)
        while True:
            try:
                await self._unsent.take_back(record)
                return await self._ledger.open_attempt(record, token, timeout_s=self._timeout_s)
            except LedgerUnavailable:
                if boottime_s() >= until_s:
                    self._unsent.add(record, token)
                    raise
            except (FingerprintMismatch, LedgerContradiction):
                raise  # Nothing of it stands, and nothing will.
            except Exception:
                # It refuses us, or fails in a way that nobody foresaw: in either case the opening may stand.
                self._unsent.add(record, token)
                raise
            await asyncio.sleep(limits.LEDGER_OPENING_PAUSE_S)

    async def _send(self, record: RecordInput, opened: Opened, deadline_s: float) -> Answer:
        span_id = opened.token[:16]
        place = tracing.Place(tracing.record_place(record.workflow_id, record.traceparent).trace_id, span_id)
        facts = {"recharge.attempt": opened.number}
        with tracing.span("POST recharge", tracing.Kind.CLIENT, at=place, attributes=facts) as span:
            traceparent = span.traceparent or tracing.attempt_traceparent(
                record.workflow_id, record.traceparent, span_id
            )
            began_s = time.monotonic()
            answer = await self._provider.send(_call(record, opened, deadline_s, traceparent))
            telemetry.observe(instruments.PROVIDER_CALL, time.monotonic() - began_s, answer.outcome)
            telemetry.count(instruments.ATTEMPTS, answer.outcome)
            span.note("recharge.outcome", answer.outcome)
            if answer.status is not None:
                span.note("http.response.status_code", answer.status)
        return answer

    async def _close(self, record: RecordInput, opened: Opened, answer: Answer) -> Finding:
        """Write the answer down, however long the ledger is away, refuses us or fails: it is known here and nowhere else."""
        mine = {"workflow_id": record.workflow_id, "attempt": opened.number}
        for tries in itertools.count(1):
            try:
                return await self._ledger.close_attempt(record, opened.token, answer)
            except (LedgerUnavailable, LedgerUnfit) as error:
                log.warning("the answer waits for the ledger", **mine, error=str(error))
            except LedgerError as error:
                heard = {"outcome": answer.outcome, "status": answer.status, "said": answer.said}
                # The error is one line that says everything.
                log.error("the ledger does not take the answer", **mine, **heard, error=str(error))  # noqa: TRY400
                raise
            except Exception:
                # To give up would turn an answer that is known into a doubt.
                log.exception("the answer waits: the ledger fails in a way that nobody foresaw", **mine)
            await asyncio.sleep(
                backoff_s(tries, first_s=limits.RETRY_FIRST_S, coefficient=2.0, max_s=limits.LEDGER_POLL_S_MAX)
            )
        raise AssertionError("it is tried until it is written or refused")


def _left_s() -> float:
    """How long a local activity may wait in its workflow task. What it waited for this process to begin it is gone from that."""
    waited_s = (datetime.now(UTC) - activity.info().scheduled_time).total_seconds()
    return limits.LOCAL_CALL_S_MAX - min(max(waited_s, 0.0), limits.LOCAL_CALL_S_MAX)


async def _ended(call: asyncio.Task[Finding], within_s: float | None) -> Finding | None:
    """Await a call's end, or None where it takes longer than `within_s`.

    A person's wish to hold the record takes effect after the call; anything else that cancels us leaves it to run on.
    """
    try:
        await asyncio.wait({call}, timeout=within_s)
    except asyncio.CancelledError:
        details = activity.cancellation_details()
        if details is None or not details.cancel_requested:
            raise
        await asyncio.wait({call}, timeout=within_s)
    return call.result() if call.done() else None


def _call(record: RecordInput, opened: Opened, deadline_s: float, traceparent: str) -> Call:
    return Call(
        reference=record.workflow_id,
        body=record.raw_value or b"",
        traceparent=traceparent,
        deadline_boottime_s=deadline_s,
        after_unknown=opened.after_unknown,
    )
