"""Makes the topics and the access rules of docker-compose.yml, as Kafka's administrator. Safe to repeat.

The names come from the service's own settings, `RECHARGE_KAFKA__…`, with the administrator as the SASL user.
"""  # noqa: INP001 - a program of the compose stack, never imported by the service

import argparse
import asyncio
import logging
import ssl
import sys
from typing import Any

from app.environment import ProduceEnvironment, load
from app.setting_problems import SettingsError
from devstack.errors import DevstackError
from devstack.grants import kafka_rules
from devstack.kafka_admin import KafkaAdmin
from recharge.settings import KafkaSettings

_READY_TIMEOUT_S = 60.0
_RETRY_INTERVAL_S = 0.5


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """The settings as aiokafka's clients name them."""
    password = settings.sasl_password
    return {
        "bootstrap_servers": settings.bootstrap_servers,
        "security_protocol": str(settings.security_protocol),
        "ssl_context": ssl.create_default_context(cafile=settings.ssl_ca_file),
        "sasl_mechanism": str(settings.sasl_mechanism),
        "sasl_plain_username": settings.sasl_username,
        "sasl_plain_password": None if password is None else password.get_secret_value(),
    }


async def run(settings: KafkaSettings, partitions: int) -> None:
    """Wait for the broker, then make what is missing.

    Raises DevstackError where the broker refuses it, TimeoutError where it does not answer in time.
    """
    admin = KafkaAdmin(client_options(settings))
    topic, dead_letters = settings.topic, settings.dead_letters
    try:
        async with asyncio.timeout(_READY_TIMEOUT_S):
            while not await admin.answers():  # noqa: ASYNC110 - the broker is asked; nothing here could set an event
                await asyncio.sleep(_RETRY_INTERVAL_S)
        await admin.create_topics({topic: {}, dead_letters: {}}, {topic: partitions, dead_letters: 1})
        await admin.grant(kafka_rules(topic, settings.group_id, dead_letters))
    finally:
        await admin.close()
    sys.stdout.write(f"ready: topic {topic}, dead letters {dead_letters}, group {settings.group_id}\n")


def main(arguments: list[str]) -> int:
    """Run the program; its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--partitions", type=int, required=True, help="partitions of the topic, where it is not there")
    options = parser.parse_args(arguments)
    try:
        settings = load(ProduceEnvironment).kafka
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    # The library would tell each attempt at a broker that is still starting; how the waiting ended is said below.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        asyncio.run(run(settings, options.partitions))
    except DevstackError as error:
        sys.stderr.write(f"kafka-setup: {error}\n")
        return 1
    except TimeoutError:
        sys.stderr.write(
            f"kafka-setup: {settings.bootstrap_servers} did not let the administrator in within {_READY_TIMEOUT_S:g} s; "
            "see what the broker says: docker compose logs kafka\n"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
