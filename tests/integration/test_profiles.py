"""Each row of the answer table under each duplicate protection, on the real servers: how the record ends, and what reached the provider."""

import asyncio
import json
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from activities.ledger import Ledger, Opened
from activities.profile import Answer
from activities.provider import Provider
from devstack.certificates import ensure_certificates
from devstack.processes import wait_until
from devstack.provider import ProviderSimulator
from devstack.simulator.client import ConnectionFault
from devstack.site import Site
from devstack.stack import Devstack
from recharge import limits
from recharge.contract import Finding, RecordInput
from recharge.outcome import FINAL_STATES, LookupAnswer, Outcome, State
from recharge.sending import KeyRules
from recharge.settings import DuplicateProtection, ProviderSettings
from tests.conftest import SiteMaker
from tests.support.peer import CHARGED, REFERENCE, Certificates, Peer, call, serving
from tests.support.records import record, value

SETTLED_TIMEOUT_S = 90.0
PROFILE = {
    "RECHARGE_PROVIDER__TIMEOUT_S": "5",
    "RECHARGE_PROVIDER__PROCESSING_TIME_S": "0",
    "RECHARGE_PROVIDER__LOOKUP_FIRST_AFTER_S": "0.2",
}
NONE, LOOKUP, KEY = DuplicateProtection.NONE, DuplicateProtection.LOOKUP, DuplicateProtection.IDEMPOTENCY_KEY


@dataclass(frozen=True)
class End:
    """Where a record stands in the end, how many POSTs of it reached the provider, and how many charges it carried out."""

    state: State
    posts: int
    charges: int


CHARGED_AT_ONCE = End(State.SUCCEEDED, 1, 1)
REFUSED_AT_ONCE = End(State.REJECTED, 1, 0)


@dataclass(frozen=True)
class Row:
    """What the provider does at each POST of a record (after these it charges), and the record's end under each protection."""

    does: tuple[str, ...]
    none: End
    lookup: End
    key: End

    def end(self, protection: DuplicateProtection) -> End:
        return {NONE: self.none, LOOKUP: self.lookup, KEY: self.key}[protection]


def always(end: End, *does: str) -> Row:
    return Row(does, end, end, end)


def charged_unheard(step: str) -> Row:
    """The provider charged, and what it said about it cannot be read: a look-up or a repetition under the key finds out."""
    return Row(
        (f"charge+{step}",),
        none=End(State.IN_DOUBT, 1, 1),
        lookup=CHARGED_AT_ONCE,
        key=End(State.SUCCEEDED, 2, 1),
    )


def nothing_done(step: str) -> Row:
    """The provider did nothing, which its answer does not prove: 'not found' does, and a repetition under the key is safe anyway."""
    return Row(
        (step,),
        none=End(State.IN_DOUBT, 1, 0),
        lookup=End(State.SUCCEEDED, 2, 1),
        key=End(State.SUCCEEDED, 2, 1),
    )


ROWS = [
    # Charged.
    always(CHARGED_AT_ONCE, "charge+ok"),
    always(CHARGED_AT_ONCE, "charge+empty"),
    always(CHARGED_AT_ONCE, "charge+no_content"),
    always(CHARGED_AT_ONCE, "charge+status:201"),
    # Refused.
    always(REFUSED_AT_ONCE, "refuse+ok"),
    *(always(REFUSED_AT_ONCE, f"status:{status}") for status in (400, 402, 404, 405, 410, 422, 418)),
    # Not charged, by the provider's promise.
    *(always(End(State.SUCCEEDED, 2, 1), f"status:{status}") for status in (401, 403, 407, 429)),
    # Pending, by the status or by the word; without the look-up's address a person decides.
    *(
        Row((does,), End(State.PENDING, 1, 1), CHARGED_AT_ONCE, CHARGED_AT_ONCE)
        for does in ("accept:0.5+accepted", "accept:0.5+ok")
    ),
    Row(("accept_then_refuse:0.5+accepted",), End(State.PENDING, 1, 0), REFUSED_AT_ONCE, REFUSED_AT_ONCE),
    # Unknown: no whole answer, or one that cannot be read.
    *map(charged_unheard, ("hang", "reset", "close", "cut_short", "cut_head", "not_http", "bad_encoding", "too_long")),
    *map(charged_unheard, ("maintenance", "array", "unknown_status", "invalid_utf8")),
    nothing_done("reset"),
    # Unknown: statuses that prove nothing. A 409 shows that the reference is known, so 'not found' is no verdict after it.
    *map(nothing_done, ("status:408", "status:500", "status:503", "redirect")),
    *map(charged_unheard, ("status:408", "status:409", "status:500", "status:503", "redirect")),
    Row(("status:409",), End(State.IN_DOUBT, 1, 0), End(State.IN_DOUBT, 1, 0), End(State.SUCCEEDED, 2, 1)),
    # After an unknown attempt a 4xx or 3xx may speak of the repetition, so nothing is sent after it.
    *(
        Row(("status:500", second), End(State.IN_DOUBT, 1, 0), End(State.IN_DOUBT, 2, 0), End(State.IN_DOUBT, 2, 0))
        for second in ("status:404", "redirect")
    ),
    # 'Not found' counts once a record; a key serves for as many repetitions as it lives.
    Row(("status:500", "status:500"), End(State.IN_DOUBT, 1, 0), End(State.IN_DOUBT, 2, 0), End(State.SUCCEEDED, 3, 1)),
    # A promise that nothing was carried out is one after an unknown attempt too.
    Row(
        ("status:500", "status:429"), End(State.IN_DOUBT, 1, 0), End(State.SUCCEEDED, 3, 1), End(State.SUCCEEDED, 3, 1)
    ),
]
NOT_SENT = len(ROWS)
"""The partition of the record that meets a broken connection first."""


