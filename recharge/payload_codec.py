"""What Temporal stores of our payloads, encrypted by AES-256-GCM: inputs, results, memos, summaries and markers alike.

An encrypted payload is a payload of its own encoding. Its metadata names the key, its data is a random nonce and the sealed original with
the tag at its end; version and key id are authenticated with it. What is not encrypted is read as it is, so that workflows that were begun
before the encryption was turned on go on.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultPayloadConverter,
    EncodingPayloadConverter,
    JSONPlainPayloadConverter,
    PayloadCodec,
)

from recharge.payload_keys import PayloadKey
from recharge.payload_types import ContractTypes
from recharge.problem import Problem

ENCODING = b"binary/encrypted"
"""What Temporal's own samples and tools call an encrypted payload, so that its Web UI says that it is one."""

SETTING = "RECHARGE_TEMPORAL__PAYLOAD_KEYS"

_KEY_ID = "encryption-key-id"
_VERSION = "encryption-version"
_VERSION_1 = b"recharge-1"
_NONCE_BYTES = 12
"""96 bits, drawn at random. A key may encrypt 2**32 payloads before two nonces are likely enough to be alike to matter: some 700 million
records, by when it has to be changed."""


class PayloadUnreadable(Problem):
    """A payload cannot be decrypted. Its text is one line that says what to do.

    It is none of the errors that the SDK takes for a workflow's own failure: a workflow task that meets it fails and is tried again until
    a worker has the key.
    """


class AesGcmCodec(PayloadCodec):
    """Encrypts with the first of the keys, and decrypts with each."""

    def __init__(self, keys: Sequence[PayloadKey]) -> None:
        self._first = keys[0].id.encode()
        self._ciphers = {key.id.encode(): AESGCM(key.secret) for key in keys}

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Encrypt each payload, one that is encrypted already included: what comes in twice comes out by being decoded twice."""
        return [self._seal(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Decrypt each payload that is encrypted, and leave the others as they are.

        Raises PayloadUnreadable where a key is missing, or a payload is not what was encrypted.
        """
        return [self._open(payload) if is_encrypted(payload) else payload for payload in payloads]

    def _seal(self, payload: Payload) -> Payload:
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self._first].encrypt(nonce, payload.SerializeToString(), _bound(self._first))
        return Payload(metadata={"encoding": ENCODING, _KEY_ID: self._first, _VERSION: _VERSION_1}, data=nonce + sealed)

    def _open(self, payload: Payload) -> Payload:
        key_id = payload.metadata.get(_KEY_ID, b"")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise_key_missing(payload)
        if payload.metadata.get(_VERSION) != _VERSION_1:
            raise PayloadUnreadable("a payload in Temporal is encrypted in a way that this release does not know")
        nonce, sealed = payload.data[:_NONCE_BYTES], payload.data[_NONCE_BYTES:]
        try:
            return Payload.FromString(cipher.decrypt(nonce, sealed, _bound(key_id)))
        except (InvalidTag, ValueError, DecodeError):
            raise PayloadUnreadable(
                f"a payload in Temporal does not open with the key {_shown(key_id)} of {SETTING}: another key has that id there, "
                "or the payload was changed"
            ) from None


def is_encrypted(payload: Payload) -> bool:
    """Tell whether a payload is one of ours that is encrypted."""
    return payload.metadata.get("encoding") == ENCODING


def raise_key_missing(payload: Payload) -> NoReturn:
    """Say which key is missing. Raises PayloadUnreadable."""
    key_id = payload.metadata.get(_KEY_ID, b"")
    raise PayloadUnreadable(f"a payload in Temporal is encrypted with the key {_shown(key_id)}, which {SETTING} lacks")


def _bound(key_id: bytes) -> bytes:
    return _VERSION_1 + b":" + key_id


def _shown(key_id: bytes) -> str:
    # It comes from outside.
    return ascii(key_id[:80].decode(errors="replace"))


class _EncryptedWithoutKeys(EncodingPayloadConverter):
    """Stands last among the converters of a process without keys, to say what is wrong instead of 'unknown encoding'."""

    @property
    def encoding(self) -> str:
        return ENCODING.decode()

    def to_payload(self, value: Any) -> Payload | None:  # noqa: ANN401  # any value may be offered
        del value
        return None

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> NoReturn:
        del type_hint
        raise_key_missing(payload)


class _PayloadConverter(CompositePayloadConverter):
    """The SDK's own converters, the one of JSON with our own reading of our own types, and that one."""

    def __init__(self) -> None:
        usual = DefaultPayloadConverter.default_encoding_payload_converters
        json = JSONPlainPayloadConverter(custom_type_converters=[ContractTypes()])
        ours = [json if isinstance(each, JSONPlainPayloadConverter) else each for each in usual]
        super().__init__(*ours, _EncryptedWithoutKeys())


def data_converter(keys: Sequence[PayloadKey]) -> DataConverter:
    """How a client of ours writes and reads payloads: encrypted where there are keys.

    Failures' messages stay in clear, since a person has to see in Temporal what is being retried; no number stands in them.
    """
    converter = replace(DataConverter.default, payload_converter_class=_PayloadConverter)
    return replace(converter, payload_codec=AesGcmCodec(keys)) if keys else converter
