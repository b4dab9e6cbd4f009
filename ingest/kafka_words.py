"""Kafka's troubles in plain words: each error is one line that says what is wrong, where, and what to do.

A problem is *fatal* where waiting cannot help: somebody has to change a setting, a permission or a topic. Everything else is
worth waiting for.
"""

from typing import ClassVar

from ingest.errors import IntakeProblem
from recharge.settings import KafkaSettings


class KafkaProblem(IntakeProblem):
    """Something is wrong between this service and Kafka."""

    fatal: ClassVar[bool] = True
    """Whether waiting cannot help."""


class KafkaUnreachable(KafkaProblem):
    """No broker answers, or not in time. It may come back."""

    fatal = False


class CredentialsRefused(KafkaProblem):
    """The broker does not know this user, or not with this password or mechanism."""


class TLSRefused(KafkaProblem):
    """The encrypted connection cannot be set up: a certificate is not trusted, or one side speaks plaintext."""


class TopicMissing(KafkaProblem):
    """A topic that this service needs does not exist. It creates none itself."""


class TopicCompacted(KafkaProblem):
    """The topic's records may be deleted by key before they were carried out."""


class PermissionMissing(KafkaProblem):
    """The user may not do what this service has to do."""


class SettingUnusable(KafkaProblem):
    """A setting names something that cannot be used, such as a file that is no certificate."""


class AssignmentLost(KafkaProblem):
    """The group changed hands in the meantime: the partition may be somebody else's now."""

    fatal = False


class RecordTooLarge(KafkaProblem):
    """The topic takes no record of this size. An operator can raise its limit."""

    fatal = False


class MetadataTooLarge(KafkaProblem):
    """The broker keeps less metadata beside an offset than usual. Offsets can be committed without it."""

    fatal = False


class InstanceTaken(KafkaProblem):
    """Another process has taken our place in the group, since it bears the same group instance id."""


class PartitionProblem(KafkaProblem):
    """One partition cannot be read on; the others can."""

    def __init__(self, partition: int, message: str) -> None:
        super().__init__(message)
        self.partition = partition


class OffsetGone(PartitionProblem):
    """The topic does not hold the offset from which the partition has to be read."""


class PositionOutOfRange(PartitionProblem):
    """Kafka says that it does not hold the offset that was asked for. `offset_gone` tells the operator."""

    def __init__(self, partition: int, offset: int) -> None:
        super().__init__(partition, f"Partition {partition} does not hold offset {offset}.")
        self.offset = offset


class RecordsUnreadable(KafkaProblem):
    """What Kafka delivered cannot be taken apart: by a client library that is too old, or a record that breaks Kafka's own format."""

    def __init__(self, partitions: list[int], why: str) -> None:
        super().__init__(f"What Kafka delivered cannot be read ({why}).")
        self.partitions = partitions
        """The partition it came from; several where it is not known from which of them."""
        self.why = why


def unreachable(servers: str, why: str) -> KafkaUnreachable:
    """Nobody answers at the bootstrap servers."""
    return KafkaUnreachable(
        f"Kafka does not answer at {servers}: {why}. Is it running, and is RECHARGE_KAFKA__BOOTSTRAP_SERVERS right?"
    )


def slow(doing: str, timeout_s: float) -> KafkaUnreachable:
    """A call took longer than its limit."""
    return KafkaUnreachable(f"Kafka did not answer within {timeout_s:g} s while {doing}.")


def plaintext_refused(server: str, protocol: str) -> TLSRefused:
    """The broker closed the connection upon a request in plaintext."""
    return TLSRefused(
        f"{server} closed the unencrypted connection: its listener probably expects TLS. "
        f"RECHARGE_KAFKA__SECURITY_PROTOCOL is {protocol}; try SASL_SSL or SSL."
    )


def tls_refused(server: str, why: str, *, certificate: bool) -> TLSRefused:
    """The TLS handshake failed."""
    advice = (
        "RECHARGE_KAFKA__SSL_CA_FILE must name the CA that signed the broker's certificate, and the certificate the host in "
        "RECHARGE_KAFKA__BOOTSTRAP_SERVERS"
        if certificate
        else "does this port speak TLS (RECHARGE_KAFKA__SECURITY_PROTOCOL), and does the broker ask for a client certificate "
        "(RECHARGE_KAFKA__SSL_CERT_FILE)?"
    )
    return TLSRefused(f"The TLS connection to {server} failed ({why}): {advice}")


