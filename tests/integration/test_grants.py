"""The rights that deploy/ gives are those that the commands need, and no more."""

from typing import Any

import pytest
from sqlalchemy import text

from activities.ledger import Ledger
from activities.ledger.engine import make_pool
from activities.migrations import migrate
from devstack.grants import kafka_rules
from devstack.kafka import OPERATOR, PRODUCER, READER, SERVICE
from devstack.kafka_access import Operation
from devstack.stack import Devstack


async def refused(url: str, statement: str) -> str:
    pool = make_pool(url, connections_max=1)
    try:
        async with pool.connect() as connection:
            with pytest.raises(Exception, match="command denied") as caught:
                await connection.execute(text(statement))
        return str(caught.value)
    finally:
        await pool.dispose()


async def test_the_grants_for_mysql_are_enough_for_each_user_and_no_more(stack: Devstack, site_numbers: Any) -> None:
    database = f"granted_{next(site_numbers)}"
    urls = await stack.mysql.create_ledger(database)
    service, ddl, audit = urls.service_url, urls.migrate_url, urls.reader_url
    await migrate(ddl)
    # Whatever stands in the ledger stays where the script is run once more, and the rights are the same.
    await stack.mysql.execute(f"INSERT INTO {database}.request_claims VALUES (REPEAT('0', 64), 'id', UTC_TIMESTAMP(6))")
    await stack.mysql.create_ledger(database)
    assert await stack.mysql.execute(f"SELECT COUNT(*) FROM {database}.request_claims") == [(1,)]
    for url in (service, audit):
        ledger = Ledger(url)
        try:
            await ledger.check()
        finally:
            await ledger.close()
    for table in ("recharges", "recharge_attempts", "operator_actions", "lookups", "accepted_gaps", "redactions"):
        assert "DELETE" in await refused(service, f"DELETE FROM {table}")
    assert "CREATE" in await refused(service, "CREATE TABLE request_claims (placeholder INT)")
    assert "DROP" in await refused(service, "DROP TABLE recharges")
    assert "UPDATE" in await refused(audit, "UPDATE recharges SET state = 'succeeded'")
    assert "INSERT" in await refused(audit, "INSERT INTO operator_actions (workflow_id) VALUES ('x')")


def test_the_access_rules_for_kafka_give_each_user_what_its_commands_need_and_no_more() -> None:
    rules = kafka_rules("t", "g")
    written = {(rule.user, rule.resource_name) for rule in rules if rule.operation is Operation.WRITE}
    assert written == {(SERVICE, "t.dlt"), (PRODUCER, "t"), (OPERATOR, "t")}
    read = {(rule.user, rule.resource_name) for rule in rules if rule.operation is Operation.READ}
    assert {name for user, name in read if user == SERVICE} == {"t", "t.dlt", "g"}
    assert {name for user, name in read if user == READER} == {"t", "t.dlt"}, "whoever only looks cannot join the group"
    assert {name for user, name in read if user == OPERATOR} == {"t.dlt"}
    assert not {name for user, name in read if user == PRODUCER}
