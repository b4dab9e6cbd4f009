"""On every hop a wrong or missing credential is refused in one line, and nothing secret leaves in plaintext."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from temporalio.client import Client

from activities.ledger import LedgerUnfit
from activities.ledger.waiting import WaitingRecords
from app import operate_runs
from app.temporal import TemporalProblem, connect
from devstack.certificates import Certificates, ensure_certificates
from devstack.kafka_listeners import ClientCertificate
from devstack.site import Site
from devstack.stack import Devstack
from devstack.temporal_tls import TemporalTls
from ingest import kafka_words as words
from ingest.kafka import Cluster, find_broker
from recharge.settings import KafkaSettings, SecurityProtocol, TemporalSettings
from tests.conftest import SiteMaker
from tests.support.grpc_recorder import grpc_recorder, on_the_wire
from tests.support.intake import Corner
from tests.support.records import value
from tests.support.service import Service

CLIENT_SSL = 0x0800
"""MySQL's capability flag of a server that offers TLS."""
API_KEY = "secretariat0112"


@pytest.fixture
def certificates(stack: Devstack) -> Certificates:
    """The stack's own."""
    return ensure_certificates(stack.folder / "certificates")


@pytest.fixture
def foreign(tmp_path: Path) -> Certificates:
    """Those of an authority that nobody in the stack knows."""
    return ensure_certificates(tmp_path / "foreign")


def assert_one_line(problem: BaseException, *parts: str) -> None:
    text = str(problem)
    assert "\n" not in text
    for part in parts:
        assert part in text


# --- MySQL ------------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def before_mysql(port: int, change: Callable[[bytes], bytes], host: str = "127.0.0.1") -> AsyncIterator[Any]:
    """A proxy that changes the server's greeting and keeps what the client sends."""
    sent = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", port)
        head = await server_reader.readexactly(4)
        greeting = await server_reader.readexactly(int.from_bytes(head[:3], "little"))
        writer.write(head + change(greeting))

        async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter, kept: bytearray | None) -> None:
            with contextlib.suppress(OSError):
                while part := await source.read(65_536):
                    if kept is not None:
                        kept += part
                    target.write(part)
            target.close()

        await asyncio.gather(pass_on(reader, server_writer, sent), pass_on(server_reader, writer, None))

    proxy = await asyncio.start_server(serve, host, 0)
    async with proxy:
        yield proxy.sockets[0].getsockname()[1], sent


def without_tls(greeting: bytes) -> bytes:
    """The greeting of a server that offers no TLS."""
    capabilities_at = greeting.index(b"\0", 1) + 1 + 4 + 8 + 1
    flags = int.from_bytes(greeting[capabilities_at : capabilities_at + 2], "little")
    assert flags & CLIENT_SSL
    changed = (flags & ~CLIENT_SSL).to_bytes(2, "little")
    return greeting[:capabilities_at] + changed + greeting[capabilities_at + 2 :]


async def ask_ledger(url: str) -> None:
    ledger = WaitingRecords(url, connections_max=1)
    try:
        await ledger.check_schema()
    finally:
        await ledger.close()


async def ledger_refusal(url: str) -> LedgerUnfit:
    with pytest.raises(LedgerUnfit) as refused:
        await ask_ledger(url)
    return refused.value


async def test_mysql_is_sent_nothing_where_somebody_in_between_takes_tls_away(stack: Devstack, site: Site) -> None:
    url = site.ledger.service_url
    async with before_mysql(stack.mysql.port, without_tls) as (port, sent):
        refused = await ledger_refusal(url.replace(f":{stack.mysql.port}/", f":{port}/"))
    assert sent == b""
    assert_one_line(refused, f"127.0.0.1:{port} offers no TLS", "RECHARGE_MYSQL__URL", "nothing was sent to it")
    async with before_mysql(stack.mysql.port, lambda greeting: greeting) as (port, sent):
        await ask_ledger(url.replace(f":{stack.mysql.port}/", f":{port}/"))
    user = site.names.database.encode() + b"_svc"
    assert sent, "the proxy is on the way"
    assert user not in sent


async def test_mysql_with_a_certificate_of_another_authority_or_name_is_refused(
    stack: Devstack, site: Site, foreign: Certificates
) -> None:
    url = site.ledger.service_url
    refused = await ledger_refusal(url.split("?")[0] + f"?ssl_ca={foreign.ca_file}")
    assert_one_line(refused, "a certificate that is not trusted", "check the host and ssl_ca in RECHARGE_MYSQL__URL")
    async with before_mysql(stack.mysql.port, lambda greeting: greeting, "127.0.0.2") as (port, _):
        refused = await ledger_refusal(url.replace(stack.mysql.address, f"127.0.0.2:{port}"))
    assert_one_line(refused, "a certificate that is not trusted", "127.0.0.2")


async def test_mysql_refuses_plaintext_and_a_wrong_password(site: Site) -> None:
    url = site.ledger.service_url
    assert_one_line(await ledger_refusal(url.split("?")[0]), "refused us", "check user, password, TLS and grants")
    password = url.split(":")[2].split("@")[0]
    refused = await ledger_refusal(url.replace(password, "wrong"))
    assert_one_line(refused, "refused us", "Access denied", "check user, password")
    assert password not in str(refused)


