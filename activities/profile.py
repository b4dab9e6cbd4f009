"""The standard profile: how a provider is asked, and what its answers mean for the customer's money. Pure, without I/O.

`read_answer` is the answer table of the service. Its rows are tried from the top, and the first that matches wins.
Whatever no row can read is `unknown`: a doubtful answer costs a look or a person's minute, a wrong guess costs the
customer a second charge.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from importlib.metadata import version
from urllib.parse import quote

from recharge import json_text, limits
from recharge.outcome import LookupAnswer, Outcome
from recharge.settings import ProviderSettings

VERSION = version("recharge")
EXCERPT_CHARS_MAX = 300
"""How much of an answer's text is quoted to people."""

_OK = 200
_ACCEPTED = 202
_NOT_FOUND = 404
_REFUSALS = range(400, 500)
_SUCCESSES = range(200, 300)
_DOUBTFUL_REFUSALS = frozenset({408, 409})
"""408: the provider may have begun. 409: the reference may be known there already, by an earlier request."""

_LOOKUP_WORDS = frozenset({LookupAnswer.CHARGED, LookupAnswer.REFUSED, LookupAnswer.PENDING})
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_LONG_NUMBER = re.compile(r"\d{5,}")
_UTF8_BOM = b"\xef\xbb\xbf"
_FIELDS = ("status", "providerReference")
_REASON_FIELDS = ("reason", "message", "error", "detail", "title")
_HTTP_DATES = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y")


@dataclass(frozen=True, slots=True)
class Call:
    """One sending of a recharge: what is sent, and until when (seconds of CLOCK_BOOTTIME) a byte of it may leave.

    `after_unknown` says that an earlier attempt of the same recharge may have been carried out.
    """

    reference: str
    body: bytes = field(repr=False)
    traceparent: str | None
    deadline_boottime_s: float
    after_unknown: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """How one sending ended. `said` is one line for people, with long numbers masked."""

    outcome: Outcome
    said: str
    status: int | None = None
    reason: str | None = None
    provider_reference: str | None = None
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class LookupReading:
    """What the provider said when it was asked about a reference. `said` is one line for people."""

    answer: LookupAnswer
    said: str
    status: int | None = None
    provider_reference: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request as the profile wants it. Headers (a secret) and body (telephone numbers) are never printed."""

    method: str
    url: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Received:
    """An HTTP answer that arrived whole. The names of the headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


def request(settings: ProviderSettings, call: Call) -> Request:
    """Build the recharge call. Its body is the record's own bytes, so that a re-send is the same request."""
    headers = {**_common_headers(settings), "Content-Type": "application/json", "Idempotency-Key": call.reference}
    # The traceparent came with the record, from outside. A malformed one must not keep the record from ever being sent.
    if call.traceparent is not None and _TRACEPARENT.fullmatch(call.traceparent):
        headers["traceparent"] = call.traceparent
    return Request("POST", settings.url, headers, call.body)


def lookup_request(settings: ProviderSettings, reference: str) -> Request:
    """Build the question about a reference.

    Raises:
        ValueError: the profile has no look-up.
    """
    if settings.lookup_url is None:
        raise ValueError("RECHARGE_PROVIDER__LOOKUP_URL is not set, so the provider cannot be asked")
    url = settings.lookup_url.replace("{reference}", quote(reference, safe=""))
    return Request("GET", url, _common_headers(settings), b"")


def read_answer(settings: ProviderSettings, received: Received, *, after_unknown: bool, now_utc: datetime) -> Answer:
    """Tell what an answer means. `now_utc` is the time against which a Retry-After date is read. Never raises."""
    status = received.status
    title = _title(status)
    reason = _reason(received)
    if _is_encoded(received):
        return Answer(Outcome.UNKNOWN, f"{title}, in a content encoding that was not asked for", status)
    if status in settings.not_charged_statuses:
        retry_after_s = read_retry_after(received.headers.get("retry-after"), now_utc)
        wait = "" if retry_after_s is None else f", Retry-After {retry_after_s:.0f} s"
        return Answer(Outcome.NOT_CHARGED, _said(title + wait, reason), status, reason, retry_after_s=retry_after_s)
    if status in _SUCCESSES:
        return _read_success(settings, received)
    if status in _REFUSALS and status not in _DOUBTFUL_REFUSALS and not after_unknown:
        return Answer(Outcome.REFUSED, _said(title, reason), status, reason or title)
    return Answer(Outcome.UNKNOWN, _said(title, reason), status, reason)


def _read_success(settings: ProviderSettings, received: Received) -> Answer:
    status = received.status
    title = _title(status)
    document = {} if received.body == b"" else _parse(received.body)
    word = document.get("status", Outcome.CHARGED.value) if document is not None else None
    reference = _provider_reference(document)
    if status == _ACCEPTED or word == Outcome.PENDING.value:
        return Answer(Outcome.PENDING, f"{title}, pending", status, provider_reference=reference)
    if word == Outcome.REFUSED.value:
        reason = _reason_in(document)
        return Answer(Outcome.REFUSED, _said(f"{title}, refused", reason), status, reason or "refused", reference)
    if word == Outcome.CHARGED.value:
        return Answer(Outcome.CHARGED, f"{title}, charged", status, provider_reference=reference)
    if settings.success_status_decides:
        return Answer(Outcome.CHARGED, f"{title}, charged by its status alone", status, provider_reference=reference)
    if document is None:
        return Answer(Outcome.UNKNOWN, _said(f"{title}, but not a JSON object", _excerpt(received.body)), status)
    return Answer(
        Outcome.UNKNOWN,
        _said(f"{title}, but with an unknown status", _word(word)),
        status,
        provider_reference=reference,
    )


