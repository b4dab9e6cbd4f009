"""How an answer's parts are read, for every profile: its JSON, its status word, its reason, its Retry-After. Pure."""

from collections.abc import Iterable
from datetime import UTC, datetime
from http import HTTPStatus

from activities.profiles.messages import Received
from recharge import json_text, limits
from recharge.outcome import Outcome
from recharge.privacy import mask_text
from recharge.settings import ProviderSettings
from recharge.text import printable

EXCERPT_CHARS_MAX = 300
"""How much of an answer's text is quoted to people."""

_UTF8_BOM = b"\xef\xbb\xbf"
_REASON_FIELDS = ("reason", "message", "error", "detail", "title")
_HTTP_DATES = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y")


def parse_object(settings: ProviderSettings, body: bytes) -> dict[str, object] | None:
    """Read a JSON object strictly; None where it is anything else, or could be read in two ways."""
    fields = (settings.status_field, settings.provider_reference_field)
    try:
        document = json_text.read_object(body.removeprefix(_UTF8_BOM), fields)
    except json_text.JsonRefusedError:
        return None
    return None if has_look_alike(document, settings.status_field) else document


def has_look_alike(names: Iterable[str], name: str) -> bool:
    """Tell whether a field is written in another letter case: an object with a "Status" is not one without a status."""
    return any(each != name and each.casefold() == name.casefold() for each in names)


def meaning(settings: ProviderSettings, word: object) -> Outcome | None:
    """What the value of the status field means: charged, refused or pending, or None where no list has its word.

    A number counts as it is written, and true and false as these words, for providers whose status is a code or a flag.
    """
    if isinstance(word, json_text.Number):
        word = word.text
    elif isinstance(word, bool):
        word = str(word).lower()
    if not isinstance(word, str):
        return None
    if word in settings.charged_words:
        return Outcome.CHARGED
    if word in settings.refused_words:
        return Outcome.REFUSED
    return Outcome.PENDING if word in settings.pending_words else None


def provider_reference(settings: ProviderSettings, document: dict[str, object] | None) -> str | None:
    """The provider's own reference, in a form that can be stored; None where the answer has none."""
    value = (document or {}).get(settings.provider_reference_field)
    if isinstance(value, json_text.Number):
        value = value.text
    return fit_reference(value) if isinstance(value, str) else None


def fit_reference(value: str) -> str | None:
    """A provider's reference without what the ledger or Temporal would refuse, after the money moved; None where nothing is left."""
    text = printable(value).strip()
    return text[: limits.REFERENCE_CHARS_MAX] or None


def reason(settings: ProviderSettings, received: Received) -> str | None:
    """The reason that an answer gives: a JSON object's own field for it, else the beginning of its text."""
    if is_encoded(received):
        return None
    return reason_in(parse_object(settings, received.body)) or excerpt(received.body)


def reason_in(document: dict[str, object] | None) -> str | None:
    """The reason that a JSON object gives in one of the usual fields."""
    for name in _REASON_FIELDS:
        value = (document or {}).get(name)
        if isinstance(value, str) and (text := one_line(value)):
            return text
    return None


def is_encoded(received: Received) -> bool:
    """Tell whether the body comes in a content encoding, of which none was asked for."""
    return received.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}


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
    """Make foreign text fit for people, logs and the ledger: one printable line, phone numbers masked, not too long."""
    # What is cut here could not show: the loop below must not walk through a quarter of a megabyte.
    seen = "".join(char if char.isprintable() else " " for char in text[: 8 * chars_max])
    masked = mask_text(" ".join(seen.split()))
    return masked if len(masked) <= chars_max else masked[: chars_max - 1] + "…"


def title(status: int) -> str:
    """A status with its name."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP status {status}"


def said(beginning: str, detail: str | None) -> str:
    """One line for people, with the detail where there is one."""
    return one_line(f"{beginning}: {detail}" if detail else beginning)


def shown(word: object) -> str:
    """A status word that no list has, as it is shown to people."""
    if isinstance(word, json_text.Number):
        return word.text[:EXCERPT_CHARS_MAX]
    return repr(word[:EXCERPT_CHARS_MAX]) if isinstance(word, str) else f"not a text but {type(word).__name__}"


def excerpt(body: bytes) -> str | None:
    """The beginning of an answer's text."""
    # Bytes beyond this cannot show in the excerpt: no character takes more than four.
    return one_line(body[: 4 * EXCERPT_CHARS_MAX].decode("utf-8", errors="replace"), EXCERPT_CHARS_MAX) or None
