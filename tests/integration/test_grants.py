"""The rights that deploy/ gives are those that the commands need, and no more."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import text

from activities.ledger import Ledger
from activities.ledger.engine import make_engine
from activities.migrations import migrate
from devstack.kafka import PRODUCER, SERVICE, _rules_of_topic
from devstack.kafka_access import AccessRule, Operation, Resource, allow
from devstack.stack import Devstack

DEPLOY = Path(__file__).parents[2] / "deploy"


def statements(database: str) -> list[str]:
    """Those of grants.sql, for a database of this name and users on loopback."""
    written = re.sub(r"^--.*$", "", (DEPLOY / "mysql" / "grants.sql").read_text(), flags=re.MULTILINE)
    written = re.sub(r"\brecharge(?=\.|;)", database, written).replace("'recharge_", f"'{database}_")
    return [each.strip() for each in written.replace("'%'", "'127.0.0.1'").split(";") if each.strip()]


async def refused(url: str, statement: str) -> str:
    engine = make_engine(url, connections_max=1)
    try:
        async with engine.connect() as connection:
            with pytest.raises(Exception, match="command denied") as caught:
                await connection.execute(text(statement))
        return str(caught.value)
    finally:
        await engine.dispose()


async def test_the_grants_for_mysql_are_enough_for_each_user_and_no_more(stack: Devstack, site_numbers: Any) -> None:
    database = f"granted_{next(site_numbers)}"
    for statement in statements(database):
        await stack.mysql.execute(statement)
    tail = f"@{stack.mysql.address}/{database}?ssl_ca={quote(str(stack.mysql.ca_file))}"
    service, ddl, audit = (
        f"mysql://{database}_{name}:PASSWORD_OF_THE_{word}{tail}"
        for name, word in (("svc", "SERVICE"), ("ddl", "MIGRATIONS"), ("audit", "AUDIT"))
    )
    await migrate(ddl)
    for url in (service, audit):
        ledger = Ledger(url)
        try:
            await ledger.check()
        finally:
            await ledger.close()
    for table in ("recharges", "recharge_attempts", "operator_actions", "lookups", "accepted_gaps", "redactions"):
        assert "DELETE" in await refused(service, f"DELETE FROM {table}")
    assert "DROP" in await refused(service, "DROP TABLE recharges")
    assert "UPDATE" in await refused(audit, "UPDATE recharges SET state = 'succeeded'")
    assert "INSERT" in await refused(audit, "INSERT INTO operator_actions (workflow_id) VALUES ('x')")


def test_the_access_rules_for_kafka_are_those_of_the_local_stack() -> None:
    script = (DEPLOY / "kafka" / "acls.sh").read_text()
    names = {"$topic": "t", "$topic.dlt": "t.dlt", "$group": "g"}
    written = {
        AccessRule(
            user, Operation[re.sub(r"(?<!^)(?=[A-Z])", "_", operation).upper()], Resource[kind.upper()], names[name]
        )
        for user, kind, name, operations in re.findall(r'^allow (\w+) --(\w+) "([^"]+)" (.+)$', script, re.MULTILINE)
        for operation in operations.split()
    }
    of_the_group = allow(SERVICE, Resource.GROUP, "g", Operation.READ, Operation.DESCRIBE)
    assert written == {*_rules_of_topic("t", "t.dlt"), *of_the_group}
    assert {rule.user for rule in written} == {SERVICE, PRODUCER}
