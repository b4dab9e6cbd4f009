"""A worked example: a provider that knows no address for one recharge, but lists those with a given order id.

The call is the standard one, with our reference in a field of the body, and so is the reading of its answer. The look-up is
`GET …?orderId=REFERENCE`, answered with a JSON array, or with an object whose only list holds the items:

    RECHARGE_PROVIDER__PROFILE=activities.profiles.listing
    RECHARGE_PROVIDER__REFERENCE_FIELD=orderId
    RECHARGE_PROVIDER__DUPLICATE_PROTECTION=lookup
    RECHARGE_PROVIDER__LOOKUP_URL=https://provider.example.net/orders?orderId={reference}

An empty list alone means 'not found', which pays for another attempt. So it has to be certain that the list is whole and
was filtered: whatever leaves a doubt of that is unreadable, and a person decides in the end.
"""

from activities.profile import lookup_request, read_answer, request
from activities.profiles import reading
from activities.profiles.messages import LookupReading, Received
from recharge import json_text
from recharge.outcome import LookupAnswer
from recharge.settings import ProviderSettings

__all__ = ["lookup_request", "read_answer", "read_lookup", "request"]

_OK = 200
_UTF8_BOM = b"\xef\xbb\xbf"


def read_lookup(settings: ProviderSettings, received: Received, reference: str) -> LookupReading:
    """Tell what a list of the recharges with our order id means. Never raises."""
    title = reading.title(received.status)
    if received.status != _OK or reading.is_encoded(received):
        # A list that is empty is still a list; a 404 would say that its address is wrong.
        return _unreadable(received, reading.said(title, reading.reason(settings, received)))
    items = _items(received.body)
    if items is None:
        return _unreadable(received, reading.said(f"{title}, but no whole list", reading.excerpt(received.body)))
    if not items:
        return LookupReading(LookupAnswer.NOT_FOUND, f"{title}, an empty list", received.status)
    answers: set[LookupAnswer] = set()
    for item in items:
        answer = _answer_in(settings, item, reference)
        if not isinstance(answer, LookupAnswer):
            return _unreadable(received, reading.one_line(f"{title}, a list {answer}"))
        answers.add(answer)
    if len(answers) > 1:
        return _unreadable(received, f"{title}, a list that says both {' and '.join(sorted(answers))}")
    (answer,) = answers
    said = f"{title}, {len(items)} listed, {answer}"
    return LookupReading(answer, said, received.status, _provider_reference(settings, items))


def _answer_in(settings: ProviderSettings, item: object, reference: str) -> LookupAnswer | str:
    """What one item says about our recharge; as a text, what is wrong with it."""
    if not isinstance(item, dict) or reference not in item.values():
        return "with an item that does not bear our reference"
    word = item.get(settings.status_field)
    meaning = reading.meaning(settings, word)
    if meaning is None or reading.has_look_alike(item, settings.status_field):
        return f"with an unknown status: {reading.shown(word)}"
    return LookupAnswer(meaning.value)


def _provider_reference(settings: ProviderSettings, items: list[object]) -> str | None:
    """The items' reference, where all have the same: several may be several charges, and then none of them can be chosen."""
    found = {reading.provider_reference(settings, item) for item in items if isinstance(item, dict)}
    return found.pop() if len(found) == 1 else None


def _items(body: bytes) -> list[object] | None:
    """The items of the list; None where the body is no list, or may be only a part of one."""
    try:
        # An array is read as a field's value, so that one strict reader serves for both forms.
        document = json_text.read_object(b'{"items":' + body.removeprefix(_UTF8_BOM) + b"}", ())
    except json_text.JsonRefusedError:
        return None
    if len(document) != 1:
        return None
    inner = document["items"]
    if isinstance(inner, list):
        return inner
    if not isinstance(inner, dict):
        return None
    lists = [value for value in inner.values() if isinstance(value, list)]
    others = [value for value in inner.values() if not isinstance(value, list)]
    if len(lists) != 1 or (not lists[0] and not all(map(_says_nothing, others))):
        return None
    (items,) = lists
    return items


def _says_nothing(value: object) -> bool:
    """Tell whether a field beside an empty list leaves it empty: no total above zero, no address of a next page, no error."""
    return value in (None, False, "") or (isinstance(value, json_text.Number) and value.text == "0")


def _unreadable(received: Received, said: str) -> LookupReading:
    return LookupReading(LookupAnswer.UNREADABLE, said, received.status)
