"""Who may do what on MySQL and Kafka, read from the scripts that an administrator runs in production (deploy/mysql, deploy/kafka).

So the local stack's users have exactly the rights that the scripts give, and whatever runs on it shows that these are enough.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from devstack.errors import DevstackError
from devstack.kafka_access import AccessRule, Operation, Resource

# Links to the scripts, so that a built package has them too.
GRANTS: Final = Path(__file__).with_name("grants.sql")
ACLS: Final = Path(__file__).with_name("acls.sh")

_COMMENT: Final = re.compile(r"^--.*$", re.MULTILINE)
_USER: Final = re.compile(r"'recharge_(\w+)'@'%'")
_PASSWORD: Final = re.compile(r"'PASSWORD_OF_(\w+)'")
_DATABASE: Final = re.compile(r"(?<!')\brecharge\b")
_ALLOW: Final = re.compile(r'^allow (\w+) --(topic|group) "([^"]+)" (.+)$', re.MULTILINE)
_CAPITAL: Final = re.compile(r"(?<!^)(?=[A-Z])")


def mysql_statements(database: str, passwords: Mapping[str, str]) -> list[str]:
    """The script's statements for a database of this name, its users being `{database}_svc`, `_ddl` and `_ro` on loopback.

    `passwords` are theirs, by these endings.
    """
    script = _COMMENT.sub("", GRANTS.read_text(encoding="utf-8"))
    script = _DATABASE.sub(database, script)
    made = []
    for statement in filter(None, map(str.strip, script.split(";"))):
        user = _USER.search(statement)
        named = _USER.sub(rf"'{database}_\1'@'127.0.0.1'", statement)
        made.append(named if user is None else _PASSWORD.sub(f"'{passwords[user[1]]}'", named))
    return made


def kafka_rules(topic: str, group: str, dead_letters: str | None = None) -> list[AccessRule]:
    """The script's rules for a topic, its dead letters (by default the topic's name and `.dlt`) and a group.

    Raises:
        DevstackError: where the script has no rules.
    """
    names = {"$topic": topic, "$topic.dlt": dead_letters or f"{topic}.dlt", "$group": group}
    rules = [
        AccessRule(user, Operation[_CAPITAL.sub("_", operation).upper()], Resource[kind.upper()], names[name])
        for user, kind, name, operations in _ALLOW.findall(ACLS.read_text(encoding="utf-8"))
        for operation in operations.split()
    ]
    if not rules:
        raise DevstackError(f"{ACLS} has no rules that can be read.")
    return rules
