"""What the provider says: well-formed answers and the malformed ones."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from devstack.simulator.book import Standing
from devstack.simulator.events import Status
from devstack.simulator.faults import RequestKind, Step, StepName
from devstack.simulator.paths import ORDER_ID
from devstack.simulator.wire import Answer

_MULTIPLE_CHOICES = 300
_NOT_FOUND = 404


@dataclass(slots=True)
class Context:
    """What an answer may speak of: the kind of request, the path asked for, the recharge's standing if it has one."""

    kind: RequestKind
    path: str
    standing: Standing | None = None
    headers: dict[str, str] = field(default_factory=dict)
    listed: str | None = None
    """The reference by which a list of recharges is filtered; None where one recharge is asked for, or asked to be done."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The bytes of an answer and the status that they claim."""

    status: int
    data: bytes


def json_answer(status: int, value: object, headers: dict[str, str] | None = None) -> Answer:
    """An answer with a JSON body."""
    return Answer(status, json.dumps(value).encode(), headers=headers or {})


def not_found(context: Context) -> Answer:
    """The look-up's answer for a reference that is unknown: 404, or a list without items."""
    if context.listed is not None:
        return json_answer(200, [], context.headers)
    return json_answer(_NOT_FOUND, {"error": "no recharge has this reference"}, context.headers)


def retry_after_date(after_s: float) -> str:
    """An HTTP date that lies `after_s` ahead."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=after_s), usegmt=True)


def reply(step: Step, context: Context) -> Reply:
    """The bytes of one answering step, those that are streamed (too_long, drip) left aside."""
    if step.name in _BROKEN:
        return _BROKEN[step.name](_standing_answer(200, context))
    answer = _WELL_FORMED[step.name](step, context)
    return Reply(answer.status, answer.encode())


def _standing_answer(status: int, context: Context) -> Answer:
    standing = context.standing
    if standing is None:
        return json_answer(status, {}, context.headers)
    return _told(status, standing.status, standing.provider_reference, context)


def _told(http_status: int, status: Status, provider_reference: str, context: Context) -> Answer:
    """One recharge: as an object of its own, or as the one item of a list."""
    body: dict[str, object] = {"status": status, "providerReference": provider_reference}
    if context.listed is None:
        return json_answer(http_status, body, context.headers)
    return json_answer(http_status, [{ORDER_ID: context.listed, **body}], context.headers)


def _ok(step: Step, context: Context) -> Answer:
    if context.kind is RequestKind.LOOKUP:
        return _ok_or_not_found(step, context)
    return _standing_answer(200, context)


def _status(step: Step, context: Context) -> Answer:
    status = int(step.value or 0)
    if status < _MULTIPLE_CHOICES:
        return _standing_answer(status, context)
    return json_answer(status, {"error": "a simulated fault"}, context.headers)


def _ok_or_not_found(step: Step, context: Context) -> Answer:
    """What is known of the recharge, with 'not found' for so long as the step's seconds have not passed."""
    standing = context.standing
    hidden_s = step.value or 0.0
    if standing is None or datetime.now(UTC) < standing.at + timedelta(seconds=hidden_s):
        return not_found(context)
    return _standing_answer(200, context)


def _said(status: Status, http_status: int, provider_reference: str) -> Callable[[Step, Context], Answer]:
    def answer(_step: Step, context: Context) -> Answer:
        known = context.standing
        reference = provider_reference if known is None else known.provider_reference
        return _told(http_status, status, reference, context)

    return answer


def _body(body: bytes, content_type: str = "application/json", status: int = 200) -> Callable[[Step, Context], Answer]:
    return lambda _step, context: Answer(status, body, content_type, context.headers)


_WELL_FORMED: dict[StepName, Callable[[Step, Context], Answer]] = {
    StepName.OK: _ok,
    StepName.STATUS: _status,
    StepName.ACCEPTED: _said(Status.PENDING, 202, "P-NONE"),
    StepName.CLAIM: _said(Status.CHARGED, 200, "P-NONE"),
    StepName.SAY_PENDING: _said(Status.PENDING, 200, "P-NONE"),
    StepName.UNKNOWN_STATUS: _body(b'{"status": "teleported"}'),
    StepName.EMPTY: _body(b""),
    StepName.NO_CONTENT: _body(b"", status=204),
    StepName.ARRAY: _body(b'["charged"]'),
    StepName.INVALID_UTF8: _body(b'{"status": "charg\xff\xfeed"}'),
    StepName.MAINTENANCE: _body(b"<html><body><h1>Down for maintenance</h1></body></html>", "text/html"),
    StepName.REDIRECT: lambda _step, context: Answer(307, headers={**context.headers, "Location": context.path}),
    StepName.NOT_FOUND: lambda _step, context: not_found(context),
    StepName.NOT_FOUND_FOR: _ok_or_not_found,
}


def _cut_short(whole: Answer) -> Reply:
    return Reply(whole.status, whole.head(len(whole.body) + 100) + whole.body)


def _cut_head(whole: Answer) -> Reply:
    return Reply(whole.status, whole.head()[:-10])


def _not_http(_whole: Answer) -> Reply:
    return Reply(0, b"\x16\x03\x01 this is not an answer of HTTP\r\n\r\n")


def _bad_encoding(whole: Answer) -> Reply:
    body = b"this is not gzip"
    headers = {**whole.headers, "Content-Encoding": "gzip"}
    return Reply(whole.status, Answer(whole.status, body, headers=headers).encode())


_BROKEN: dict[StepName, Callable[[Answer], Reply]] = {
    StepName.CUT_SHORT: _cut_short,
    StepName.CUT_HEAD: _cut_head,
    StepName.NOT_HTTP: _not_http,
    StepName.BAD_ENCODING: _bad_encoding,
}
