"""What has been final for long is blanked by who said so and why; it proves the promises as before, and nothing else is touched."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from temporalio.client import Client

from activities.ledger import Whole
from activities.ledger.redaction import Redactions
from devstack.stack import Devstack
from operations.archive import ArchiveProblem
from tests.conftest import SiteMaker
from tests.support import command
from tests.support.group_trouble import coordinator
from tests.support.records import value
from tests.support.service import Service, killed, logged_by

WHO = ("--by", "Ann", "--note", "the law")
PERSONAL = "account_donor, account_receiver, raw_key, raw_value"


async def made_final(stack: Devstack, client: Client, make_site: SiteMaker, profile: Mapping[str, str]) -> Service:
    """A service whose records are final but for the last, which is in doubt; all but the two last became so 40 days ago."""
    here = Service.of(stack, await make_site("redact", profile=profile), client)
    await here.send(0, value(), value(), key=b"one")
    await here.send(0, value(simulate=["refuse+ok"]), b"not JSON", key=b"two")
    await here.send(0, value(), key=b"one")
    await here.send(0, value(simulate=["charge+status:500"]), key=b"three")
    process = here.site.spawn("run")
    await here.until_states({(0, offset): state for offset, state in enumerate(STATES)})
    await killed([process])
    await stack.mysql.execute(
        f"UPDATE {here.site.names.database}.recharges SET updated_at = updated_at - INTERVAL 40 DAY, "
        "final_at = final_at - INTERVAL 40 DAY, created_at = created_at - INTERVAL 40 DAY WHERE record_offset < 4"
    )
    await stack.mysql.execute(
        f"UPDATE {here.site.names.database}.recharge_attempts SET opened_at = opened_at - INTERVAL 40 DAY, "
        "deadline_at = deadline_at - INTERVAL 40 DAY, closed_at = closed_at - INTERVAL 40 DAY "
        f"WHERE workflow_id NOT IN ('{here.workflow_id(0, 4)}', '{here.workflow_id(0, 5)}')"
    )
    return here


STATES = ["succeeded", "succeeded", "rejected", "invalid", "succeeded", "in_doubt"]


async def ask(here: Service, *arguments: str) -> command.Told:
    return await command.ask(*arguments, environment=here.site.environment)


async def rows(here: Service, columns: str) -> list[tuple[Any, ...]]:
    query = f"SELECT {columns} FROM {here.site.names.database}.recharges ORDER BY record_offset"
    return await here.stack.mysql.execute(query)


async def assert_kept(here: Service) -> None:
    """The audit finds every promise kept, by the provider's statement too."""
    statement = here.site.folder / "statement.csv"
    statement.write_text(await here.stack.simulator.client.statement(f"{here.site.source}:"))
    audited = (await ask(here, "audit", "--json", "--statement", str(statement))).json()
    assert (audited["ok"], audited["violations"]) == (True, [])


async def test_old_final_records_are_blanked_and_still_prove_the_promises(
    stack: Devstack, client: Client, make_site: SiteMaker
) -> None:
    here = await made_final(stack, client, make_site, {"RECHARGE_INGEST__ORDERING": "key"})
    kept = (
        "workflow_id, state, fingerprint, content_digest, amount, provider_reference, updated_at, final_at, size_bytes"
    )
    before, personal = await rows(here, kept), await rows(here, PERSONAL)
    audited = (await ask(here, "audit", "--json")).json()

    dry = await ask(here, "redact", "--older-than", "30", "--dry-run")
    assert (dry.status, dry.out[:10]) == (0, "4 records "), dry
    assert "nothing is changed" in dry.out
    assert await rows(here, PERSONAL) == personal

    without = await ask(here, "redact", "--older-than", "30")
    assert (without.status, "needs a name and a reason" in without.err) == (2, True), without
    done = await ask(here, "redact", "--older-than", "30", *WHO)
    assert (done.status, done.err) == (0, ""), done
    assert done.out.startswith("4 records that became final before ")
    assert await rows(here, PERSONAL) == [(None,) * 4] * 4 + personal[4:]
    assert await rows(here, kept) == before
    assert [at is not None for (at,) in await rows(here, "redacted_at")] == [True] * 4 + [False] * 2
    again = await ask(here, "redact", "--older-than", "30", *WHO)
    assert again.out.startswith("0 records"), again
    runs = f"SELECT redacted_by, note, records, ended_at IS NOT NULL FROM {here.site.names.database}.redactions ORDER BY id"
    assert await stack.mysql.execute(runs) == [("Ann", "the law", 4, 1), ("Ann", "the law", 0, 1)]

    now = (await ask(here, "audit", "--json")).json()
    assert (now["ok"], now["violations"]) == (audited["ok"], audited["violations"])
    shown = (await ask(here, "show", here.workflow_id(0, 0), "--json", "--reveal")).json()
    assert shown["record"]["redacted_at"] is not None
    assert (shown["record"]["donor"], shown["record"]["value"], shown["state"]) == (None, None, "succeeded")
    told = await ask(here, "show", here.workflow_id(0, 0))
    assert "blanked" in told.out
    assert "None" not in told.out


