"""The provider's profile as settings: where the call goes, what its answers say in which words, and what the provider promises."""

import re
from enum import StrEnum
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from recharge import limits
from recharge.section import TEN_YEARS_S, ReadableFile, Section, is_loopback


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
    lookup_forgets_after_s: float = Field(86_400.0, gt=0, le=TEN_YEARS_S, examples=["86400"])
    key_lifetime_s: float = Field(86_400.0, gt=0, le=TEN_YEARS_S, examples=["86400"])
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
