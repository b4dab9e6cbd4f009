"""The records of a campaign, and what the provider does with each: drawn from the seed. Pure."""

import json
import random
from dataclasses import dataclass
from typing import Final

AT_ONCE_CHARGED: Final = "charge+ok"

PROVIDER_BEHAVIOURS: Final = (
    # Charged.
    "charge+empty", "charge+no_content", "delay:1+charge+ok", "delay:2+charge+ok", "charge+delay:2+ok",
    # Refused.
    "refuse+ok", "status:400", "status:402", "status:404", "status:405", "status:410", "status:418", "status:422",
    "delay:2+status:422",
    # Turned away: nothing was carried out, so it may be sent again.
    "status:401", "status:403", "status:407", "status:429", "retry_after:1+status:429", "retry_after_date:1+status:429",
    "delay:2+status:429",
    # Accepted, with the final answer later.
    "accept:1+accepted", "accept:2+status:200", "accept_then_refuse:1+accepted",
    # Nobody on this side can know: it was carried out.
    "charge+status:500", "charge+status:503", "charge+status:408", "charge+status:409", "charge+redirect",
    "charge+close", "charge+reset", "charge+hang", "charge+cut_short", "charge+cut_head", "charge+not_http",
    "charge+bad_encoding", "charge+invalid_utf8", "charge+array", "charge+maintenance", "charge+unknown_status",
    "charge+too_long:3000000", "charge+drip:0.5", "charge+delay:3+ok", "delay:3+charge+ok",
    # Nobody on this side can know: it was not.
    "status:500", "status:503", "status:408", "status:409", "close", "reset", "hang", "maintenance", "redirect",
)  # fmt: skip
"""Each row of the table of answers. A provider that lies (`claim`) is left out, since no audit could pass, and so are the steps
that signal the caller: behind the proxy that is this process."""

LOOKUP_BEHAVIOURS: Final = ("status:500", "close", "hang", "say_pending", "not_found_for:1", "maintenance", "cut_short")
"""What the provider answers to a few of the questions for a reference. None says for good that a charge is not there."""

_UNREADABLE: Final = (b"", b"not JSON", b'{"operationType": "OneShotTransfer"}', b'["amount", 1]', b"\xff\xfe", None)
_UNREADABLE_SHARE: Final = 0.02
_FAULTY_SHARE: Final = 0.15
_REPEATED_REQUEST_SHARE: Final = 0.02
_KEYLESS_SHARE: Final = 0.1
_ACCOUNTS: Final = 40
_KEYS: Final = 12


@dataclass(frozen=True, slots=True)
class PlannedRecord:
    """One record, and when it is produced: seconds after the campaign's beginning."""

    at_s: float
    partition: int
    key: bytes | None
    value: bytes | None


def draw_records(draw: random.Random, count: int, partitions: int, span_s: float) -> tuple[PlannedRecord, ...]:
    """The records of one campaign in the order of their production, all of them within `span_s`."""
    accounts = [f"346{draw.randrange(10**8):08}" for _ in range(_ACCOUNTS)]
    moments = sorted(draw.uniform(0.0, span_s) for _ in range(count))
    # Each behaviour once before one of them comes again.
    behaviours: list[str] = []
    drawn: list[PlannedRecord] = []
    requests: list[_Request] = []
    for number, at_s in enumerate(moments):
        if not behaviours:
            behaviours = draw.sample(PROVIDER_BEHAVIOURS, len(PROVIDER_BEHAVIOURS))
        simulate = [behaviours.pop()] if draw.random() < _FAULTY_SHARE else []
        key = None if draw.random() < _KEYLESS_SHARE else f"key-{draw.randrange(_KEYS)}".encode()
        value: bytes | None
        if draw.random() < _UNREADABLE_SHARE:
            value = draw.choice(_UNREADABLE)
            if value is None and key is None:
                key = b"key-0"  # Kafka's client sends no record without both.
        else:
            is_repeated = bool(requests) and draw.random() < _REPEATED_REQUEST_SHARE
            donor, receiver = draw.sample(accounts, 2)
            requests.append(draw.choice(requests) if is_repeated else _Request(f"request-{number}", donor, receiver))
            value = _value(draw, number, requests[-1], simulate)
        drawn.append(PlannedRecord(at_s, draw.randrange(partitions), key, value))
    return tuple(drawn)


def accounts_of(value: bytes | None) -> frozenset[str]:
    """The phone numbers of a record that was drawn here; none where it is not readable."""
    try:
        fields = json.loads(value or b"")
    except ValueError:
        return frozenset()
    numbers = (
        (fields.get(name) for name in ("phoneNumberDonor", "phoneNumberReceiver")) if isinstance(fields, dict) else ()
    )
    return frozenset(number for number in numbers if number)


@dataclass(frozen=True, slots=True)
class _Request:
    """What makes two records the same request: of those only the first is carried out."""

    request_id: str
    donor: str
    receiver: str


def _value(draw: random.Random, number: int, request: _Request, simulate: list[str]) -> bytes:
    fields = {
        "operationType": draw.choice(("OneShotTransfer", "RecurringTransfer", "BlackListIn")),
        "phoneNumberDonor": request.donor,
        "phoneNumberReceiver": request.receiver,
        # No two records ask for the same amount, so a charge that belongs to another record shows.
        "amount": f"{number + 1}.{draw.randrange(10_000):04}",
        "currency": "EUR",
        "requestId": request.request_id,
    }
    return json.dumps(fields | ({"simulate": simulate} if simulate else {})).encode()
