"""The settings, as models: read once from the environment by `app`, checked at start, refused by name if wrong.

Every field stands in the environment as `RECHARGE_SECTION__FIELD`. Secrets may be given as `…_FILE` (see
`app.environment`).
"""

import re
from enum import StrEnum
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from recharge import limits
from recharge.contract import DuplicateRequests, Ordering
from recharge.payload_keys import PayloadKey, read_keys
from recharge.provider_settings import DuplicateProtection, ProviderSettings
from recharge.section import PORT_MAX, TEN_YEARS_S, Name, ReadableFile, Section, is_loopback

__all__ = [
    "DuplicateProtection",
    "FirstStart",
    "HttpSettings",
    "IngestSettings",
    "KafkaSettings",
    "LogLevel",
    "LogSettings",
    "MySQLSettings",
    "PrivacySettings",
    "ProviderSettings",
    "SaslMechanism",
    "Section",
    "SecurityProtocol",
    "TemporalSettings",
    "is_loopback",
]


_URL = re.compile(r"[\x21-\x7e]+")
_MYSQL_OPTIONS_TOLD = "ssl_ca, ssl_cert and ssl_key"
_MYSQL_OPTIONS = frozenset({"ssl_ca", "ssl_cert", "ssl_key"})


class SecurityProtocol(StrEnum):
    """Kafka's security protocols, named as Kafka names them."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"

    @property
    def encrypted(self) -> bool:
        """Whether the connection is TLS."""
        return self in {SecurityProtocol.SSL, SecurityProtocol.SASL_SSL}

    @property
    def sasl(self) -> bool:
        """Whether user and password are needed."""
        return self in {SecurityProtocol.SASL_PLAINTEXT, SecurityProtocol.SASL_SSL}


class SaslMechanism(StrEnum):
    """The SASL mechanisms that are offered, named as Kafka names them."""

    PLAIN = "PLAIN"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"


class KafkaSettings(Section):
    """RECHARGE_KAFKA__…: the cluster, the topic and who we are there."""

    bootstrap_servers: str = Field(min_length=1, examples=["kafka-1.example.net:9093,kafka-2.example.net:9093"])
    topic: Name = Field("credit-transfers", max_length=limits.TOPIC_CHARS_MAX, examples=["credit-transfers"])
    group_id: str = Field("recharge", min_length=1, max_length=255, examples=["recharge"])
    source: Name = Field(max_length=limits.SOURCE_CHARS_MAX, examples=["topups-2026"])
    dead_letter_topic: Name | None = Field(None, max_length=limits.TOPIC_CHARS_MAX, examples=["credit-transfers.dlt"])
    group_instance_id: Name | None = Field(None, max_length=255, examples=["recharge-0"])
    security_protocol: SecurityProtocol = Field(SecurityProtocol.SASL_SSL, examples=["SASL_SSL"])
    sasl_mechanism: SaslMechanism = Field(SaslMechanism.SCRAM_SHA_512, examples=["SCRAM-SHA-512"])
    sasl_username: str | None = Field(None, min_length=1, examples=["recharge"])
    sasl_password: SecretStr | None = Field(None, min_length=1, examples=["…"])
    ssl_ca_file: ReadableFile | None = Field(None, examples=["/etc/recharge/kafka-ca.pem"])
    ssl_cert_file: ReadableFile | None = Field(None, examples=["/etc/recharge/kafka.pem"])
    ssl_key_file: ReadableFile | None = Field(None, examples=["/etc/recharge/kafka.key"])

    @property
    def dead_letters(self) -> str:
        """The dead-letter topic's name."""
        return self.dead_letter_topic or f"{self.topic}.dlt"

    @field_validator("bootstrap_servers")
    @classmethod
    def _are_addresses(cls, value: str) -> str:
        for server in value.split(","):
            host, _, port = server.strip().rpartition(":")
            if not host or not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= PORT_MAX:
                raise ValueError("must be HOST:PORT, or several with commas between them")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.security_protocol.sasl:
            if self.sasl_username is None and self.sasl_password is None:
                raise ValueError(
                    f"sasl_username|is missing, and so is sasl_password: {self.security_protocol} needs both"
                )
            if self.sasl_username is None:
                raise ValueError(f"sasl_username|is missing: {self.security_protocol} needs it beside sasl_password")
            if self.sasl_password is None:
                raise ValueError(f"sasl_password|is missing: {self.security_protocol} needs it beside sasl_username")
        if not self.security_protocol.encrypted and not all(map(is_loopback, self._hosts())):
            raise ValueError(
                f"security_protocol|is {self.security_protocol}, which is not encrypted and allowed on loopback only"
            )
        if (self.ssl_cert_file is None) != (self.ssl_key_file is None):
            missing = "ssl_key_file" if self.ssl_key_file is None else "ssl_cert_file"
            raise ValueError(f"{missing}|is missing: ssl_cert_file and ssl_key_file are given together or not at all")
        if self.dead_letters == self.topic:
            raise ValueError(
                "dead_letter_topic|is the topic itself, so that every dead letter would be carried out again"
            )
        return self

    def _hosts(self) -> list[str]:
        return [server.strip().rsplit(":", 1)[0] for server in self.bootstrap_servers.split(",")]


