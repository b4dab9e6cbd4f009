"""What Temporal stores is encrypted by the first key and read by each; what cannot be read is told in one line, without anything secret."""

import asyncio
import base64
import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from app.environment import RunEnvironment, load
from operations.histories import Recorded
from operations.replay import Replay, Verdict
from recharge import limits
from recharge.payload_codec import AesGcmCodec, PayloadUnreadable, data_converter, is_encrypted
from recharge.payload_keys import PayloadKey, read_keys
from tests.support.environment import ALL, problems
from workflows.recharge import RechargeWorkflow

HISTORIES = Path(__file__).parents[1] / "replay" / "histories"
OLD, NEW = (PayloadKey(name, bytes([number]) * 32) for number, name in enumerate(("2026-10", "2026-11")))


def written(*keys: PayloadKey, between: str = ",") -> str:
    return between.join(f"{key.id}:{base64.b64encode(key.secret).decode()}" for key in keys)


def sealed(payload: Payload, *keys: PayloadKey) -> Payload:
    (found,) = asyncio.run(AesGcmCodec(keys).encode([payload]))
    return found


def opened(payload: Payload, *keys: PayloadKey) -> Payload:
    (found,) = asyncio.run(AesGcmCodec(keys).decode([payload]))
    return found


def refusal(payload: Payload, *keys: PayloadKey) -> str:
    with pytest.raises(PayloadUnreadable) as caught:
        opened(payload, *keys)
    text = str(caught.value)
    assert text.isprintable()
    assert caught.value.__cause__ is None
    return text


payloads = st.builds(
    Payload, metadata=st.dictionaries(st.text(max_size=20), st.binary(max_size=50)), data=st.binary(max_size=2000)
)


@given(payloads)
def test_what_was_encrypted_is_read_as_it_was(payload: Payload) -> None:
    encrypted = sealed(payload, NEW, OLD)
    assert is_encrypted(encrypted)
    assert opened(encrypted, NEW, OLD) == payload
    assert encrypted.ByteSize() <= payload.ByteSize() + limits.PAYLOAD_OVERHEAD_BYTES


def test_the_first_key_encrypts_and_every_key_decrypts() -> None:
    payload = Payload(metadata={"encoding": b"json/plain"}, data=b'"+34600111222"')
    before = sealed(payload, OLD)
    after = sealed(payload, NEW, OLD)
    assert b"600111222" not in before.SerializeToString() + after.SerializeToString()
    assert opened(before, NEW, OLD) == opened(after, OLD, NEW) == payload
    assert refusal(after, OLD) == (
        "a payload in Temporal is encrypted with the key '2026-11', which RECHARGE_TEMPORAL__PAYLOAD_KEYS lacks"
    )


def test_the_same_payload_is_never_encrypted_alike() -> None:
    payload = Payload(data=b"x")
    assert len({sealed(payload, NEW).data for _ in range(1000)}) == 1000


def test_what_is_not_encrypted_is_read_as_it_is() -> None:
    payload = Payload(metadata={"encoding": b"json/plain"}, data=b"1")
    assert opened(payload, NEW) == payload


@given(st.data())
def test_a_payload_that_was_changed_is_refused(data: st.DataObject) -> None:
    encrypted = sealed(Payload(data=b"0123456789"), NEW)
    raw = bytearray(encrypted.data)
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    assert "does not open with the key '2026-11'" in refusal(Payload(metadata=encrypted.metadata, data=bytes(raw)), NEW)


@given(
    st.binary(max_size=100), st.dictionaries(st.sampled_from(["encryption-key-id", "encryption-version"]), st.binary())
)
def test_nothing_that_calls_itself_encrypted_ends_in_another_error(raw: bytes, metadata: dict[str, bytes]) -> None:
    refusal(Payload(metadata={"encoding": b"binary/encrypted", **metadata}, data=raw), NEW)
    known = {"encryption-key-id": NEW.id.encode(), "encryption-version": b"recharge-1"}
    refusal(Payload(metadata={"encoding": b"binary/encrypted", **known}, data=raw), NEW)