async def test_blanked_records_that_are_read_again_after_a_lost_commit_send_nothing_and_stay_final(
    stack: Devstack, client: Client, make_site: SiteMaker
) -> None:
    """Of one and of a rejected one Temporal has forgotten the workflow, so the ledger alone knows them."""
    here = await made_final(stack, client, make_site, {})
    done = await ask(here, "redact", "--older-than", "30", *WHO)
    assert done.out.startswith("4 records that became final before ")
    for offset in (0, 2):
        await here.delete(0, offset)
    posts, kept = await here.posts(), await here.ledger_rows()
    letters = await here.dead_letters()
    async with coordinator(here) as group:
        for member in await group.members():
            await group.put_out(member)  # it was killed, and its session goes on for ten seconds
    await here.move_group({0: 0})

    process = here.site.spawn("run")
    await here.until_committed({0: 5})
    starts = logged_by(process, "record started")
    attached = logged_by(process, "record attached to the workflow that is there")
    assert {line["offset"] for line in starts} == {0, 2}
    assert {line["offset"] for line in attached} >= {1, 3, 4}
    assert await here.posts() == posts
    assert await here.ledger_rows() == kept
    assert await here.states() == {(0, offset): state for offset, state in enumerate(STATES)}
    # A dead letter may appear twice, never not at all; it is whole, since its bytes are those of the topic.
    assert await here.dead_letters() == {where: 2 * count for where, count in letters.items()}
    bytes_sent = {letter.value for letter in await stack.kafka.read_all(f"{here.site.topic}.dlt")}
    assert bytes_sent == {value(simulate=["refuse+ok"]), b"not JSON"}
    await assert_kept(here)
    await killed([process])


async def test_an_archive_has_whole_records_before_they_are_blanked_and_the_audit_proves_what_is_left(
    stack: Devstack, client: Client, make_site: SiteMaker
) -> None:
    here = await made_final(stack, client, make_site, {})
    file = here.site.folder / "archive.jsonl"
    for offset, answer in ((0, "charged"), (1, "charged"), (5, "unreadable")):
        await stack.mysql.execute(
            f"INSERT INTO {here.site.names.database}.lookups (workflow_id, attempt_number, asked_at, answered_at, answer, status, said) "
            f"VALUES ('{here.workflow_id(0, offset)}', 1, NOW(6), NOW(6), '{answer}', 200, 'as Maria Quispe asked')"
        )
    before = [
        (await ask(here, "show", here.workflow_id(0, offset), "--json", "--reveal")).json() for offset in range(4)
    ]
    raw, personal = await rows(here, "raw_key, raw_value"), await rows(here, PERSONAL)
    errors = f"SELECT workflow_id FROM {here.site.names.database}.recharge_attempts WHERE error IS NOT NULL"
    assert {each for (each,) in await stack.mysql.execute(errors)} == {
        here.workflow_id(0, offset) for offset in (0, 1, 2, 4, 5)
    }

    done = await ask(here, "redact", "--older-than", "30", "--archive", str(file), *WHO)
    assert (done.status, done.err) == (0, ""), done
    assert done.out.startswith("4 records that became final before ")
    assert done.out.endswith(f"blanked; 4 lines in {file}\n")
    assert file.stat().st_mode & 0o777 == 0o600
    lines = sorted((json.loads(line) for line in file.read_text().splitlines()), key=lambda line: line["workflow_id"])
    for line, shown, (key, text) in zip(lines, before, raw[:4], strict=True):
        assert base64.b64decode(line["record"].pop("key")) == key
        assert base64.b64decode(line["record"].pop("value")) == text
        assert line.pop("status") == (None if line["state"] == "invalid" else 200)
        told = {name: shown[name] for name in line}
        told["record"] = {name: shown["record"][name] for name in line["record"]}
        assert line == told, "what show had told of it before"
    assert await rows(here, PERSONAL) == [(None,) * 4] * 4 + personal[4:]
    assert {each for (each,) in await stack.mysql.execute(errors)} == {here.workflow_id(0, 4), here.workflow_id(0, 5)}
    lookups = f"SELECT answer, status, said FROM {here.site.names.database}.lookups ORDER BY workflow_id"
    assert await stack.mysql.execute(lookups) == [
        ("charged", 200, "blanked"),
        ("charged", 200, "blanked"),
        ("unreadable", 200, "as Maria Quispe asked"),
    ]
    assert "as Maria Quispe asked" in file.read_text()
    await assert_kept(here)


async def test_what_an_archive_did_not_take_is_not_blanked(
    stack: Devstack, client: Client, make_site: SiteMaker
) -> None:
    here = await made_final(stack, client, make_site, {})
    personal = await rows(here, PERSONAL)
    kept: list[str] = []

    def keep(records: Sequence[Whole]) -> None:
        if kept:
            raise ArchiveProblem("the disk is full")
        kept.extend(each.record["workflow_id"] for each in records)

    ledger = Redactions(here.site.environment["RECHARGE_MYSQL__URL"], connections_max=1)
    try:
        span = await ledger.span(30)
        with pytest.raises(ArchiveProblem):
            _ = [blanked async for blanked in ledger.run(span, by="Ann", note="the law", keep=keep)]
    finally:
        await ledger.close()
    now = await rows(here, PERSONAL)
    blanked = [here.workflow_id(0, offset) for offset, columns in enumerate(now) if columns == (None,) * 4]
    assert blanked == kept == [here.workflow_id(0, 3)]
    assert [columns for offset, columns in enumerate(now) if offset != 3] == personal[:3] + personal[4:]

    file = here.site.folder / "archive.jsonl"
    file.write_text("something else\n")
    taken = await ask(here, "redact", "--older-than", "30", "--archive", str(file), *WHO)
    assert (taken.status, "is there already" in taken.err, file.read_text()) == (1, True, "something else\n"), taken
    nowhere = await ask(here, "redact", "--older-than", "30", "--archive", str(here.site.folder / "none" / "a"), *WHO)
    assert (nowhere.status, "No such file or directory" in nowhere.err) == (1, True), nowhere
    both = await ask(here, "redact", "--older-than", "30", "--archive", str(file), "--dry-run")
    assert (both.status, "writes no archive" in both.err) == (2, True), both
    assert await rows(here, PERSONAL) == now