class FirstStart(StrEnum):
    """Where a group without committed offsets begins."""

    EARLIEST = "earliest"
    LATEST = "latest"


class IngestSettings(Section):
    """RECHARGE_INGEST__…: how the topic is read."""

    ordering: Ordering = Field(Ordering.PARTITION, examples=["partition"])
    max_in_flight: int = Field(limits.IN_FLIGHT_DEFAULT, ge=1, le=limits.IN_FLIGHT_MAX, examples=["500"])
    first_start: FirstStart = Field(FirstStart.EARLIEST, examples=["earliest"])
    duplicate_requests: DuplicateRequests = Field(DuplicateRequests.REJECT, examples=["reject"])
    stale_after_s: float | None = Field(None, gt=0, le=TEN_YEARS_S, examples=["86400"])
    refused_in_a_row_max: int = Field(
        limits.REFUSED_IN_A_ROW_DEFAULT, ge=1, le=limits.REFUSED_IN_A_ROW_MAX, examples=["20"]
    )


class TemporalSettings(Section):
    """RECHARGE_TEMPORAL__…: what Temporal's own TEMPORAL_… variables do not say."""

    task_queue: str = Field("recharge", min_length=1, max_length=255, examples=["recharge"])
    web_ui_url: str | None = Field(None, examples=["https://temporal.example.net"])
    payload_keys: SecretStr | None = Field(None, examples=["…"])
    allow_plaintext: bool = Field(
        False,  # noqa: FBT003
        description="Temporal may be reached without TLS beyond loopback, since something else encrypts on the way.",
        examples=["false"],
    )

    @property
    def keys(self) -> tuple[PayloadKey, ...]:
        """The keys that encrypt what Temporal stores, the one that encrypts first; none where nothing is encrypted."""
        return () if self.payload_keys is None else read_keys(self.payload_keys.get_secret_value())

    @property
    def web_ui_origin(self) -> str | None:
        """The Web UI's origin, as a browser tells it of a page; None where nobody told us the address of that."""
        if self.web_ui_url is None:
            return None
        parts = urlsplit(self.web_ui_url)
        is_usual = parts.port in {None, {"http": 80, "https": 443}[parts.scheme]}
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{parts.scheme}://{host}" if is_usual else f"{parts.scheme}://{host}:{parts.port}"

    @field_validator("payload_keys")
    @classmethod
    def _are_keys(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            read_keys(value.get_secret_value())
        return value

    @field_validator("web_ui_url")
    @classmethod
    def _is_web_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            parts = urlsplit(value)
            port = parts.port
        except ValueError:
            raise ValueError("is not a URL (is its port a number from 1 to 65535?)") from None
        if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0 or not _URL.fullmatch(value):
            raise ValueError("must be http://HOST or https://HOST, with the path of the Web UI where it has one")
        if "@" in parts.netloc:
            raise ValueError("must not hold a user or a password, since it is shown to everyone")
        if parts.query or parts.fragment:
            raise ValueError("must end with the path: links are made by adding to it")
        return value


class MySQLSettings(Section):
    """RECHARGE_MYSQL__…: the ledger."""

    url: SecretStr = Field(
        examples=["mysql://recharge:PASSWORD@db.example.net:3306/recharge?ssl_ca=/etc/recharge/mysql-ca.pem"]
    )

    @field_validator("url")
    @classmethod
    def _is_mysql_url(cls, value: SecretStr) -> SecretStr:
        # The messages never repeat the value, since it holds the password.
        try:
            parts = urlsplit(value.get_secret_value())
            port = parts.port
        except ValueError:
            raise ValueError(
                "is not a URL: is its port a number, are special characters of the password written as %XX?"
            ) from None
        if parts.scheme != "mysql":
            raise ValueError("must begin with mysql://")
        if not parts.hostname or not parts.username or parts.path.strip("/") == "" or port == 0:
            raise ValueError("must name user, host and database")
        given = parse_qsl(parts.query, keep_blank_values=True)
        options = [name for name, _ in given]
        if unknown := sorted(set(options) - _MYSQL_OPTIONS):
            raise ValueError(f"has an option that is not known, {unknown[0][:40]!a}: it may have {_MYSQL_OPTIONS_TOLD}")
        if len(options) != len(set(options)) or not all(file for _, file in given):
            raise ValueError("has an option twice, or one without a value")
        if "ssl_ca" not in options and (options or not is_loopback(parts.hostname)):
            raise ValueError(
                "must name the server's CA by ?ssl_ca=FILE, except on loopback: the ledger is never reached without TLS"
            )
        if ("ssl_cert" in options) != ("ssl_key" in options):
            raise ValueError("must have ssl_cert and ssl_key together or not at all")
        return value


class PrivacySettings(Section):
    """RECHARGE_PRIVACY__…: how numbers are found without standing in clear."""

    hash_key: SecretStr = Field(min_length=16, examples=["…"])


class LogLevel(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def _host_and_port(address: str | None) -> tuple[str, int] | None:
    if address is None:
        return None
    host, _, port = address.rpartition(":")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104  # asked for by leaving the host out


class HttpSettings(Section):
    """RECHARGE_HTTP__…: where metrics and health are read, and the metrics of Temporal's SDK."""

    listen: str | None = Field(None, examples=["0.0.0.0:9464"])
    sdk_listen: str | None = Field(None, examples=["0.0.0.0:9465"])

    @field_validator("listen", "sdk_listen")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        if value is not None:
            _, _, port = value.rpartition(":")
            if not port.isascii() or not port.isdigit() or not 0 < int(port) <= PORT_MAX:
                raise ValueError("must be HOST:PORT")
        return value

    @model_validator(mode="after")
    def _two_ports(self) -> Self:
        if self.listen is not None and self.listen == self.sdk_listen:
            raise ValueError("sdk_listen|is the address of RECHARGE_HTTP__LISTEN; the SDK needs a port of its own")
        return self

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port of our own metrics and health, or None where nothing listens."""
        return _host_and_port(self.listen)

    @property
    def sdk_address(self) -> tuple[str, int] | None:
        """Host and port of the SDK's metrics, or None where nothing listens."""
        return _host_and_port(self.sdk_listen)


class LogSettings(Section):
    """RECHARGE_LOG__…: what is logged."""

    level: LogLevel = Field(LogLevel.INFO, examples=["info"])
