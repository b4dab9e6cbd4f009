"""`recharge find` makes the query by which Temporal finds a record, and nothing that it writes holds the number."""

import asyncio
import json
import subprocess
import sys

import pytest
from temporalio.client import Client

from devstack.processes import wait_until
from devstack.server import minimal_environment
from ingest.labels import search_attributes
from operations import histories
from operations.find import FindProblem, by_phone, by_position
from operations.web_ui import WebUi
from recharge.contract import INTAKE_TASK_QUEUE, WORKFLOW_TYPE
from tests.support.records import record, value

KEY = "a key that is long enough"
DONOR, RECEIVER = "+34611222333", "34655666777"
TIMEOUT_S = 30.0
TOPIC, PARTITION, OFFSET = "find-me", 3, 41


def find(*arguments: str, stdin: str = "", **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the command as a person would; it must not repeat a number, whatever happens."""
    told = subprocess.run(
        [sys.executable, "-m", "app", "find", *arguments],
        env=minimal_environment() | environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    for number in (DONOR, RECEIVER):
        assert number.removeprefix("+")[-9:] not in told.stdout + told.stderr
    return told


async def test_a_record_is_found_by_either_number_and_by_its_position(client: Client) -> None:
    raw = value(phoneNumberDonor=DONOR, phoneNumberReceiver=RECEIVER)
    topup = record("find", OFFSET, raw, partition=PARTITION, topic=TOPIC)
    handle = await client.start_workflow(
        WORKFLOW_TYPE,
        topup,
        id=topup.workflow_id,
        task_queue=INTAKE_TASK_QUEUE,
        search_attributes=search_attributes(topup, None, KEY.encode()),
    )
    told = await asyncio.to_thread(
        find, "-", "--json", stdin=f" {DONOR[:3]} {DONOR[3:]}\n", RECHARGE_PRIVACY__HASH_KEY=KEY
    )
    assert (told.returncode, told.stderr) == (0, ""), told
    queries = [
        json.loads(told.stdout)["query"],
        by_phone(DONOR.removeprefix("+"), KEY.encode()),
        by_phone(f"+{RECEIVER}", KEY.encode()),
        by_position(PARTITION, OFFSET, TOPIC),
    ]

    async def found() -> bool:
        return [await histories.count(client, query) for query in queries] == [1, 1, 1, 1]

    await wait_until(found, TIMEOUT_S, "the record is found by each query")
    for other in (by_phone("34600000000", KEY.encode()), by_phone(DONOR, b"another key"), by_position(3, 42, TOPIC)):
        assert await histories.count(client, other) == 0
    await handle.terminate()


def test_the_query_and_its_link_stand_in_a_line_each_and_need_no_key_for_a_position() -> None:
    told = find("--partition", "0", "--offset", "7", RECHARGE_TEMPORAL__WEB_UI_URL="https://temporal.example.net/ui/")
    query = "RechargePartition = 0 AND RechargeOffset = 7"
    link = WebUi("https://temporal.example.net/ui", "default").search(query)
    assert (told.returncode, told.stdout.splitlines(), told.stderr) == (0, [query, link], "")
    assert link.endswith(
        "/ui/namespaces/default/workflows?query=RechargePartition%20%3D%200%20AND%20RechargeOffset%20%3D%207"
    )


@pytest.mark.parametrize("number", ["", DONOR + "x", "1234", DONOR * 2, "' OR 1=1", "\u0663" * 9])
def test_what_is_no_number_is_refused_and_not_repeated(number: str) -> None:
    with pytest.raises(FindProblem) as caught:
        by_phone(number, KEY.encode())
    assert not number or number not in str(caught.value)


def test_a_topics_name_cannot_change_the_query() -> None:
    with pytest.raises(FindProblem, match="no name of a topic"):
        by_position(0, 1, "t' OR RechargeTopic = 'u")


def test_a_missing_key_is_told_by_name() -> None:
    told = find(DONOR)
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.startswith("RECHARGE_PRIVACY__HASH_KEY is missing")
