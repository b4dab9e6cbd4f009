"""The settings, as models: read once from the environment by `app`, checked at start, refused by name if wrong.

Every field stands in the environment as `RECHARGE_SECTION__FIELD`. Secrets may be given as `…_FILE` (see
`app.environment`).
"""

import os
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from recharge import limits
from recharge.contract import Ordering

PORT_MAX = 65_535
_TEN_YEARS_S = 315_576_000.0
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1", "[::1]"})
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def is_loopback(host: str | None) -> bool:
    """Tell whether a host name means this machine, where alone an unencrypted connection may be asked for."""
    return host is not None and (host in LOOPBACK_HOSTS or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None)


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("may hold letters, digits, '.', '_' and '-' only")
    return value


Name = Annotated[str, AfterValidator(_name)]


def _readable_file(path: Path) -> Path:
    # The path is not repeated: people paste the certificate or the key itself here.
    try:
        regular = path.is_file()
        readable = regular and os.access(path, os.R_OK)
    except OSError:
        regular = readable = False
    if not regular:
        raise ValueError("must be the path of a file")
    if not readable:
        raise ValueError("names a file that this process may not read")
    return path


ReadableFile = Annotated[Path, AfterValidator(_readable_file)]


class Section(BaseModel):
    """A group of settings. Unknown names are refused, since a misspelt setting would silently be a default."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)


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


class IngestSettings(Section):
    """RECHARGE_INGEST__…: how the topic is read."""

    ordering: Ordering = Field(Ordering.PARTITION, examples=["partition"])
    max_in_flight: int = Field(limits.IN_FLIGHT_DEFAULT, ge=1, le=limits.IN_FLIGHT_MAX, examples=["500"])
    first_start: FirstStart = Field(FirstStart.EARLIEST, examples=["earliest"])


class TemporalSettings(Section):
    """RECHARGE_TEMPORAL__…: what Temporal's own TEMPORAL_… variables do not say."""

    task_queue: str = Field("recharge", min_length=1, max_length=255, examples=["recharge"])


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
        if "ssl_ca=" not in parts.query and not is_loopback(parts.hostname):
            raise ValueError(
                "must name the server's CA by ?ssl_ca=FILE, except on loopback: the ledger is never reached without TLS"
            )
        return value


class DuplicateProtection(StrEnum):
    """What the provider offers against a second carrying-out of the same recharge."""

    NONE = "none"
    LOOKUP = "lookup"
    IDEMPOTENCY_KEY = "idempotency_key"


class ProviderSettings(Section):
    """RECHARGE_PROVIDER__…: where the call goes, and what the provider promises (its profile)."""

    url: str = Field(examples=["https://provider.example.net/recharges"])
    duplicate_protection: DuplicateProtection = Field(DuplicateProtection.NONE, examples=["lookup"])
    lookup_url: str | None = Field(None, examples=["https://provider.example.net/recharges/{reference}"])
    timeout_s: float = Field(30.0, ge=limits.CALL_TIMEOUT_S_MIN, le=limits.CALL_TIMEOUT_S_MAX, examples=["30"])
    processing_time_s: float = Field(60.0, ge=0, le=86_400, examples=["60"])
    lookup_first_after_s: float = Field(60.0, ge=0, le=86_400, examples=["60"])
    lookup_forgets_after_s: float = Field(86_400.0, gt=0, le=_TEN_YEARS_S, examples=["86400"])
    key_lifetime_s: float = Field(86_400.0, gt=0, le=_TEN_YEARS_S, examples=["86400"])
    not_charged_statuses: frozenset[int] = Field(frozenset({401, 403, 407, 429}), examples=["401,403,407,429"])
    success_status_decides: bool = Field(
        False,  # noqa: FBT003
        description="A 2xx with any body means charged; for a provider without a status field.",
        examples=["false"],
    )
    auth_token: SecretStr | None = Field(None, min_length=1, examples=["…"])
    ca_file: ReadableFile | None = Field(None, examples=["/etc/recharge/provider-ca.pem"])
    cert_file: ReadableFile | None = Field(None, examples=["/etc/recharge/provider.pem"])
    key_file: ReadableFile | None = Field(None, examples=["/etc/recharge/provider.key"])

    @field_validator("not_charged_statuses", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            parts = [part.strip() for part in value.split(",") if part.strip()]
            if not all(re.fullmatch(r"[0-9]{3}", part) for part in parts):
                raise ValueError("must be HTTP statuses of three digits, with commas between them")
            return frozenset(map(int, parts))
        return value

    @field_validator("not_charged_statuses")
    @classmethod
    def _are_failures(cls, value: frozenset[int]) -> frozenset[int]:
        if not all(400 <= status <= 599 for status in value):  # noqa: PLR2004
            raise ValueError("may hold statuses from 400 to 599 only")
        return value

    @field_validator("url")
    @classmethod
    def _is_safe_url(cls, value: str) -> str:
        return _http_url(value)

    @field_validator("lookup_url")
    @classmethod
    def _is_template(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if value.count("{reference}") != 1 or value.replace("{reference}", "").count("{"):
            raise ValueError("must hold {reference} exactly once")
        _http_url(value.replace("{reference}", "reference"))
        return value

    @field_validator("auth_token")
    @classmethod
    def _fits_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(r"[\x21-\x7e]+", value.get_secret_value()):
            raise ValueError("must be printable ASCII without spaces, since it travels in a header")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.duplicate_protection is DuplicateProtection.LOOKUP and self.lookup_url is None:
            raise ValueError("lookup_url|is required where duplicate_protection is lookup")
        if self.lookup_forgets_after_s <= self.lookup_first_after_s:
            raise ValueError(
                "lookup_forgets_after_s|must be longer than lookup_first_after_s, or the provider is never asked"
            )
        if self.lookup_forgets_after_s <= self.timeout_s + limits.DEADLINE_GRACE_S + self.processing_time_s:
            raise ValueError(
                "lookup_forgets_after_s|must be longer than timeout_s + processing_time_s, or 'not found' never counts"
            )
        if self.key_lifetime_s <= 2 * self.timeout_s:
            raise ValueError("key_lifetime_s|must be longer than two calls (timeout_s), or no key outlives one")
        if (self.cert_file is None) != (self.key_file is None):
            missing = "key_file" if self.key_file is None else "cert_file"
            raise ValueError(f"{missing}|is missing: cert_file and key_file are given together or not at all")
        return self


def _http_url(value: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]+", value):
        raise ValueError("must be printable ASCII without spaces")
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError("is not a URL (is its port a number from 1 to 65535?)") from None
    if parts.scheme not in {"https", "http"} or not parts.hostname or port == 0:
        raise ValueError("must be https://HOST/PATH")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("must be https; http is allowed on loopback only")
    if parts.username or parts.password:
        raise ValueError("must not hold a user or a password; use RECHARGE_PROVIDER__AUTH_TOKEN")
    if parts.fragment:
        raise ValueError("must not hold a fragment (#…)")
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


class LogSettings(Section):
    """RECHARGE_LOG__…: what is logged."""

    level: LogLevel = Field(LogLevel.INFO, examples=["info"])