@pytest.fixture(scope="module")
async def simulator(stack: Devstack) -> AsyncIterator[ProviderSimulator]:
    """A provider of these tests' own, since whether it honours keys is told to the whole of it."""
    certificates = ensure_certificates(stack.folder / "certificates")
    own = ProviderSimulator(stack.folder / "provider-of-profiles", certificates, None, stack.folder / "no-producer.env")
    try:
        await own.start()
        yield own
        await own.stop()
    finally:
        own.release()


async def make(
    make_site: SiteMaker, simulator: ProviderSimulator, protection: DuplicateProtection, *, partitions: int = 1
) -> Site:
    profile = PROFILE | {
        "RECHARGE_PROVIDER__DUPLICATE_PROTECTION": protection,
        "RECHARGE_PROVIDER__URL": simulator.url,
        "RECHARGE_PROVIDER__LOOKUP_URL": simulator.lookup_url,
        "RECHARGE_PROVIDER__AUTH_TOKEN": simulator.auth_token,
    }
    site = await make_site("profile", partitions=partitions, profile=profile)
    if protection is NONE:
        del site.environment["RECHARGE_PROVIDER__LOOKUP_URL"]
    return site


async def states(stack: Devstack, site: Site) -> dict[int, State]:
    """The state of each partition's one record."""
    found = await stack.mysql.execute(f"SELECT partition_id, state FROM {site.names.database}.recharges")
    return {partition: State(state) for partition, state in found}


async def outcomes(stack: Devstack, site: Site, partition: int) -> list[str | None]:
    """How the attempts of a partition's record ended."""
    return [
        row[0]
        for row in await stack.mysql.execute(
            f"SELECT outcome FROM {site.names.database}.recharge_attempts "
            f"WHERE workflow_id = '{workflow_id(site, partition)}' ORDER BY number"
        )
    ]


def workflow_id(site: Site, partition: int = 0) -> str:
    return f"{site.source}:{site.topic}:{partition}:0"


async def looked_again(client: Client, site: Site, partition: int) -> bool:
    """Tell whether a record that waits has looked for certainty several times since, and is still waiting."""
    description = await client.get_workflow_handle(workflow_id(site, partition)).describe()
    pending = description.raw_description.pending_activities
    return bool(pending) and pending[0].activity_type.name == "look_up" and pending[0].attempt > 2


async def asked_in_vain(stack: Devstack, site: Site) -> set[str]:
    """The records whose look-up was asked when 'not found' could count, and passed no verdict: nothing more will be sent for them."""
    database = site.names.database
    found = await stack.mysql.execute(
        f"SELECT DISTINCT a.workflow_id FROM {database}.recharge_attempts a JOIN {database}.lookups l "
        "ON l.workflow_id = a.workflow_id AND l.attempt_number = a.number "
        "WHERE a.verdict IS NULL AND l.asked_at > a.deadline_at + INTERVAL 1 SECOND AND a.number = "
        f"(SELECT MAX(number) FROM {database}.recharge_attempts b WHERE b.workflow_id = a.workflow_id)"
    )
    return {row[0] for row in found}


