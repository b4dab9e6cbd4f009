"""The settings of the codec server, which shows payloads to those who may see them."""

import re
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator

from recharge import limits
from recharge.section import PORT_MAX, ReadableFile, Section, is_loopback

_PRINTABLE = re.compile(r"[\x21-\x7e]+")


class CodecServerSettings(Section):
    """RECHARGE_CODEC_SERVER__…: where payloads are decrypted, and for whom."""

    listen: str = Field("127.0.0.1:8234", examples=["0.0.0.0:8234"])
    token: SecretStr = Field(min_length=limits.CODEC_TOKEN_CHARS_MIN, examples=["…"])
    cert_file: ReadableFile | None = Field(None, examples=["/etc/recharge/codec.pem"])
    key_file: ReadableFile | None = Field(None, examples=["/etc/recharge/codec.key"])

    @field_validator("listen")
    @classmethod
    def _is_address(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) <= PORT_MAX:
            raise ValueError("must be HOST:PORT")
        return value

    @field_validator("token")
    @classmethod
    def _goes_into_a_header(cls, value: SecretStr) -> SecretStr:
        if not _PRINTABLE.fullmatch(value.get_secret_value()):
            raise ValueError("must be printable ASCII without spaces, since it stands in a header")
        return value

    @model_validator(mode="after")
    def _encrypted(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            missing = "key_file" if self.key_file is None else "cert_file"
            raise ValueError(f"{missing}|is missing: cert_file and key_file are given together or not at all")
        if self.cert_file is None and not is_loopback(self.address[0]):
            raise ValueError("cert_file|is missing: beyond loopback the answers, which are in clear, need TLS")
        return self

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)