def read_lookup(settings: ProviderSettings, received: Received) -> LookupReading:
    """Tell what the answer to a look-up means. Never raises."""
    del settings  # The standard profile's words are fixed; another profile's may be settings.
    status = received.status
    title = _title(status)
    if status == _NOT_FOUND:
        return LookupReading(LookupAnswer.NOT_FOUND, _said(title, _reason(received)), status)
    if status != _OK:
        return LookupReading(LookupAnswer.UNREADABLE, _said(title, _reason(received)), status)
    document = None if _is_encoded(received) else _parse(received.body)
    if document is None:
        said = _said(f"{title}, but not a JSON object", _excerpt(received.body))
        return LookupReading(LookupAnswer.UNREADABLE, said, status)
    reference = _provider_reference(document)
    word = document.get("status")
    if not isinstance(word, str) or word not in _LOOKUP_WORDS:
        said = _said(f"{title}, but with an unknown status", _word(word))
        return LookupReading(LookupAnswer.UNREADABLE, said, status, reference)
    said = _said(f"{title}, {word}", _reason_in(document) if word == LookupAnswer.REFUSED.value else None)
    return LookupReading(LookupAnswer(word), said, status, reference)


def read_retry_after(value: str | None, now_utc: datetime) -> float | None:
    """Read a Retry-After as seconds from now, at most limits.RETRY_AFTER_S_MAX; None where none can be read."""
    if value is None or not value.isascii():
        return None
    text = value.strip()
    if text.isdigit():
        # A number longer than this is beyond the limit in any case, and Python refuses to read endless ones.
        return limits.RETRY_AFTER_S_MAX if len(text) > len("31536000") else min(float(text), limits.RETRY_AFTER_S_MAX)
    for form in _HTTP_DATES:
        try:
            moment = datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        # A date in the past, by a clock that differs from ours, means at once.
        return min(max((moment - now_utc).total_seconds(), 0.0), limits.RETRY_AFTER_S_MAX)
    return None


def one_line(text: str, chars_max: int = limits.REASON_CHARS_MAX) -> str:
    """Make foreign text fit for people, logs and the ledger: one printable line, long numbers masked, not too long."""
    # What is cut here could not show: the loop below must not walk through a quarter of a megabyte.
    printable = "".join(char if char.isprintable() else " " for char in text[: 8 * chars_max])
    masked = _LONG_NUMBER.sub("#####", " ".join(printable.split()))
    return masked if len(masked) <= chars_max else masked[: chars_max - 1] + "…"


def _common_headers(settings: ProviderSettings) -> dict[str, str]:
    headers = {
        "Accept": "application/json",
        # A compressed answer would have to be decoded within a limit; none is needed, so none is asked for.
        "Accept-Encoding": "identity",
        # A kept connection turns the server's idle close into unknown outcomes.
        "Connection": "close",
        "User-Agent": f"recharge/{VERSION}",
    }
    if settings.auth_token is not None:
        headers["Authorization"] = f"Bearer {settings.auth_token.get_secret_value()}"
    return headers


def _is_encoded(received: Received) -> bool:
    return received.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}


def _title(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP status {status}"


def _said(title: str, detail: str | None) -> str:
    return one_line(f"{title}: {detail}" if detail else title)


def _word(word: object) -> str:
    return repr(word[:EXCERPT_CHARS_MAX]) if isinstance(word, str) else f"not a text but {type(word).__name__}"


def _excerpt(body: bytes) -> str | None:
    # Bytes beyond this cannot show in the excerpt: no character takes more than four.
    return one_line(body[: 4 * EXCERPT_CHARS_MAX].decode("utf-8", errors="replace"), EXCERPT_CHARS_MAX) or None


def _reason(received: Received) -> str | None:
    """The reason that an answer gives: a JSON object's own field for it, else the beginning of its text."""
    if _is_encoded(received):
        return None
    return _reason_in(_parse(received.body)) or _excerpt(received.body)


def _reason_in(document: dict[str, object] | None) -> str | None:
    for name in _REASON_FIELDS:
        value = (document or {}).get(name)
        if isinstance(value, str) and (text := one_line(value)):
            return text
    return None


def _provider_reference(document: dict[str, object] | None) -> str | None:
    value = (document or {}).get("providerReference")
    if isinstance(value, json_text.Number):
        value = value.text
    if not isinstance(value, str):
        return None
    # A lone surrogate or a control character would be refused by the ledger and by Temporal, after the money moved.
    text = "".join(char if char.isprintable() else "\ufffd" for char in value).strip()
    return text[: limits.REFERENCE_CHARS_MAX] or None


def _parse(body: bytes) -> dict[str, object] | None:
    """Read a JSON object strictly; None where it is anything else, or could be read in two ways."""
    try:
        document = json_text.read_object(body.removeprefix(_UTF8_BOM), _FIELDS)
    except json_text.JsonRefusedError:
        return None
    # An object with a "Status" is not one without a status, which would mean charged.
    if any(name != "status" and name.casefold() == "status" for name in document):
        return None
    return document
