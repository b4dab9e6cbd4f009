"""Which records belong to the period of an audit."""

from datetime import UTC, datetime

import pytest

from operations.audit.facts import Period


@pytest.mark.parametrize("timestamp_ms", [-(2**63), -1, 1_764_000_000_000_000, 2**63 - 1])
def test_a_record_with_any_timestamp_can_be_audited(timestamp_ms: int) -> None:
    at = datetime(2026, 11, 30, tzinfo=UTC)
    assert Period().holds(timestamp_ms)
    assert Period(since=at).holds(timestamp_ms) is (timestamp_ms > 0)
    assert Period(until=at).holds(timestamp_ms) is (timestamp_ms <= 0)
