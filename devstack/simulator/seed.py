"""The three records that show what the service is for: the second meets an error, then a crash after its charge."""

import secrets
from datetime import UTC, datetime
from typing import Any

from devstack.simulator.faults import Scenario


def seed_records() -> list[dict[str, Any]]:
    """Three records of one donor and one receiver, in order, with request ids that differ from call to call."""
    run_id = secrets.token_hex(4)
    base = {
        "operationType": "OneShotTransfer",
        "phoneNumberDonor": "+59170000001",
        "phoneNumberReceiver": "+59170000002",
        "currency": "BOB",
        "operationDate": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    records: list[dict[str, Any]] = [
        {**base, "requestId": f"seed-{run_id}-{number}", "amount": amount}
        for number, amount in enumerate(["10.00", "0.10", "25.50"], start=1)
    ]
    records[1]["simulate"] = [Scenario.EXTERNAL_SERVER_ERROR.value, Scenario.SHUT_DOWN_UNEXPECTEDLY.value]
    return records