async def test_mysql_that_asks_for_a_client_certificate_takes_ours_and_no_other(
    stack: Devstack, site: Site, certificates: Certificates, foreign: Certificates
) -> None:
    await stack.mysql.execute(f"ALTER USER '{site.names.database}_svc'@'127.0.0.1' REQUIRE X509")
    url = site.ledger.service_url
    ours = f"{url}&ssl_cert={certificates.client_cert_file}&ssl_key={certificates.client_key_file}"
    await ask_ledger(ours)
    assert_one_line(await ledger_refusal(url), "refused us", "Access denied")
    with pytest.raises(Exception, match="MySQL at") as refused:
        await ask_ledger(f"{url}&ssl_cert={foreign.client_cert_file}&ssl_key={foreign.client_key_file}")
    assert_one_line(refused.value)


# --- Kafka ------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def corner(stack: Devstack, client: Client, site_numbers: Any) -> Corner:
    """A site without a worker."""
    return Corner(stack, await stack.site(f"hops-{next(site_numbers)}"), client)


def mutual(corner: Corner, kind: ClientCertificate, certificates: Certificates, **changes: object) -> KafkaSettings:
    """The site's settings at a listener that asks for a certificate."""
    protocol = SecurityProtocol.SSL if kind is ClientCertificate.INSTEAD_OF_PASSWORD else SecurityProtocol.SASL_SSL
    given = {
        "bootstrap_servers": corner.stack.kafka.mutual_tls_servers(kind),
        "security_protocol": protocol,
        "ssl_cert_file": certificates.client_cert_file,
        "ssl_key_file": certificates.client_key_file,
    }
    return corner.settings().kafka.model_copy(update=given | changes)


@pytest.mark.parametrize("kind", ClientCertificate)
async def test_kafka_with_mutual_tls_takes_our_certificate_and_no_other(
    corner: Corner, certificates: Certificates, foreign: Certificates, kind: ClientCertificate
) -> None:
    right = mutual(corner, kind, certificates)
    await find_broker(right)
    async with Cluster(right) as cluster:
        await cluster.check_topics()
    for wrong in (
        {"ssl_cert_file": None, "ssl_key_file": None},
        {"ssl_cert_file": foreign.client_cert_file, "ssl_key_file": foreign.client_key_file},
    ):
        with pytest.raises(words.KafkaProblem) as refused:
            await asyncio.wait_for(find_broker(mutual(corner, kind, certificates, **wrong)), 30)
        assert_one_line(refused.value, right.bootstrap_servers, "RECHARGE_KAFKA__SSL_CERT_FILE")
    with pytest.raises(words.TLSRefused) as refused:
        await find_broker(mutual(corner, kind, certificates, ssl_ca_file=foreign.ca_file))
    assert_one_line(refused.value, "RECHARGE_KAFKA__SSL_CA_FILE")
    assert refused.value.fatal


async def test_kafka_with_mutual_tls_still_refuses_a_wrong_password(corner: Corner, certificates: Certificates) -> None:
    wrong = mutual(corner, ClientCertificate.BESIDE_PASSWORD, certificates, sasl_password=SecretStr("not the password"))
    with pytest.raises(words.CredentialsRefused) as refused:
        await find_broker(wrong)
    assert_one_line(refused.value, "RECHARGE_KAFKA__SASL_PASSWORD")
    assert "not the password" not in str(refused.value)


# --- Temporal ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def temporal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets Temporal's own variables of this process."""

    def give(**variables: object) -> None:
        for name, text in variables.items():
            monkeypatch.setenv(f"TEMPORAL_{name}", str(text))

    return give


def tls_variables(certificates: Certificates) -> dict[str, object]:
    return {
        "TLS_SERVER_CA_CERT_PATH": certificates.ca_file,
        "TLS_CLIENT_CERT_PATH": certificates.client_cert_file,
        "TLS_CLIENT_KEY_PATH": certificates.client_key_file,
    }


async def temporal_refusal() -> TemporalProblem:
    with pytest.raises(TemporalProblem) as refused:
        await operate_runs.connected(TemporalSettings.model_validate({}))
    return refused.value


