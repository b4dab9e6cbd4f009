"""The provider's profile as settings: where the call goes, what its answers say in which words, and what the provider promises."""

import re
from enum import StrEnum
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, field_validator, model_validator

from recharge import limits
from recharge.record import KNOWN_FIELDS
from recharge.section import TEN_YEARS_S, ReadableFile, Section, is_loopback

_HEADER_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_FIELD = re.compile(r"[A-Za-z0-9_.$-]+")
_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_OUR_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "expect",
        "host",
        "te",
        "traceparent",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)
"""Headers that the call or HTTP itself fills, so that none of them can carry the reference as well."""


def _field_name(value: str) -> str:
    if not _FIELD.fullmatch(value):
        raise ValueError("must be the name of a JSON field, of letters, digits, '_', '.', '$' and '-'")
    return value


def _words(value: object) -> object:
    if isinstance(value, str):
        return frozenset(word.strip() for word in value.split(",") if word.strip())
    return value


JsonFieldName = Annotated[str, Field(max_length=64), AfterValidator(_field_name)]
Words = Annotated[frozenset[str], BeforeValidator(_words)]
"""Words that a status field may hold, exactly as the provider writes them, with commas between them."""


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
    calls_per_s: float | None = Field(None, gt=0, le=100_000, examples=["50"])
    processing_time_s: float = Field(60.0, ge=0, le=86_400, examples=["60"])
    lookup_first_after_s: float = Field(60.0, ge=0, le=86_400, examples=["60"])
    lookup_forgets_after_s: float = Field(86_400.0, gt=0, le=TEN_YEARS_S, examples=["86400"])
    key_lifetime_s: float = Field(86_400.0, gt=0, le=TEN_YEARS_S, examples=["86400"])
    not_charged_statuses: frozenset[int] = Field(frozenset({401, 403, 407, 429}), examples=["401,403,407,429"])
    success_status_decides: bool = Field(
        False,  # noqa: FBT003
        description="A 2xx with any body means charged; for a provider without a status field.",
        examples=["false"],
    )
    profile: str = Field("activities.profile", examples=["activities.profiles.listing"])
    reference_header: str = Field("Idempotency-Key", max_length=64, examples=["Idempotency-Key"])
    reference_field: JsonFieldName | None = Field(None, examples=["orderId"])
    status_field: JsonFieldName = Field("status", examples=["status"])
    provider_reference_field: JsonFieldName = Field("providerReference", examples=["providerReference"])
    charged_words: Words = Field(frozenset({"charged"}), min_length=1, examples=["charged,completed"])
    refused_words: Words = Field(frozenset({"refused"}), examples=["refused,rejected"])
    pending_words: Words = Field(frozenset({"pending"}), examples=["pending,submitted"])
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

    @field_validator("profile")
    @classmethod
    def _is_module_name(cls, value: str) -> str:
        if not _MODULE.fullmatch(value):
            raise ValueError("must be the dotted name of a Python module")
        return value

    @field_validator("reference_header")
    @classmethod
    def _is_free_header(cls, value: str) -> str:
        if not _HEADER_TOKEN.fullmatch(value):
            raise ValueError("must be the name of an HTTP header, without spaces and colons")
        if value.lower() in _OUR_HEADERS:
            raise ValueError("names a header that the call needs for something else")
        return value

    @field_validator("reference_field")
    @classmethod
    def _is_free_field(cls, value: str | None) -> str | None:
        if value is not None and value.casefold() in {name.casefold() for name in KNOWN_FIELDS}:
            raise ValueError("names a field that records have themselves, so that none could carry the reference")
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
        earliest_s = self.timeout_s + limits.DEADLINE_GRACE_S + self.processing_time_s
        if self.lookup_forgets_after_s - limits.LOOKUP_TIMEOUT_S <= earliest_s:
            raise ValueError(
                "lookup_forgets_after_s|must be longer than timeout_s + processing_time_s and a look-up, or 'not found' never counts"
            )
        if self.key_lifetime_s <= 2 * self.timeout_s + limits.KEY_MARGIN_S:
            raise ValueError(
                f"key_lifetime_s|must be longer than two calls (timeout_s) and a margin of {limits.KEY_MARGIN_S:g} s, "
                "or no key outlives a call"
            )
        self._check_where_the_reference_goes()
        self._check_words()
        if (self.cert_file is None) != (self.key_file is None):
            missing = "key_file" if self.key_file is None else "cert_file"
            raise ValueError(f"{missing}|is missing: cert_file and key_file are given together or not at all")
        return self

    def _check_where_the_reference_goes(self) -> None:
        if self.reference_field is not None and "reference_header" in self.model_fields_set:
            raise ValueError("reference_field|is given beside reference_header; leave out the one that is not meant")

    def _check_words(self) -> None:
        if self.status_field.casefold() == self.provider_reference_field.casefold():
            raise ValueError("provider_reference_field|is the same field as status_field")
        if self.charged_words & self.refused_words:
            raise ValueError("refused_words|holds a word that charged_words holds too, so that it would mean both")
        if self.charged_words & self.pending_words:
            raise ValueError("pending_words|holds a word that charged_words holds too, so that it would mean both")
        if self.refused_words & self.pending_words:
            raise ValueError("pending_words|holds a word that refused_words holds too, so that it would mean both")


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