async def meets_a_broken_connection_first(stack: Devstack, site: Site, simulator: ProviderSimulator) -> None:
    """The first row: no byte was handed over. Alone, since a connection's fault cannot choose its record."""
    await simulator.client.set_connection_faults(ConnectionFault.CLOSE_BEFORE_TLS)
    await stack.kafka.produce(site.topic, [(b"key", value(), NOT_SENT, [])])
    await simulator.client.wait_for_posts(workflow_id(site, NOT_SENT), 1, SETTLED_TIMEOUT_S)

    async def is_final() -> bool:
        return await states(stack, site) == {NOT_SENT: State.SUCCEEDED}

    await wait_until(is_final, SETTLED_TIMEOUT_S, "the record that met a broken connection is final")
    assert await outcomes(stack, site, NOT_SENT) == ["not_sent", "charged"]


@pytest.mark.parametrize("protection", list(DuplicateProtection))
async def test_each_row_of_the_answer_table_ends_as_it_says_with_so_many_posts(
    stack: Devstack,
    make_site: SiteMaker,
    simulator: ProviderSimulator,
    client: Client,
    protection: DuplicateProtection,
) -> None:
    await simulator.client.honour_keys(protection is KEY)
    site = await make(make_site, simulator, protection, partitions=len(ROWS) + 1)
    site.spawn("worker")
    site.spawn("ingest")
    await meets_a_broken_connection_first(stack, site, simulator)
    await stack.kafka.produce(
        site.topic, [(b"key", value(simulate=list(row.does)), number, []) for number, row in enumerate(ROWS)]
    )
    wanted = {number: row.end(protection) for number, row in enumerate(ROWS)} | {NOT_SENT: CHARGED_AT_ONCE}

    waiting = [number for number, end in wanted.items() if end.state not in FINAL_STATES]

    async def settled() -> bool:
        now = await states(stack, site)
        posts = Counter(post.reference for post in await simulator.client.posts(f"{site.source}:"))
        for number, end in wanted.items():
            if now.get(number) is not end.state or posts[workflow_id(site, number)] < end.posts:
                return False
        if protection is LOOKUP:
            return {workflow_id(site, number) for number in waiting} <= await asked_in_vain(stack, site)
        return all(await asyncio.gather(*(looked_again(client, site, number) for number in waiting)))

    try:
        await wait_until(settled, SETTLED_TIMEOUT_S, "every record has come to its end")
    finally:
        assert await ends(stack, site, simulator, wanted) == {named(number): end for number, end in wanted.items()}


async def ends(
    stack: Devstack, site: Site, simulator: ProviderSimulator, wanted: dict[int, End]
) -> dict[str, End | None]:
    """How every record stands, by what the provider did at it."""
    now = await states(stack, site)
    posts = Counter(post.reference for post in await simulator.client.posts(f"{site.source}:"))
    charges = Counter(charge.reference for charge in await simulator.client.charges(f"{site.source}:"))
    return {
        named(number): End(now[number], posts[workflow_id(site, number)], charges[workflow_id(site, number)])
        if number in now
        else None
        for number in wanted
    }


def named(number: int) -> str:
    return "a broken connection" if number == NOT_SENT else ", then ".join(ROWS[number].does)


# --- A worker's death -------------------------------------------------------------------------------------------------


async def test_a_worker_that_dies_after_the_provider_charged_never_makes_it_charge_again(
    stack: Devstack, make_site: SiteMaker, simulator: ProviderSimulator, client: Client
) -> None:
    await simulator.client.honour_keys(True)  # noqa: FBT003  # the client's own switch
    wanted = {
        NONE: End(State.IN_DOUBT, 1, 1),
        LOOKUP: CHARGED_AT_ONCE,
        KEY: End(State.SUCCEEDED, 2, 1),
    }

    async def one(protection: DuplicateProtection, site: Site) -> None:
        worker = site.spawn("worker")
        site.spawn("ingest")
        await stack.kafka.produce(site.topic, [(b"key", value(simulate=["charge+kill"]), 0, [])])
        assert await worker.wait(30) == -9
        site.spawn("worker")
        end = wanted[protection]

        async def settled() -> bool:
            if await states(stack, site) != {0: end.state}:
                return False
            return end.state in FINAL_STATES or await looked_again(client, site, 0)

        await wait_until(settled, SETTLED_TIMEOUT_S, f"the record has come to its end under {protection}")
        posts = await simulator.client.posts(workflow_id(site))
        charges = await simulator.client.charges(workflow_id(site))
        assert End(end.state, len(posts), len(charges)) == end
        assert len({post.body for post in posts}) == 1, "the repetition carried other bytes"

    # One after another, since the migrations of one process cannot run side by side.
    sites = {protection: await make(make_site, simulator, protection) for protection in DuplicateProtection}
    await asyncio.gather(*(one(protection, site) for protection, site in sites.items()))


