"""With payload keys no number stands in clear in Temporal, and a missing key loses nothing."""

import asyncio
import base64
import os
import random
import ssl
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf.json_format import MessageToJson
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.client import Client

from devstack.certificates import ensure_certificates
from devstack.ports import reserve_port
from devstack.processes import ManagedProcess, wait_until
from devstack.server import minimal_environment
from devstack.site import Site
from devstack.stack import Devstack
from recharge import limits
from recharge.payload_codec import AesGcmCodec
from recharge.payload_keys import read_keys
from tests.conftest import SiteMaker
from tests.support.records import value
from tests.support.service import Service, killed, until_logged

TOKEN = "t0ken-of-those-who-may-see-numbers"
WEB_UI = "https://temporal.example.net"


def key(name: str) -> str:
    return f"{name}:{base64.b64encode(os.urandom(32)).decode()}"


def keys(*written: str) -> dict[str, str]:
    return {"RECHARGE_TEMPORAL__PAYLOAD_KEYS": ",".join(written)}


def fresh_number() -> str:
    """A number that stands nowhere else in the stack's data."""
    return f"34{random.SystemRandom().randrange(10**10):010d}"


def kept_by_temporal(stack: Devstack) -> bytes:
    """Everything in Temporal's files, its write-ahead log included."""
    return b"".join(file.read_bytes() for file in sorted(stack.temporal.folder.glob("temporal.db*")))


def forms(number: str) -> Iterator[bytes]:
    """How a number may stand in a file: as it is, and in the base64 of the record's bytes, wherever it begins there."""
    yield number.encode()
    for before in range(3):
        encoded = base64.b64encode(b"x" * before + number.encode())
        yield encoded[4 if before else 0 : -4]


async def service(stack: Devstack, client: Client, make_site: SiteMaker, profile: Mapping[str, str]) -> Service:
    lookup = {
        "RECHARGE_PROVIDER__DUPLICATE_PROTECTION": "lookup",
        "RECHARGE_PROVIDER__TIMEOUT_S": "5",
        "RECHARGE_PROVIDER__PROCESSING_TIME_S": "0",
        "RECHARGE_PROVIDER__LOOKUP_FIRST_AFTER_S": "0.2",
    }
    return Service.of(stack, await make_site("sealed", profile=lookup | dict(profile)), client)


@pytest.mark.parametrize("encrypted", [True, False], ids=["with keys", "without keys"])
async def test_temporal_keeps_no_number_in_clear_where_there_are_keys(
    stack: Devstack, client: Client, make_site: SiteMaker, *, encrypted: bool
) -> None:
    here = await service(stack, client, make_site, keys(key("k1")) if encrypted else {})
    donor, receiver = fresh_number(), fresh_number()
    numbers: dict[str, Any] = {"phoneNumberDonor": f"+{donor}", "phoneNumberReceiver": receiver}
    large = value(**numbers, padding="p" * (limits.RECORD_BYTES_MAX - 1000))
    assert limits.RECORD_BYTES_MAX - 1000 < len(large) < limits.RECORD_BYTES_MAX
    await here.send(
        0,
        value(**numbers),
        large,
        value(**numbers, simulate=["status:429"]),
        value(**numbers, simulate=["charge+status:500"]),
        value(**numbers, simulate=["refuse+ok"]),
        value(**numbers, amount="0"),
    )
    process = here.site.spawn("run")
    await here.until_drained()
    states = ["succeeded"] * 4 + ["rejected", "invalid"]
    assert await here.states() == {(0, offset): state for offset, state in enumerate(states)}
    assert set((await here.charges()).values()) == {1}
    kept = kept_by_temporal(stack)
    found = {number: any(form in kept for form in forms(number)) for number in (donor, receiver)}
    assert found == dict.fromkeys((donor, receiver), not encrypted)
    assert here.workflow_id(0, 0).encode() in kept, "the file that was read is the right one"
    assert await process.terminate() == 0
    if encrypted:
        await assert_shown_with_the_token_alone(here, donor)


async def test_keys_are_rotated_with_records_under_way_and_a_missing_one_loses_none(
    stack: Devstack, client: Client, make_site: SiteMaker
) -> None:
    old, new = key("old"), key("new")
    here = await service(stack, client, make_site, keys(old))
    await here.send(0, value(), value())
    intake = here.site.spawn("ingest")
    await until_logged(intake, "record started")

    without = here.site.spawn("worker", env=keys(new))
    why = "a payload in Temporal is encrypted with the key 'old', which RECHARGE_TEMPORAL__PAYLOAD_KEYS lacks"

    async def task_failed() -> bool:
        return why in without.log_file.read_text()

    await wait_until(task_failed, 30, "a worker without the key says so")
    async for event in here.handle(0).fetch_history_events():
        assert not event.HasField("workflow_execution_failed_event_attributes")
    await killed([without])

    both = here.site.spawn("worker", env=keys(new, old))
    await here.until_states({(0, 0): "succeeded"})
    # The intake has not heard of the new key, by which the result is encrypted: it ends, and nothing is committed.
    assert await intake.wait(30) == 1
    assert (
        intake.tail()
        .strip()
        .splitlines()[-1]
        .startswith(
            "recharge: a payload in Temporal is encrypted with the key 'new', which RECHARGE_TEMPORAL__PAYLOAD_KEYS lacks. The intake stops"
        )
    )
    assert (await here.committed()).get(0, 0) == 0

    here.site.spawn("ingest", env=keys(new, old))
    await here.until_drained()
    assert await here.posts() == {(0, 0): 1, (0, 1): 1}
    assert await both.terminate() == 0