def test_a_key_of_the_same_id_with_other_bytes_is_told_apart() -> None:
    other = PayloadKey(NEW.id, OLD.secret)
    assert "another key has that id there" in refusal(sealed(Payload(data=b"x"), NEW), other)


async def test_a_process_without_keys_says_that_they_are_missing() -> None:
    converter = data_converter([NEW])
    encrypted = await converter.encode(["a"])
    with pytest.raises(PayloadUnreadable, match="the key '2026-11', which RECHARGE_TEMPORAL__PAYLOAD_KEYS lacks"):
        await data_converter([]).decode(encrypted)
    assert data_converter([]).payload_codec is None
    assert await data_converter([]).decode(await data_converter([]).encode(["a", None, b"b"])) == ["a", None, b"b"]


@pytest.mark.parametrize("between", [",", "\n", " ", ",\n", "\r\n"])
def test_keys_are_read_from_the_settings_in_their_order(between: str) -> None:
    settings = load(RunEnvironment, ALL | {"RECHARGE_TEMPORAL__PAYLOAD_KEYS": written(NEW, OLD, between=between)})
    assert settings.temporal.keys == (NEW, OLD)
    secret = base64.b64encode(NEW.secret).decode()
    assert secret not in repr(settings) + repr(settings.temporal.keys)
    assert repr(NEW.secret) not in repr(settings.temporal.keys)


def test_keys_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(written(NEW, OLD, between="\n") + "\n")
    settings = load(RunEnvironment, ALL | {"RECHARGE_TEMPORAL__PAYLOAD_KEYS_FILE": str(file)})
    assert settings.temporal.keys == (NEW, OLD)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        (" , ", "holds no key"),
        (base64.b64encode(OLD.secret).decode(), "its key number 1 has no id"),
        (f"{written(NEW)},o d:x", "its key number 2 has no id"),
        (f"{'k' * 65}:AAAA", "its key number 1 has no id of 1 to 64"),
        ("k:AAAA", "must hold keys of 32 bytes, and its key number 1 has 3; make one by: openssl rand -base64 32"),
        ("k:", "must hold keys of 32 bytes, and its key number 1 has 0"),
        ("k:@@@@", "has no base64 after the colon of its key number 1"),
        ("k:é", "has no base64 after the colon of its key number 1"),
        (written(NEW, PayloadKey(NEW.id, OLD.secret)), "holds the id of its key number 2 twice"),
        (written(NEW, PayloadKey("other", NEW.secret)), "holds its key number 2 twice, under two ids"),
        (written(*(PayloadKey(f"k{n}", bytes([n]) * 32) for n in range(17))), "must hold at most 16 keys"),
    ],
)
def test_keys_that_cannot_be_read_are_refused_by_their_place(text: str, why: str) -> None:
    (line,) = problems(ALL | {"RECHARGE_TEMPORAL__PAYLOAD_KEYS": text})
    assert line.startswith("RECHARGE_TEMPORAL__PAYLOAD_KEYS ")
    assert why in line
    assert line.endswith("for example RECHARGE_TEMPORAL__PAYLOAD_KEYS_FILE=/run/secrets/temporal_payload_keys")
    assert base64.b64encode(OLD.secret).decode() not in line


@given(st.text(max_size=300))
def test_no_text_of_keys_ends_in_another_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert read_keys(text)


async def test_histories_recorded_without_encryption_still_replay_with_it() -> None:
    replayer = Replayer(
        workflows=[RechargeWorkflow],
        workflow_runner=UnsandboxedWorkflowRunner(),
        data_converter=data_converter([NEW]),
    )
    files = sorted(HISTORIES.glob("*.json"))
    assert files
    for file in files:
        recorded = Recorded(file.stem, WorkflowHistory.from_json(file.stem, file.read_text()))
        assert (await Replay(replayer).judge(recorded)).verdict is Verdict.REPLAYS, file.name