# --- The worked example: a list filtered by our order id ----------------------------------------------------------------


async def test_an_unknown_outcome_is_resolved_by_a_list_filtered_by_our_order_id(
    stack: Devstack, make_site: SiteMaker, simulator: ProviderSimulator
) -> None:
    await simulator.client.honour_keys(False)  # noqa: FBT003  # the client's own switch
    does = ["charge+status:500", "refuse+reset", "accept:0.3+accepted", "status:500"]
    wanted = {
        0: CHARGED_AT_ONCE,
        1: REFUSED_AT_ONCE,
        2: CHARGED_AT_ONCE,
        # An empty list says that it is not there, which pays for one more.
        3: End(State.SUCCEEDED, 2, 1),
    }
    site = await make(make_site, simulator, LOOKUP, partitions=len(does))
    site.environment |= {
        "RECHARGE_PROVIDER__PROFILE": "activities.profiles.listing",
        "RECHARGE_PROVIDER__REFERENCE_FIELD": "orderId",
        "RECHARGE_PROVIDER__LOOKUP_URL": simulator.client.list_url,
        "RECHARGE_PROVIDER__TIMEOUT_S": "2",
    }
    site.spawn("worker")
    site.spawn("ingest")
    raws = [value(simulate=[behaviour]) for behaviour in does]
    await stack.kafka.produce(site.topic, [(b"key", raw, number, []) for number, raw in enumerate(raws)])

    async def settled() -> bool:
        return await states(stack, site) == {number: end.state for number, end in wanted.items()}

    await wait_until(settled, SETTLED_TIMEOUT_S, "every record is final")
    posts = await simulator.client.posts(f"{site.source}:")
    charges = Counter(charge.reference for charge in await simulator.client.charges(f"{site.source}:"))
    for number, end in wanted.items():
        mine = [post for post in posts if post.reference == workflow_id(site, number)]
        assert (len(mine), charges[workflow_id(site, number)]) == (end.posts, end.charges), does[number]
    assert all(json.loads(post.body)["orderId"] == post.reference for post in posts)
    found = await stack.mysql.execute(
        f"SELECT partition_id, resolved_by FROM {site.names.database}.recharges ORDER BY partition_id"
    )
    assert found == [(0, "lookup"), (1, "lookup"), (2, "lookup"), (3, "answer")]


# --- A key's life, by the ledger's own clock ----------------------------------------------------------------------------

TIMEOUT_S = 5.0
KEYS = KeyRules(lifetime_s=200.0, timeout_s=TIMEOUT_S)
KEY_LIVES_S = KEYS.lifetime_s - TIMEOUT_S - limits.KEY_MARGIN_S


@pytest.fixture
async def ledger(site: Site) -> AsyncIterator[Ledger]:
    """A ledger whose provider honours keys."""
    opened = Ledger(site.environment["RECHARGE_MYSQL__URL"], keys=KEYS)
    yield opened
    await opened.close()


async def send(ledger: Ledger, one: RecordInput) -> Opened | Finding:
    return await ledger.open_attempt(one, secrets.token_hex(16), timeout_s=TIMEOUT_S)


async def sent(ledger: Ledger, one: RecordInput) -> Opened:
    opened = await send(ledger, one)
    assert isinstance(opened, Opened), opened
    return opened


async def unknown(ledger: Ledger, one: RecordInput, status: int | None = 500) -> None:
    opened = await sent(ledger, one)
    await ledger.close_attempt(one, opened.token, Answer(Outcome.UNKNOWN, f"status {status}", status))


async def age(stack: Devstack, site: Site, seconds: float) -> None:
    """Make every attempt this much older."""
    await stack.mysql.execute(
        f"UPDATE {site.names.database}.recharge_attempts SET opened_at = opened_at - INTERVAL {seconds:g} SECOND"
    )


@pytest.mark.parametrize("is_open", [False, True])
async def test_a_doubt_is_sent_again_while_its_key_lives_and_waits_for_a_person_afterwards(
    stack: Devstack, site: Site, ledger: Ledger, is_open: bool
) -> None:
    one = record(site.source, 1)
    if is_open:
        await sent(ledger, one)
    else:
        await unknown(ledger, one)
    await age(stack, site, KEY_LIVES_S - 20)
    again = await sent(ledger, one)
    assert (again.number, again.after_unknown) == (2, True)
    await ledger.close_attempt(one, again.token, Answer(Outcome.UNKNOWN, "status 503", 503))
    await age(stack, site, 30)
    finding = await send(ledger, one)
    assert isinstance(finding, Finding), "the key is counted from the first attempt, not from the newest"
    assert finding.state is State.IN_DOUBT