async def codec_server(site: Site, **settings: str) -> tuple[ManagedProcess, str]:
    """A codec server on a port of its own, and that port's address."""
    listen = f"127.0.0.1:{reserve_port()}"
    environment = {"RECHARGE_CODEC_SERVER__LISTEN": listen, "RECHARGE_CODEC_SERVER__TOKEN": TOKEN, **settings}
    process = site.spawn("codec-server", env=environment)
    await until_logged(process, "codec server is listening")
    return process, listen


async def shown(stack: Devstack, workflow_id: str, *codec: str) -> bytes:
    """What Temporal's own command shows of a workflow."""
    program = Path(sysconfig.get_path("scripts")) / "temporal"
    where = ("--address", stack.temporal.address, "--namespace", stack.temporal.namespace)
    running = await asyncio.create_subprocess_exec(
        str(program), "workflow", "show", *where, "--workflow-id", workflow_id, "--output", "json", *codec,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=minimal_environment(),
    )  # fmt: skip
    out, _ = await asyncio.wait_for(running.communicate(), 30)
    return out


async def assert_shown_with_the_token_alone(here: Service, number: str) -> None:
    """The number stands in what Temporal's own command shows for those who have the token, and not for others."""
    server, listen = await codec_server(here.site)
    endpoint = ("--codec-endpoint", f"http://{listen}")
    with_token, *others = await asyncio.gather(
        shown(here.stack, here.workflow_id(0, 0), *endpoint, "--codec-auth", f"Bearer {TOKEN}"),
        shown(here.stack, here.workflow_id(0, 0), *endpoint),
        shown(here.stack, here.workflow_id(0, 0), *endpoint, "--codec-auth", f"Bearer {TOKEN}x"),
    )
    assert any(form in with_token for form in forms(number)), with_token
    assert not any(form in other for form in forms(number) for other in others)
    assert await server.terminate() == 0
    log = server.log_file.read_text()
    assert number not in log
    assert TOKEN not in log


async def test_the_codec_server_answers_the_web_ui_alone_and_refuses_the_rest_in_plain_words(site: Site) -> None:
    server, listen = await codec_server(
        site, RECHARGE_TEMPORAL__WEB_UI_URL=f"{WEB_UI}/ui", **keys(key("k1")), RECHARGE_LOG__LEVEL="debug"
    )
    plain = {"payloads": [{"metadata": {"encoding": base64.b64encode(b"json/plain").decode()}, "data": "MQ=="}]}
    bearer = {"authorization": f"Bearer {TOKEN}"}
    page = {"origin": WEB_UI, "access-control-request-method": "POST"}
    wanted = {"access-control-request-headers": "authorization,content-type,x-namespace"}
    async with httpx.AsyncClient(base_url=f"http://{listen}", trust_env=False) as http:
        allowed = await http.options("/decode", headers=page | wanted)
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, WEB_UI)
        elsewhere = await http.options("/decode", headers=page | wanted | {"origin": "https://evil.example.net"})
        assert elsewhere.status_code == 400
        assert "access-control-allow-origin" not in elsewhere.headers

        encoded = await http.post("/encode", json=plain, headers=bearer | {"x-namespace": "default"})
        assert encoded.status_code == 200
        assert encoded.json() != plain
        decoded = await http.post(
            "/decode?preserveStorageRefs=true", json=encoded.json(), headers=bearer | {"origin": WEB_UI}
        )
        assert (decoded.status_code, decoded.json()) == (200, plain)
        assert decoded.headers["access-control-allow-origin"] == WEB_UI

        async def refused(status: int, said: str, *, body: bytes = b"{}", headers: Any = bearer) -> None:
            answer = await http.post("/decode", content=body, headers=headers)
            assert (answer.status_code, said in answer.json()["message"]) == (status, True), answer.text

        await refused(401, "the token is missing or wrong", headers={})
        await refused(401, "the token is missing or wrong", headers={"authorization": f"Bearer {TOKEN}é".encode()})
        await refused(403, "only payloads of the namespace default", headers=bearer | {"x-namespace": "other"})
        for hostile in (
            b"",
            b"{",
            b'{"payloads": 1}',
            b"\xff",
            b"[" * 10_000,
        ):
            await refused(400, "the body must be Temporal's payloads as JSON", body=hostile)
        await refused(413, "more than 16 MiB", body=b" " * (limits.CODEC_BODY_BYTES_MAX + 1))
        of_another_key = AesGcmCodec(read_keys(key("k2")))
        (sealed,) = await of_another_key.encode([Payload(data=b"1")])
        await refused(
            422, "encrypted with the key 'k2', which", body=MessageToJson(Payloads(payloads=[sealed])).encode()
        )
        assert (await http.get("/decode", headers=bearer)).status_code == 405
        assert (await http.post("/", headers=bearer)).status_code == 404
    assert await server.terminate() == 0
    assert TOKEN not in server.log_file.read_text()


async def test_the_codec_server_speaks_tls_where_it_has_a_certificate(site: Site, tmp_path: Path) -> None:
    certificates = ensure_certificates(tmp_path / "certificates")
    _, listen = await codec_server(
        site,
        **keys(key("k1")),
        RECHARGE_CODEC_SERVER__CERT_FILE=str(certificates.cert_file),
        RECHARGE_CODEC_SERVER__KEY_FILE=str(certificates.key_file),
    )
    context = ssl.create_default_context(cafile=certificates.ca_file)
    async with httpx.AsyncClient(verify=context, trust_env=False) as http:
        answer = await http.post(f"https://{listen}/decode", json={}, headers={"authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == 200
        with pytest.raises(httpx.TransportError):
            await http.post(f"http://{listen}/decode", json={})