async def test_temporal_with_mutual_tls_takes_our_certificate_and_no_other(
    stack: Devstack, certificates: Certificates, foreign: Certificates, temporal: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(operate_runs, "CONNECT_TIMEOUT_S", 3.0)
    async with TemporalTls(stack.temporal.port, certificates, mutual=True) as server:
        temporal(ADDRESS=server.address, **tls_variables(certificates))
        await connect(TemporalSettings.model_validate({}))
        temporal(TLS_CLIENT_CERT_PATH=foreign.client_cert_file, TLS_CLIENT_KEY_PATH=foreign.client_key_file)
        assert_one_line(await temporal_refusal(), "TEMPORAL_TLS_CLIENT_CERT_PATH")
        monkeypatch.delenv("TEMPORAL_TLS_CLIENT_KEY_PATH")
        assert_one_line(await temporal_refusal(), "both client cert and private key")
        monkeypatch.delenv("TEMPORAL_TLS_CLIENT_CERT_PATH")
        assert_one_line(await temporal_refusal(), "TEMPORAL_TLS_CLIENT_CERT_PATH")


async def test_temporal_with_a_certificate_of_another_authority_or_name_is_refused(
    stack: Devstack, certificates: Certificates, foreign: Certificates, temporal: Callable[..., None]
) -> None:
    async with TemporalTls(stack.temporal.port, certificates, mutual=False) as server:
        temporal(ADDRESS=server.address, TLS_SERVER_CA_CERT_PATH=foreign.ca_file)
        assert_one_line(await temporal_refusal(), "is not trusted (UnknownIssuer)", "TEMPORAL_TLS_SERVER_CA_CERT_PATH")
        temporal(TLS_SERVER_CA_CERT_PATH=certificates.ca_file, TLS_SERVER_NAME="elsewhere.example")
        assert_one_line(await temporal_refusal(), "is not trusted (NotValidForName", "TEMPORAL_TLS_SERVER_NAME")


@pytest.mark.parametrize("address", ["temporal.invalid:7233", "localhost.invalid:7233"])
async def test_temporal_is_reached_without_tls_on_loopback_alone_or_where_a_setting_allows_it(
    temporal: Callable[..., None], monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(operate_runs, "CONNECT_TIMEOUT_S", 0.3)
    temporal(ADDRESS=address)
    refused = await temporal_refusal()
    assert_one_line(refused, f"Temporal at {address} would be reached without TLS", "TEMPORAL_TLS", "ALLOW_PLAINTEXT")
    allowing = TemporalSettings.model_validate({"allow_plaintext": "true"})
    with pytest.raises(TemporalProblem, match="gave no answer"):
        await operate_runs.connected(allowing)
    temporal(TLS="true")
    assert "gave no answer" in str(await temporal_refusal())


async def test_temporals_api_key_never_leaves_unencrypted(
    certificates: Certificates, temporal: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operate_runs, "CONNECT_TIMEOUT_S", 3.0)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.cert_file, certificates.key_file)
    context.set_alpn_protocols(["h2"])
    key_on_the_wire = on_the_wire(f"Bearer {API_KEY}")
    async with grpc_recorder(context) as encrypted, grpc_recorder(None) as plain:
        temporal(ADDRESS=encrypted.address, API_KEY=API_KEY, TLS_SERVER_CA_CERT_PATH=certificates.ca_file)
        refused = await temporal_refusal()
        assert_one_line(refused, "refused us: the key is not known", "TEMPORAL_API_KEY")
        assert API_KEY not in str(refused)
        assert key_on_the_wire in encrypted.received, "it was sent where it may be"

        temporal(ADDRESS=plain.address)
        assert_one_line(await temporal_refusal(), "does not speak TLS", "nothing was sent to it")
        temporal(TLS="false")
        monkeypatch.delenv("TEMPORAL_TLS_SERVER_CA_CERT_PATH")
        refused = await temporal_refusal()
        assert_one_line(refused, "TEMPORAL_API_KEY is given and TLS is turned off (TEMPORAL_TLS)")
        assert key_on_the_wire not in plain.received
        assert API_KEY.encode() not in plain.received


# --- The whole way ----------------------------------------------------------------------------------------------------


async def test_a_record_is_carried_out_with_mutual_tls_on_every_hop(
    stack: Devstack, client: Client, make_site: SiteMaker, certificates: Certificates
) -> None:
    pair = (str(certificates.client_cert_file), str(certificates.client_key_file))
    site = await make_site("mutual")
    await stack.mysql.execute(f"ALTER USER '{site.names.database}_svc'@'127.0.0.1' REQUIRE X509")
    async with TemporalTls(stack.temporal.port, certificates, mutual=True) as temporal_tls:
        mutual_tls = {
            "RECHARGE_KAFKA__BOOTSTRAP_SERVERS": stack.kafka.mutual_tls_servers(ClientCertificate.BESIDE_PASSWORD),
            "RECHARGE_KAFKA__SSL_CERT_FILE": pair[0],
            "RECHARGE_KAFKA__SSL_KEY_FILE": pair[1],
            "RECHARGE_MYSQL__URL": f"{site.ledger.service_url}&ssl_cert={pair[0]}&ssl_key={pair[1]}",
            "RECHARGE_PROVIDER__CERT_FILE": pair[0],
            "RECHARGE_PROVIDER__KEY_FILE": pair[1],
            "TEMPORAL_ADDRESS": temporal_tls.address,
            **{f"TEMPORAL_{name}": str(text) for name, text in tls_variables(certificates).items()},
        }
        here = Service.of(stack, site, client)
        await here.send(0, value(), value(simulate=["refuse+ok"]))
        process = site.spawn("run", env=mutual_tls)
        await here.until_drained()
        assert await here.states() == {(0, 0): "succeeded", (0, 1): "rejected"}
        assert await process.terminate() == 0, process.tail()
        assert temporal_tls.received, "it went by the forwarder"