@pytest.mark.parametrize("status", [307, 404, 409, 422])
async def test_nothing_is_sent_after_a_3xx_or_4xx_to_a_repetition(site: Site, ledger: Ledger, status: int) -> None:
    one = record(site.source, 1)
    await unknown(ledger, one)
    await unknown(ledger, one, status)
    finding = await send(ledger, one)
    assert isinstance(finding, Finding)
    assert finding.state is State.IN_DOUBT


async def test_a_repetition_that_was_refused_at_the_door_is_sent_again(site: Site, ledger: Ledger) -> None:
    one = record(site.source, 1)
    await unknown(ledger, one)
    again = await sent(ledger, one)
    await ledger.close_attempt(one, again.token, Answer(Outcome.NOT_CHARGED, "status 429", 429))
    assert (await sent(ledger, one)).number == 3


# --- Other providers' ways, on real sockets -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


def provider(url: str, certificates: Certificates, **settings: object) -> Provider:
    return Provider(ProviderSettings.model_validate({"url": url, "ca_file": certificates.ca_file, **settings}))


async def test_a_provider_that_lists_recharges_by_our_order_id_is_called_and_asked(certificates: Certificates) -> None:
    listed: list[dict[str, str]] = []

    async def behave(peer: Peer) -> None:
        request = await peer.request()
        body = json.dumps(listed).encode() if request.startswith(b"GET") else b'{"state":"SUBMITTED"}'
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    async with serving(behave, certificates.server) as server:
        asked = provider(
            server.url,
            certificates,
            profile="activities.profiles.listing",
            reference_field="orderId",
            lookup_url=f"{server.url}?orderId={{reference}}",
            status_field="state",
            charged_words="DONE",
            refused_words="DECLINED",
            pending_words="SUBMITTED",
        )
        answers = [await asked.send(call(body=b' {"amount": 1.50}')) for _ in range(2)]
        readings = [(await asked.look_up(REFERENCE)).answer]
        for word in ("SUBMITTED", "DONE", "DECLINED"):
            listed[:] = [{"orderId": REFERENCE, "state": word}]
            readings.append((await asked.look_up(REFERENCE)).answer)
    assert [answer.outcome for answer in answers] == [Outcome.PENDING, Outcome.PENDING]
    assert readings == [
        LookupAnswer.NOT_FOUND,
        LookupAnswer.PENDING,
        LookupAnswer.CHARGED,
        LookupAnswer.REFUSED,
    ]
    seen = bytes(server.seen)
    assert seen.count(b'\r\n\r\n {"orderId":"' + REFERENCE.encode() + b'","amount": 1.50}') == 2
    assert seen.count(b"GET /recharges?orderId=source%3Atopic%3A0%3A7 HTTP/1.1\r\n") == 4
    assert b"idempotency-key" not in seen.lower()


async def test_a_record_that_has_the_references_field_itself_is_refused_and_never_sent(
    certificates: Certificates,
) -> None:
    async with serving(lambda peer: peer.answer("200 OK", CHARGED), certificates.server) as server:
        asked = provider(server.url, certificates, reference_field="orderId")
        answer = await asked.send(call(body=b'{"amount": 1, "ORDERID": "mine"}'))
    assert answer.outcome is Outcome.REFUSED
    assert "orderId" in answer.said
    assert "mine" not in answer.said
    assert server.connections == 0


MODULE = """
from activities.profile import Answer, lookup_request, read_answer, read_lookup, request
from activities.profiles.messages import RecordUnfitError
from recharge.outcome import Outcome

def read_answer(settings, received, *, after_unknown, now_utc):
    {answer}
"""


@pytest.mark.parametrize(
    "answer",
    [
        "return Answer(Outcome.NOT_SENT, 'a claim that no answer can make')",
        "return None",
        "raise RecordUnfitError('too late for that')",
        "return 1 / 0",
    ],
)
async def test_a_profile_that_fails_at_an_answer_leaves_it_unknown(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    name = f"profile_{secrets.token_hex(8)}"
    (tmp_path / f"{name}.py").write_text(MODULE.format(answer=answer))
    monkeypatch.syspath_prepend(tmp_path)
    async with serving(lambda peer: peer.answer("200 OK", CHARGED), certificates.server) as server:
        asked = provider(server.url, certificates, profile=name)
        given: Any = await asked.send(call())
    assert given.outcome is Outcome.UNKNOWN
