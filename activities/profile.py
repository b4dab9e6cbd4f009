"""The standard profile: how a provider is asked, and what its answers mean for the customer's money. Pure, without I/O.

`read_answer` is the answer table of the service. Its rows are tried from the top, and the first that matches wins.
Whatever no row can read is `unknown`: a doubtful answer costs a look or a person's minute, a wrong guess costs the
customer a second charge. A provider that does not fit has a module of its own with these functions.
"""

import json
import re
from datetime import datetime
from importlib.metadata import version
from urllib.parse import quote

from activities.profiles import reading
from activities.profiles.messages import Answer, Call, LookupReading, Received, RecordUnfitError, Request
from activities.profiles.reading import one_line, read_retry_after
from recharge import json_text
from recharge.outcome import LookupAnswer, Outcome
from recharge.settings import ProviderSettings

__all__ = [
    "Answer",
    "Call",
    "LookupReading",
    "Received",
    "RecordUnfitError",
    "Request",
    "lookup_request",
    "one_line",
    "read_answer",
    "read_lookup",
    "read_retry_after",
    "request",
]

VERSION = version("recharge")

_OK = 200
_ACCEPTED = 202
_NOT_FOUND = 404
_REFUSALS = range(400, 500)
_SUCCESSES = range(200, 300)
_DOUBTFUL_REFUSALS = frozenset({408, 409})
"""408: the provider may have begun. 409: the reference may be known there already, by an earlier request."""

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_JSON_SPACE = b" \t\n\r"


def request(settings: ProviderSettings, call: Call) -> Request:
    """Build the recharge call. Its body is the record's own bytes, so that a re-send is the same request.

    Raises:
        RecordUnfitError: the record has the field itself in which the reference would travel.
    """
    headers = {**_common_headers(settings), "Content-Type": "application/json"}
    body = call.body
    if settings.reference_field is None:
        headers[settings.reference_header] = call.reference
    else:
        body = with_reference(body, settings.reference_field, call.reference)
    # The traceparent came with the record, from outside. A malformed one must not keep the record from ever being sent.
    if call.traceparent is not None and _TRACEPARENT.fullmatch(call.traceparent):
        headers["traceparent"] = call.traceparent
    return Request("POST", settings.url, headers, body)


def with_reference(body: bytes, field: str, reference: str) -> bytes:
    """The record's bytes with one more field at the beginning of the object. Every other byte stays as it is.

    Raises:
        RecordUnfitError: the record is no JSON object, or has a field of this name, in whatever letter case: the provider
            might take that one for the reference.
    """
    try:
        names = json_text.read_object(body, (field,))
    except json_text.JsonRefusedError as error:
        raise RecordUnfitError(f"the reference cannot be written into it: {error}") from None
    if any(name.casefold() == field.casefold() for name in names):
        raise RecordUnfitError(
            f"it has a field {field} itself, where our reference belongs (RECHARGE_PROVIDER__REFERENCE_FIELD)"
        )
    brace = body.index(b"{") + 1
    separator = b"" if body[brace:].lstrip(_JSON_SPACE).startswith(b"}") else b","
    pair = f"{json.dumps(field)}:{json.dumps(reference)}".encode("ascii")
    return body[:brace] + pair + separator + body[brace:]


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
    title = reading.title(status)
    reason = reading.reason(settings, received)
    if reading.is_encoded(received):
        return Answer(Outcome.UNKNOWN, f"{title}, in a content encoding that was not asked for", status)
    if status in settings.not_charged_statuses:
        retry_after_s = read_retry_after(received.headers.get("retry-after"), now_utc)
        wait = "" if retry_after_s is None else f", Retry-After {retry_after_s:.0f} s"
        said = reading.said(title + wait, reason)
        return Answer(Outcome.NOT_CHARGED, said, status, reason, retry_after_s=retry_after_s)
    if status in _SUCCESSES:
        return _read_success(settings, received)
    if status in _REFUSALS and status not in _DOUBTFUL_REFUSALS and not after_unknown:
        return Answer(Outcome.REFUSED, reading.said(title, reason), status, reason or title)
    return Answer(Outcome.UNKNOWN, reading.said(title, reason), status, reason)


def _read_success(settings: ProviderSettings, received: Received) -> Answer:
    status = received.status
    title = reading.title(status)
    document = {} if received.body == b"" else reading.parse_object(settings, received.body)
    reference = reading.provider_reference(settings, document)
    word = None if document is None else document.get(settings.status_field)
    if document is not None and settings.status_field not in document:
        meaning: Outcome | None = Outcome.CHARGED
    else:
        meaning = reading.meaning(settings, word)
    if status == _ACCEPTED or meaning is Outcome.PENDING:
        return Answer(Outcome.PENDING, f"{title}, pending", status, provider_reference=reference)
    if meaning is Outcome.REFUSED:
        reason = reading.reason_in(document)
        said = reading.said(f"{title}, refused", reason)
        return Answer(Outcome.REFUSED, said, status, reason or "refused", reference)
    if meaning is Outcome.CHARGED:
        return Answer(Outcome.CHARGED, f"{title}, charged", status, provider_reference=reference)
    if settings.success_status_decides:
        return Answer(Outcome.CHARGED, f"{title}, charged by its status alone", status, provider_reference=reference)
    if document is None:
        said = reading.said(f"{title}, but not a JSON object", reading.excerpt(received.body))
        return Answer(Outcome.UNKNOWN, said, status)
    said = reading.said(f"{title}, but with an unknown status", reading.shown(word))
    return Answer(Outcome.UNKNOWN, said, status, provider_reference=reference)


def read_lookup(settings: ProviderSettings, received: Received, reference: str) -> LookupReading:
    """Tell what the answer to a look-up means. Never raises."""
    del reference  # The question named it, and the answer speaks of nothing else.
    status = received.status
    title = reading.title(status)
    if status == _NOT_FOUND:
        return LookupReading(LookupAnswer.NOT_FOUND, reading.said(title, reading.reason(settings, received)), status)
    if status != _OK:
        return LookupReading(LookupAnswer.UNREADABLE, reading.said(title, reading.reason(settings, received)), status)
    document = None if reading.is_encoded(received) else reading.parse_object(settings, received.body)
    if document is None:
        said = reading.said(f"{title}, but not a JSON object", reading.excerpt(received.body))
        return LookupReading(LookupAnswer.UNREADABLE, said, status)
    provider_reference = reading.provider_reference(settings, document)
    word = document.get(settings.status_field)
    meaning = reading.meaning(settings, word)
    if meaning is None:
        said = reading.said(f"{title}, but with an unknown status", reading.shown(word))
        return LookupReading(LookupAnswer.UNREADABLE, said, status, provider_reference)
    said = reading.said(f"{title}, {meaning}", reading.reason_in(document) if meaning is Outcome.REFUSED else None)
    return LookupReading(LookupAnswer(meaning.value), said, status, provider_reference)


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
