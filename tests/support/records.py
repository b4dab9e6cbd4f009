"""Records for tests."""

import json
import time
from typing import Any

from recharge.contract import Ordering, Position, RecordInput
from recharge.record import from_kafka


def value(**changes: Any) -> bytes:
    """A valid record's value; changes are merged over it, and None takes a field away."""
    fields: dict[str, Any] = {
        "operationType": "OneShotTransfer",
        "phoneNumberDonor": "+34600111222",
        "phoneNumberReceiver": "34600333444",
        "amount": "10.50",
        "currency": "EUR",
    } | changes
    return json.dumps({name: field for name, field in fields.items() if field is not None}).encode()


def record(
    source: str, offset: int, raw: bytes | None = None, *, partition: int = 0, topic: str = "credit-transfers"
) -> RecordInput:
    """A record as the intake hands it to its workflow."""
    position = Position(source, topic, partition, offset)
    body = value() if raw is None else raw
    return from_kafka(position, b"key", body, int(time.time() * 1000), ordering=Ordering.PARTITION, traceparent=None)