def credentials_refused(server: str, user: str | None, mechanism: str, why: str) -> CredentialsRefused:
    """SASL failed."""
    return CredentialsRefused(
        f"{server} refused the user {user!r} by {mechanism} ({why}). "
        "Check RECHARGE_KAFKA__SASL_USERNAME, RECHARGE_KAFKA__SASL_PASSWORD and RECHARGE_KAFKA__SASL_MECHANISM."
    )


def topic_missing(topic: str, setting: str) -> TopicMissing:
    """A topic does not exist."""
    return TopicMissing(f"The topic {topic!r} ({setting}) does not exist. Create it, or name the right one.")


def topic_compacted(topic: str, policy: str) -> TopicCompacted:
    """The topic is compacted."""
    return TopicCompacted(
        f"The topic {topic!r} has cleanup.policy={policy}: compaction deletes records that were not carried out yet. "
        "Set cleanup.policy=delete."
    )


def permission_missing(operation: str, resource: str, user: str | None) -> PermissionMissing:
    """An ACL is missing."""
    return PermissionMissing(
        f"The Kafka user {user!r} lacks the permission {operation} on {resource}. Grant it (kafka-acls.sh --add …)."
    )


def move_group(kafka: KafkaSettings, partition: int, offset: int) -> str:
    """The command of Kafka's own by which an operator lets a group go on elsewhere. Kafka refuses it while the group has members."""
    return (
        f"kafka-consumer-groups.sh --bootstrap-server {kafka.bootstrap_servers} --command-config FILE --group {kafka.group_id} "
        f"--topic {kafka.topic}:{partition} --reset-offsets --to-offset {offset} --execute"
    )


def offset_gone(kafka: KafkaSettings, partition: int, offset: int, earliest: int, end: int) -> OffsetGone:
    """The position is out of range."""
    what = (
        f"records from there up to offset {earliest - 1} were deleted before they were carried out (retention). To give them up, type "
        f"`recharge accept-gap {partition}:{offset}-{earliest - 1} --by WHO --note WHY`, stop the group, and type "
        f"`{move_group(kafka, partition, earliest)}`"
        if offset < earliest
        else "the topic was truncated or created anew: a new topic needs a new RECHARGE_KAFKA__SOURCE"
    )
    return OffsetGone(
        partition,
        f"Partition {partition} of {kafka.topic!r} stands still: it has to go on at offset {offset}, but holds offsets {earliest} to "
        f"{end}; {what}. Until then nothing of it is read or committed.",
    )


def unreadable(kafka: KafkaSettings, partition: int, offset: int, problem: RecordsUnreadable) -> PartitionProblem:
    """A record breaks Kafka's own format."""
    return PartitionProblem(
        partition,
        f"Partition {partition} of {kafka.topic!r} stands still at offset {offset}: {problem} A producer with a codec "
        "or headers that this service does not know wrote it; nothing beyond it is read until that is resolved. To give it up, type "
        f"`recharge accept-gap {partition}:{offset}-{offset} --by WHO --note WHY`, which tells how to go on behind it.",
    )


def record_unreadable(topic: str, partition: int, offset: int, why: str) -> PartitionProblem:
    """The same, to a person who wants to read all of a topic."""
    return PartitionProblem(
        partition, f"What partition {partition} of {topic!r} holds at offset {offset} cannot be taken apart ({why})."
    )


def record_too_large(topic: str, size_bytes: int) -> RecordTooLarge:
    """The broker refused a record for its size."""
    return RecordTooLarge(
        f"The topic {topic!r} refuses a record of {size_bytes} bytes, headers included: raise its max.message.bytes well above that, "
        "and the broker's message.max.bytes where that is lower."
    )


def metadata_too_large() -> MetadataTooLarge:
    """The broker refused the completed ranges for their size."""
    return MetadataTooLarge(
        "The brokers' offset.metadata.max.bytes is below Kafka's default of 4096: offsets are committed without the completed ranges, "
        "so that a restart looks at those records again. Raise it."
    )


def instance_taken(instance_id: str, group: str, host: str | None) -> InstanceTaken:
    """Another process joined the group under our group instance id."""
    where = f" at {host.removeprefix('/')}" if host else ""
    return InstanceTaken(
        f"Another process{where} has taken the group instance id {instance_id!r} in the group {group!r}, so this one stops. "
        "Give each ingester a RECHARGE_KAFKA__GROUP_INSTANCE_ID of its own, or none."
    )
