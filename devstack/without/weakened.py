"""What stands in the place of a safeguard that was taken away: each function takes the original, and returns it without what it kept.

Where the original has two duties, the other one is left as it is, so that what goes wrong goes wrong by this one alone.
"""

import asyncio
import copy
import functools
import inspect
import json
import secrets
import ssl
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urljoin

from sqlalchemy import bindparam, func, select, update
from temporalio import workflow

from activities.ledger import Opened, Ruling
from activities.ledger.batch import Batch
from activities.ledger.obstacles import TWIN
from activities.ledger.reading import NEWEST_DECISION_ID
from activities.ledger.rows import BEGUN_COLUMNS, INSERT_ATTEMPT, INSERT_OPEN, NOW
from activities.ledger.tables import attempts
from activities.transmission import Transmission, boottime_s
from recharge.outcome import FINAL_STATES, Outcome, State


def gives(*, value: object) -> Callable[[Any], Any]:
    """A function or property that always gives this, and does nothing else."""

    def weaken(original: Any) -> Any:
        if isinstance(original, property):
            return property(lambda _: value)
        if inspect.iscoroutinefunction(original):

            @functools.wraps(original)
            async def later(*_: object, **__: object) -> object:
                return value

            return later

        @functools.wraps(original)
        def now(*_: object, **__: object) -> object:
            return value

        return now

    return weaken


YES: Final = gives(value=True)
NO: Final = gives(value=False)
NOTHING: Final = gives(value=None)


def returning(change: Callable[..., Any]) -> Callable[[Any], Any]:
    """The original, called with other arguments: `change` gets it first, and then what it was called with."""

    def weaken(original: Any) -> Any:
        @functools.wraps(original)
        def weakened(*arguments: Any, **keywords: Any) -> Any:
            return change(original, *arguments, **keywords)

        return weakened

    return weaken


# --- Sending ----------------------------------------------------------------------------------------------------------


def waits_but_for(outcome: Outcome | None) -> Callable[[Any], Any]:
    """An attempt with this outcome (None: an open one) is taken for one that did nothing."""

    def weaken(original: property) -> property:
        return property(lambda self: self.outcome is not outcome and original.__get__(self))

    return weaken


def judge_the_newest(judge: Any, facts: Any, keys: Any = None) -> Any:
    """Only the newest attempt is looked at."""
    return judge(replace(facts, attempts=facts.attempts[-1:]), keys)


def judge_again(judge: Any, facts: Any, keys: Any = None) -> Any:
    """A final state is judged once more, as if it were open."""
    return judge(replace(facts, state=State.SENDING) if facts.state in FINAL_STATES else facts, keys)


def send_first(_: Any) -> Any:
    """The call leaves, and its attempt is written down when the answer is there."""

    async def carry_out(self: Any, record: Any, deadline_s: float) -> Any:
        token = secrets.token_hex(16)
        answer = await self._send(record, Opened(1, token, after_unknown=False), deadline_s)
        opened = await self._ledger.open_attempt(record, token, timeout_s=self._timeout_s)
        return await self._close(record, opened, answer) if isinstance(opened, Opened) else opened

    return carry_out


async def always_new(insert_row: Any, *arguments: Any) -> bool:
    """A record whose row is there already is taken for one that was never seen."""
    await insert_row(*arguments)
    return True


def unlocked(statement: Any) -> Any:
    """The same query as a plain read."""
    plain = copy.copy(statement)
    plain._for_update_arg = None
    return plain


async def cancelled_with_its_caller(_: Any, call: asyncio.Task[Any], within_s: float | None) -> Any:
    """The call ends where its activity is cancelled."""
    return await (call if within_s is None else asyncio.wait_for(call, within_s))


async def closed_once(_: Any, self: Any, record: Any, opened: Any, answer: Any) -> Any:
    """The answer is given up where the ledger does not take it at once."""
    return await self._ledger.close_attempt(record, opened.token, answer)


def without_reset(_: Any, self: Any) -> None:
    """The connection is closed in good order, so the kernel goes on sending what it holds."""
    if self._socket is not None:
        self._socket.close()


async def close_as_the_newest(close: Any, *arguments: Any, later_attempt: bool) -> Any:
    """A late answer is written into its attempt although another attempt was made meanwhile."""
    del later_attempt
    return await close(*arguments, later_attempt=False)


def as_the_row_says(_decided_before: Any, _outcome: Outcome, state: State, **_: object) -> State:
    """A late answer is compared with what is final, and with no word that is not yet."""
    return state


def unverified(load: Any) -> Any:
    """Any certificate of the provider's will do."""

    def weakened(cls: Any, *files: Any) -> Any:
        tls = load.__get__(None, cls)(*files)
        tls.context.check_hostname = False
        tls.context.verify_mode = ssl.CERT_NONE
        return tls

    return classmethod(weakened)


