"""The provider simulator keeps its word: no charge is forgotten, every fault does on the wire what its name says."""

import asyncio
import csv
import gzip
import io
import json
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
import trustme

from devstack.ports import reserve_port
from devstack.simulator.client import (
    ConnectionFault,
    EventKind,
    Rule,
    SimulatorClient,
    SimulatorError,
    Status,
    WaitTimeoutError,
)
from devstack.simulator.faults import BehaviourError, RequestKind, StepName, parse_behaviour
from devstack.simulator.seed import seed_records

TOKEN = "token-of-the-tests"
ROOT = Path(__file__).parents[2]
DEADLINE_S = 15.0
HANG_S = 0.4
CLIENT_PROGRAM = """
import http.client, ssl, sys
url_port, ca, reference, body = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
tls = ssl.create_default_context(cafile=ca)
connection = http.client.HTTPSConnection("127.0.0.1", url_port, context=tls, timeout=60)
headers = {"Authorization": "Bearer " + sys.argv[5], "Idempotency-Key": reference}
connection.request("POST", "/recharges", body.encode(), headers)
print(connection.getresponse().status, flush=True)
sys.stdin.read()
"""


@dataclass
class Reply:
    """What a caller saw: a status of 0 means no answer that is HTTP; `end` is eof, reset or open."""

    end: str
    raw: bytes
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Simulator:
    """The simulator as a process of its own, in a folder that outlives it."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.ca_file = folder / "ca.pem"
        self.port, self.control_port = reserve_port(), reserve_port()
        self.client = SimulatorClient(self.port, self.control_port)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.ca_file)
        server = authority.issue_cert("127.0.0.1")
        server.private_key_pem.write_to_path(folder / "server.key")
        for blob in server.cert_chain_pems:
            blob.write_to_path(folder / "server.pem", append=True)
        self.tls = ssl.create_default_context(cafile=self.ca_file)
        self.process: asyncio.subprocess.Process | None = None
        self._arguments = arguments

    def command(self) -> list[str]:
        options = {
            "--port": self.port,
            "--control-port": self.control_port,
            "--folder": self.folder / "data",
            "--cert": self.folder / "server.pem",
            "--key": self.folder / "server.key",
            "--auth-token": TOKEN,
        }
        pairs = [str(part) for pair in options.items() for part in pair]
        return [sys.executable, "-m", "devstack.simulator", *pairs, *self._arguments]

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(*self.command(), cwd=ROOT, stdout=asyncio.subprocess.PIPE)
        assert self.process.stdout is not None
        assert await asyncio.wait_for(self.process.stdout.readline(), DEADLINE_S) == b"ready\n"

    async def stop(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), DEADLINE_S)

    async def post(
        self,
        reference: str,
        body: str | dict[str, Any] | None = None,
        *,
        token: str = TOKEN,
        timeout_s: float = DEADLINE_S,
    ) -> Reply:
        text = body if isinstance(body, str) else json.dumps(body or {"amount": "1.50"})
        headers = {"Idempotency-Key": reference}
        return await self.call("POST", "/recharges", text, headers, token=token, timeout_s=timeout_s)

    async def look_up(self, reference: str, *, token: str = TOKEN, timeout_s: float = DEADLINE_S) -> Reply:
        return await self.call("GET", f"/recharges/{reference}", token=token, timeout_s=timeout_s)

    async def call(
        self,
        method: str,
        path: str,
        body: str = "",
        headers: dict[str, str] | None = None,
        *,
        token: str = TOKEN,
        timeout_s: float = DEADLINE_S,
    ) -> Reply:
        """One request; reads until the connection ends or the time is up."""
        fields = {"Host": "127.0.0.1", "Authorization": f"Bearer {token}", "Content-Length": str(len(body.encode()))}
        lines = [f"{name}: {value}" for name, value in {**fields, **(headers or {})}.items()]
        raw, end = bytearray(), "eof"
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(timeout_s):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.tls)
                writer.write("\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", body]).encode())
                await writer.drain()
                while data := await reader.read(65536):
                    raw += data
        except TimeoutError:
            end = "open"
        except (ConnectionError, ssl.SSLError):
            end = "reset"
        if writer is not None:
            writer.transport.abort()
        return _reply(bytes(raw), end)


def _reply(raw: bytes, end: str) -> Reply:
    if not raw.startswith(b"HTTP/1.1 ") or b"\r\n\r\n" not in raw:
        return Reply(end, raw)
    head, _, body = raw.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("ascii").split("\r\n")
    return Reply(end, raw, int(status_line.split()[1]), dict(line.split(": ", 1) for line in lines), body)


@pytest.fixture(scope="module")
async def simulator(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Simulator]:
    simulator = Simulator(tmp_path_factory.mktemp("simulator"))
    await simulator.start()
    yield simulator
    assert await simulator.stop(signal.SIGTERM) == 0


async def test_an_ordinary_call_is_charged_once_and_found_again(simulator: Simulator) -> None:
    reply = await simulator.post("plain:t:0:1", '{"amount": 0.10, "phoneNumberDonor": "+59170000001"}')
    assert (reply.status, reply.json["status"]) == (200, "charged")
    assert (await simulator.look_up("plain:t:0:1")).json == reply.json
    assert (await simulator.look_up("plain:t:0:2")).status == 404
    [charge] = await simulator.client.charges("plain:")
    assert (charge.reference, charge.provider_reference) == ("plain:t:0:1", reply.json["providerReference"])
    assert (charge.amount, charge.amount_text, charge.status) == (Decimal("0.10"), "0.10", Status.CHARGED)
    [post] = await simulator.client.posts("plain:")
    assert (post.number, post.behaviour, json.loads(post.body)["amount"]) == (1, "charge+ok", 0.1)


async def test_a_double_sending_is_visible_unless_the_provider_honours_keys(simulator: Simulator) -> None:
    first, second = await simulator.post("twice:1"), await simulator.post("twice:1")
    assert first.json["providerReference"] != second.json["providerReference"]
    assert len(await simulator.client.charges("twice:1")) == 2
    await simulator.client.honour_keys(honour=True)
    try:
        first, second = await asyncio.gather(simulator.post("twice:2"), simulator.post("twice:2"))
        assert first.json == second.json
        assert len(await simulator.client.charges("twice:2")) == 1
        assert (await simulator.post("twice:2", {"amount": "2.50"})).status == 422
        assert [post.number for post in await simulator.client.posts("twice:2")] == [1, 2, 3]
    finally:
        await simulator.client.honour_keys(honour=False)


@pytest.mark.parametrize("amount", ["0.10", "1E+2", "100", "3.1400", '"7.50"', "123456789012345.6789"])
async def test_the_statement_keeps_the_text_of_the_amount(simulator: Simulator, amount: str) -> None:
    reference = f"text:{amount.strip(chr(34))}"
    await simulator.post(reference, f'{{"amount": {amount}}}')
    [row] = csv.DictReader(io.StringIO(await simulator.client.statement(reference)))
    assert list(row) == ["reference", "provider_reference", "status", "amount", "charged_at"]
    assert (row["reference"], row["status"], row["amount"]) == (reference, "charged", amount.strip('"'))
    assert abs((datetime.now(UTC) - datetime.fromisoformat(row["charged_at"])).total_seconds()) < 60
    over_tls = await simulator.call("GET", f"/statement?prefix={reference.replace('+', '%2B')}")
    assert over_tls.body.decode() == await simulator.client.statement(reference)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"amount": NaN}', "NaN"),
        ('{"amount": 0}', "above zero"),
        ("{}", "amount is missing"),
        ('{"amount": 1, "simulate": ["nonsense"]}', "'nonsense' is unknown"),
    ],
)
async def test_a_record_that_cannot_be_read_is_refused_with_the_reason(
    simulator: Simulator, body: str, problem: str
) -> None:
    reply = await simulator.post(f"unreadable:{problem}", body)
    assert reply.status == 400
    assert problem in reply.json["error"]
    assert await simulator.client.charges("unreadable:") == []


async def test_a_caller_without_the_token_gets_nothing(simulator: Simulator) -> None:
    assert (await simulator.post("stranger:1", token="other")).status == 401
    assert (await simulator.look_up("plain:t:0:1", token="other")).status == 401
    assert (await simulator.call("GET", "/statement", token="other")).status == 401
    assert await simulator.client.charges("stranger:") == []
    assert [post.behaviour for post in await simulator.client.posts("stranger:")] == ["unauthorized"]


def _says(http_status: int, status: str) -> Callable[[Reply], bool]:
    return lambda reply: reply.status == http_status and reply.json["status"] == status


def _retry_date(reply: Reply) -> bool:
    ahead_s = (parsedate_to_datetime(reply.headers["Retry-After"]) - datetime.now(UTC)).total_seconds()
    return reply.status == 429 and 50 < ahead_s < 60


def _not_gzip(reply: Reply) -> bool:
    try:
        gzip.decompress(reply.body)
    except OSError:
        return reply.headers["Content-Encoding"] == "gzip"
    return False


def _not_utf8(reply: Reply) -> bool:
    try:
        reply.body.decode("utf-8")
    except UnicodeDecodeError:
        return reply.status == 200
    return False


def _ends(end: str) -> Callable[[Reply], bool]:
    return lambda reply: reply.end == end and reply.raw == b""


# Behaviour, charges carried out, what the caller sees.
ON_THE_WIRE: list[tuple[str, int, Callable[[Reply], bool]]] = [
    ("charge+ok", 1, _says(200, "charged")),
    ("externalServerError", 0, lambda reply: reply.status == 500),
    ("charge+status:500", 1, lambda reply: reply.status == 500),
    ("status:418", 0, lambda reply: reply.status == 418),
    ("refuse+ok", 0, _says(200, "refused")),
    ("refuse+status:422", 0, lambda reply: reply.status == 422),
    ("accept+accepted", 0, _says(202, "pending")),
    ("accept:0.05+ok", 1, _says(200, "pending")),
    ("accept_then_refuse:0.05+ok", 0, _says(200, "pending")),
    ("claim", 0, _says(200, "charged")),
    ("charge+delay:0.2+ok", 1, _says(200, "charged")),
    ("charge+unknown_status", 1, _says(200, "teleported")),
    ("charge+empty", 1, lambda reply: (reply.status, reply.headers["Content-Length"]) == (200, "0")),
    ("charge+no_content", 1, lambda reply: reply.status == 204 and reply.body == b""),
    ("charge+array", 1, lambda reply: isinstance(reply.json, list)),
    ("charge+invalid_utf8", 1, _not_utf8),
    ("maintenance", 0, lambda reply: (reply.status, reply.headers["Content-Type"]) == (200, "text/html")),
    ("redirect", 0, lambda reply: (reply.status, reply.headers["Location"]) == (307, "/recharges")),
    ("retry_after:7+status:429", 0, lambda reply: (reply.status, reply.headers["Retry-After"]) == (429, "7")),
    ("retry_after:7+status:503", 0, lambda reply: (reply.status, reply.headers["Retry-After"]) == (503, "7")),
    ("retry_after_date:59+status:429", 0, _retry_date),
    ("charge+cut_short", 1, lambda reply: 0 < len(reply.body) < int(reply.headers["Content-Length"])),
    ("charge+cut_head", 1, lambda reply: reply.raw.startswith(b"HTTP/1.1 200") and reply.status == 0),
    ("charge+not_http", 1, lambda reply: len(reply.raw) > 0 and reply.status == 0),
    ("charge+bad_encoding", 1, _not_gzip),
    ("charge+too_long:300000", 1, lambda reply: len(reply.body) == 300_000),
    ("close", 0, _ends("eof")),
    ("charge+close", 1, _ends("eof")),
    ("reset", 0, _ends("reset")),
    ("charge+reset", 1, _ends("reset")),
    ("close+delay:0.05+charge", 1, _ends("eof")),
    ("thaw+charge+ok", 1, _says(200, "charged")),
    ("hang", 0, _ends("open")),
    ("charge+hang", 1, _ends("open")),
    ("charge+drip:0.05", 1, lambda reply: (reply.end, reply.status) == ("open", 200) and len(reply.body) > 2),
]


@pytest.mark.parametrize(("behaviour", "charge_count", "is_seen"), ON_THE_WIRE, ids=[row[0] for row in ON_THE_WIRE])
async def test_each_behaviour_does_on_the_wire_what_its_name_says(
    simulator: Simulator, behaviour: str, charge_count: int, is_seen: Callable[[Reply], bool]
) -> None:
    reference = f"wire:{behaviour}:1"
    is_endless = "hang" in behaviour or "drip" in behaviour
    reply = await simulator.post(
        reference, {"amount": "1", "simulate": [behaviour]}, timeout_s=HANG_S if is_endless else DEADLINE_S
    )
    assert is_seen(reply), reply
    await simulator.client.wait_for_charges(reference, charge_count, DEADLINE_S)
    assert [post.behaviour for post in await simulator.client.posts(reference)] == [behaviour]
    # The list is used up: the next POST of the reference is an ordinary one.
    assert (await simulator.post(reference, {"amount": "1", "simulate": [behaviour]})).json["status"] == "charged"
    assert len(await simulator.client.charges(reference)) == charge_count + 1


# Behaviour and what a look-up of a charged recharge sees.
LOOKUPS: list[tuple[str, Callable[[Reply], bool]]] = [
    ("ok", _says(200, "charged")),
    ("status:500", lambda reply: reply.status == 500),
    ("say_pending", _says(200, "pending")),
    ("not_found", lambda reply: reply.status == 404),
    ("not_found_for:3600", lambda reply: reply.status == 404),
    ("not_found_for:0", _says(200, "charged")),
    ("hang", _ends("open")),
]


@pytest.mark.parametrize(("behaviour", "is_seen"), LOOKUPS, ids=[row[0] for row in LOOKUPS])
async def test_each_lookup_fault_does_what_its_name_says(
    simulator: Simulator, behaviour: str, is_seen: Callable[[Reply], bool]
) -> None:
    reference = f"lookup:{behaviour}"
    await simulator.post(reference)
    await simulator.client.set_rules(Rule(behaviour, on=RequestKind.LOOKUP, reference=reference, count=2))
    timeout_s = HANG_S if behaviour == "hang" else DEADLINE_S
    replies = [await simulator.look_up(reference, timeout_s=timeout_s) for _ in range(2)]
    assert all(is_seen(reply) for reply in replies), replies
    assert (await simulator.look_up(reference)).json["status"] == "charged"
    assert [lookup.behaviour for lookup in await simulator.client.lookups(reference)] == [behaviour, behaviour, "ok"]
    await simulator.client.clear_rules()


async def test_a_recharge_without_a_header_is_named_by_its_order_id_and_listed_by_it(simulator: Simulator) -> None:
    refused = await simulator.call("POST", "/recharges", json.dumps({"amount": "1.50"}))
    assert refused.status == 400
    listed = [(await simulator.call("GET", "/recharges?orderId=order:7")).json]
    done = (await simulator.call("POST", "/recharges", json.dumps({"amount": "1.50", "orderId": "order:7"}))).json
    listed += [(await simulator.call("GET", f"/recharges?orderId=order:{number}")).json for number in (7, 8)]
    assert listed == [[], [{"orderId": "order:7", **done}], []]
    assert [charge.reference for charge in await simulator.client.charges("order:")] == ["order:7"]


def test_the_tables_above_leave_no_behaviour_out() -> None:
    elsewhere = {StepName.KILL, StepName.FREEZE}
    tried = {
        step.name
        for kind, rows in ((RequestKind.POST, ON_THE_WIRE), (RequestKind.LOOKUP, LOOKUPS))
        for row in rows
        for step in parse_behaviour(row[0], kind)
    }
    assert tried | elsewhere == set(StepName)


UNREAD = [(fault, "open" if "hang" in fault else "") for fault in ConnectionFault]


@pytest.mark.parametrize(("fault", "end"), UNREAD)
async def test_a_connection_fault_ends_the_call_before_it_is_read(
    simulator: Simulator, fault: ConnectionFault, end: str
) -> None:
    await simulator.client.set_connection_faults(fault)
    reply = await simulator.post(f"unread:{fault}", timeout_s=HANG_S if end else DEADLINE_S)
    assert reply.raw == b""
    expected = {"reset"} if "reset" in fault else {"eof", "reset"}
    assert reply.end in ({end} if end else expected)
    assert await simulator.client.posts(f"unread:{fault}") == []
    assert (await simulator.post(f"unread:{fault}")).status == 200


async def test_rules_choose_by_reference_prefix_number_and_count(simulator: Simulator) -> None:
    await simulator.client.set_rules(
        Rule("status:501", reference="rules:a"),
        Rule("status:502", prefix="rules:", number=2),
        Rule("status:503", prefix="rules:c", count=2),
        Rule("status:504"),
    )
    seen = [
        (reference, (await simulator.post(reference)).status)
        for reference in ["rules:a", "rules:a", "rules:b", "rules:b", "rules:c1", "rules:c2", "rules:c3"]
    ]
    await simulator.client.clear_rules()
    assert [status for _, status in seen] == [501, 501, 504, 502, 503, 503, 504]
    assert (await simulator.post("rules:a")).status == 200


@pytest.mark.parametrize(
    ("behaviour", "problem"),
    [
        ("nonsense", "is unknown"),
        ("delay:0.5", "does not say how the call ends"),
        ("delay+ok", "needs a number"),
        ("ok:3", "takes no number"),
        ("status:99", "from 200 to 599"),
        ("status:x", "not a number"),
        ("ok+empty", "more than once"),
        ("close+ok", "after the connection has ended"),
        ("hang+charge", "nothing can follow"),
        ("not_found", "not for a post"),
    ],
)
async def test_a_mistyped_behaviour_is_refused_with_the_reason(behaviour: str, problem: str) -> None:
    with pytest.raises(BehaviourError, match=problem):
        Rule(behaviour)


async def test_an_accepted_recharge_is_pending_until_it_is_settled(simulator: Simulator) -> None:
    await simulator.client.set_rules(Rule("accept+accepted", prefix="pending:"))
    for reference, final in (("pending:1", Status.CHARGED), ("pending:2", Status.REFUSED)):
        answer = (await simulator.post(reference)).json
        assert (await simulator.look_up(reference)).json == answer
        await simulator.client.settle(reference, final)
        assert (await simulator.look_up(reference)).json == {**answer, "status": final}
        with pytest.raises(SimulatorError, match=f"{reference} is {final}, not pending"):
            await simulator.client.settle(reference, final)
    await simulator.client.clear_rules()
    assert [charge.reference for charge in await simulator.client.charges("pending:")] == ["pending:1"]


async def _caller(simulator: Simulator, reference: str, behaviour: str) -> asyncio.subprocess.Process:
    """A process of its own that makes the call and lives on until its stdin ends."""
    body = json.dumps({"amount": "1", "simulate": [behaviour]})
    arguments = (str(simulator.port), str(simulator.ca_file), reference, body, TOKEN)
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", CLIENT_PROGRAM, *arguments, stdin=pipe, stdout=pipe
    )


@pytest.mark.parametrize(
    ("behaviour", "charge_count", "output"),
    [("kill", 0, b""), ("shutDownUnexpectedly", 1, b""), ("charge+ok+delay:0.5+kill", 1, b"200\n")],
)
async def test_a_killed_client_is_the_process_that_made_the_call(
    simulator: Simulator, behaviour: str, charge_count: int, output: bytes
) -> None:
    bystander = await _caller(simulator, f"bystander:{behaviour}", "charge+delay:1+ok")
    await simulator.client.wait_for_charges(f"bystander:{behaviour}", 1, DEADLINE_S)
    caller = await _caller(simulator, f"kill:{behaviour}", behaviour)
    seen, _ = await asyncio.wait_for(caller.communicate(b""), DEADLINE_S) if output == b"" else (None, None)
    if output:
        assert await asyncio.wait_for(caller.wait(), DEADLINE_S) == -signal.SIGKILL
        assert caller.stdout is not None
        seen = await caller.stdout.read()
    assert (caller.returncode, seen) == (-signal.SIGKILL, output)
    assert len(await simulator.client.charges(f"kill:{behaviour}")) == charge_count
    killed = [event for event in await simulator.client.events() if event.reference == f"kill:{behaviour}"]
    assert [event.detail["pid"] for event in killed if event.kind is EventKind.CLIENT_KILLED] == [caller.pid]
    told, _ = await asyncio.wait_for(bystander.communicate(b""), DEADLINE_S)
    assert (told, bystander.returncode) == (b"200\n", 0)


@pytest.mark.parametrize(("behaviour", "charge_count"), [("freeze+hang", 0), ("charge+freeze+hang", 1)])
async def test_a_frozen_client_stands_still_until_it_is_thawed(
    simulator: Simulator, behaviour: str, charge_count: int
) -> None:
    reference = f"freeze:{behaviour}"
    caller = await _caller(simulator, reference, behaviour)
    try:
        await simulator.client.wait_for_events(EventKind.CLIENT_FROZEN, reference, 1, DEADLINE_S)
        process = psutil.Process(caller.pid)
        async with asyncio.timeout(DEADLINE_S):
            while process.status() != psutil.STATUS_STOPPED:  # noqa: ASYNC110 (another process's state has no event)
                await asyncio.sleep(0.01)
        assert len(await simulator.client.charges(reference)) == charge_count
    finally:
        caller.kill()
        await asyncio.wait_for(caller.communicate(), DEADLINE_S)


async def test_waiting_ends_by_the_event_or_says_what_was_seen(simulator: Simulator) -> None:
    waiting = asyncio.create_task(simulator.client.wait_for_posts("wait:", 2, DEADLINE_S))
    await simulator.post("wait:1")
    with pytest.raises(WaitTimeoutError, match="saw 1 of 2 post_received of 'wait:'"):
        await simulator.client.wait_for_posts("wait:", 2, 0.05)
    await simulator.post("wait:2")
    assert [post.reference for post in await waiting] == ["wait:1", "wait:2"]


async def test_events_are_numbered_without_gaps_and_can_be_followed(simulator: Simulator) -> None:
    last = len(await simulator.client.events())
    following = asyncio.create_task(simulator.client.events(since=last, timeout_s=DEADLINE_S))
    await simulator.post("feed:1")
    events = await simulator.client.events(since=last)
    assert [event.kind for event in events] == [EventKind.POST_RECEIVED, EventKind.CHARGED, EventKind.POST_ANSWERED]
    assert [event.number for event in events] == [last + 1, last + 2, last + 3]
    assert events[2].detail["status"] == 200
    assert (await following)[0] == events[0]


async def test_nothing_charged_is_forgotten_after_sigkill_and_restart(tmp_path: Path) -> None:
    simulator = Simulator(tmp_path)
    await simulator.start()
    await simulator.client.honour_keys(honour=True)
    await simulator.client.set_rules(
        Rule("accept:1+accepted", reference="r:late"), Rule("status:503", prefix="r:503", count=2)
    )
    assert (await simulator.post("r:late")).status == 202
    assert (await simulator.post("r:503")).status == 503
    answered: dict[str, str] = {}

    async def send(number: int) -> None:
        reply = await simulator.post(f"r:{number:03d}")
        if reply.status == 200:
            answered[f"r:{number:03d}"] = reply.json["providerReference"]

    calls = [asyncio.create_task(send(number)) for number in range(200)]
    await simulator.client.wait_for_charges("r:", 40, DEADLINE_S)
    assert await simulator.stop(signal.SIGKILL) == -signal.SIGKILL
    await asyncio.gather(*calls, return_exceptions=True)
    with (tmp_path / "data" / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"number": 99999, "at": "cut in the mid')
    await simulator.start()
    try:
        charges = {charge.reference: charge.provider_reference for charge in await simulator.client.charges("r:")}
        assert answered
        assert {reference: charges.get(reference) for reference in answered} == answered
        assert len(await simulator.client.posts("r:")) >= len(charges)
        # The promise about keys, the rules' counts and what was accepted are known as well.
        reference, provider_reference = next(iter(answered.items()))
        assert (await simulator.post(reference)).json["providerReference"] == provider_reference
        assert [(await simulator.post("r:503")).status for _ in range(2)] == [503, 200]
        await simulator.client.wait_for_charges("r:late", 1, DEADLINE_S)
    finally:
        assert await simulator.stop(signal.SIGTERM) == 0


async def test_a_second_simulator_on_the_same_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    simulator = Simulator(tmp_path)
    await simulator.start()
    try:
        second = await asyncio.create_subprocess_exec(*simulator.command(), cwd=ROOT, stderr=asyncio.subprocess.PIPE)
        _, errors = await asyncio.wait_for(second.communicate(), DEADLINE_S)
        assert second.returncode == 1
        assert errors.count(b"\n") == 1
        assert b"is held by another simulator" in errors
    finally:
        assert await simulator.stop(signal.SIGTERM) == 0


async def test_the_dummy_producer_hands_over_the_seed_records_or_says_why_not(
    simulator: Simulator, tmp_path: Path
) -> None:
    assert (await simulator.call("POST", "/dummyProducerCrash")).status == 501
    with pytest.raises(SimulatorError, match="start the simulator with --producer-command"):
        await simulator.client.dummy_producer_crash()
    other = Simulator(tmp_path, "--producer-command", "cat")
    await other.start()
    try:
        answer = (await other.call("POST", "/dummyProducerCrash")).json
        sent = [json.loads(line) for line in answer["output"].splitlines()]
        assert sent == answer["records"]
        assert [record.get("simulate") for record in sent] == [
            None,
            ["externalServerError", "shutDownUnexpectedly"],
            None,
        ]
        assert (await other.client.dummy_producer_crash())["exitStatus"] == 0
    finally:
        assert await other.stop(signal.SIGTERM) == 0
    assert len({record["requestId"] for record in [*seed_records(), *seed_records()]}) == 6
