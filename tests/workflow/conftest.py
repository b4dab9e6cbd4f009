"""One stage for all tests of the workflow: one worker, and a record of its own for each test."""

from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client

from recharge.contract import RecordInput
from tests.support.records import record
from tests.workflow.stage import Stage


@pytest.fixture(scope="session")
async def stage(client: Client) -> AsyncIterator[Stage]:
    """The stage, open for the whole package."""
    async with Stage(client, "workflow-stage", "stage").open() as opened:
        yield opened


@pytest.fixture
def topup(stage: Stage) -> RecordInput:
    """A valid record that nobody else has."""
    return record(stage.source, stage.next_offset())