def never_told(hand_over: Any, self: Any, data: bytes) -> None:
    """The request leaves, and nobody is told that it did."""
    try:
        hand_over(self, data)
    finally:
        self._transmission.handed_over = False


def sends_the_rest(_: Any, self: Any, data: bytes) -> None:
    """What the kernel did not take at once is sent when it has room again."""
    self._transmission.handed_over = True
    rest = data[self._socket.send(data) :]
    if rest:
        self.rest = asyncio.create_task(asyncio.get_running_loop().sock_sendall(self._socket, rest))


async def follows_redirects(exchange: Any, self: Any, request: Any, transmission: Any) -> Any:
    """A redirect is a new request."""
    received = await exchange(self, request, transmission)
    if "location" not in received.headers:
        return received
    url = urljoin(request.url, received.headers["location"])
    with Transmission(transmission.deadline_boottime_s) as further:
        return await exchange(self, replace(request, url=url), further)


def written_anew(call: Any, *arguments: Any) -> Any:
    """The record's JSON is read and written again before it is sent."""
    sent = call(*arguments)
    return replace(sent, body=json.dumps(json.loads(sent.body)).encode())


def key_of_the_attempt(call: Any, record: Any, opened: Any, *arguments: Any) -> Any:
    """Each attempt has a key of its own."""
    sent = call(record, opened, *arguments)
    return replace(sent, reference=f"{sent.reference}-{opened.number}")


async def time_from_the_opening(send: Any, self: Any, record: Any, opened: Any, _: float) -> Any:
    """The call's time begins when its attempt stands in the ledger, however long that took."""
    return await send(self, record, opened, boottime_s() + self._timeout_s)


def twins_unlocked(_: Any) -> Any:
    """The content is looked for under other sources by a plain read, which does not see what another transaction has not committed."""
    twin = unlocked(TWIN).scalar_subquery().label("twin")
    look = select(NEWEST_DECISION_ID.scalar_subquery().label("decided"), twin, NOW.label("now"))
    return Batch(INSERT_OPEN, look, INSERT_ATTEMPT, written=(BEGUN_COLUMNS, ("workflow_id", "number", "token")))


def claims_no_redrive(claims_of: Any, record: Any) -> Any:
    """A record that is produced anew claims nothing for what it repeats."""
    return claims_of(replace(record, redrive_of=None))


def begun_as_no_copy(new_row: Any, record: Any, state: Any) -> Any:
    """A row tells nothing about what its record repeats."""
    return new_row(replace(record, redrive_of=None), state)


# --- What a person decides --------------------------------------------------------------------------------------------


async def ends_by_a_cancellation(_: Any, self: Any, condition: Any) -> None:
    """A cancellation ends the workflow."""
    del self
    await workflow.wait_condition(condition)


class _DeliversAgain:
    """Temporal's service, whose resets deliver once more what the closed run was told."""

    def __init__(self, service: Any) -> None:
        self._service = service

    def __getattr__(self, name: str) -> Any:
        return getattr(self._service, name)

    async def reset_workflow_execution(self, request: Any, **keywords: Any) -> Any:
        """As the service, without any exclusion."""
        del request.reset_reapply_exclude_types[:]
        return await self._service.reset_workflow_execution(request, **keywords)


class _Client:
    """A Temporal client over another service."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.workflow_service = _DeliversAgain(client.workflow_service)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


async def delivered_again(reopen: Any, client: Any, *arguments: Any) -> None:
    """A reset delivers the updates and the cancellation of the closed run again."""
    await reopen(_Client(client), *arguments)


async def told_and_not_written(_: Any, self: Any, wish: Any, **__: Any) -> Ruling:
    """A decision is told to the workflow, and stands nowhere."""
    del self
    return Ruling(wish.workflow_id, None)


async def unless_refused(
    insert_action: Any, *arguments: Any, refused_because: str | None = None, **keywords: Any
) -> None:
    """A decision that is refused leaves no row."""
    if refused_because is None:
        await insert_action(*arguments, **keywords)


async def left_open(judge_attempt: Any, connection: Any, workflow_id: str, row: Any, *arguments: Any) -> None:
    """A verdict leaves an open attempt open."""
    await judge_attempt(connection, workflow_id, replace(row, closed_at=row.closed_at or row.opened_at), *arguments)


def keeps_the_verdict(_: Any) -> Any:
    """A late answer is written beside the verdict that was passed meanwhile."""
    names = ("workflow_id", "number", "token")
    which = [attempts.c[name] == bindparam(f"closed_{name.removeprefix('workflow_')}") for name in names]
    return update(attempts).where(*which).values(closed_at=func.coalesce(attempts.c.closed_at, NOW), late_at=NOW)


async def result_unwritten(_: Any, self: Any, record: Any, finding: Any) -> Any:
    """A workflow ends by what it found, whether that stands in the ledger or not."""
    del self
    return finding.result(record.fingerprint)
