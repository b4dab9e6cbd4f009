"""Whatever a provider, a crash, a late answer or a person does to one record: nothing is charged twice on a guess.

The ledger's rows are kept in memory under the write rules of `activities.ledger`; the real rules decide (`recharge.sending`, and
those by which a person's decision is refused and a 'not found' counts). Beside them stands a provider that knows the truth.
"""

import itertools
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from activities.ledger.decisions import _VERDICTS, Wish, _refusal, outranks_a_hold
from activities.ledger.lookups import counts as not_found_is_a_verdict
from activities.ledger.reading import AttemptRow
from recharge import limits
from recharge.contract import Finding
from recharge.late_evidence import NotFoundRules, decided_before, late_answer_contradicts
from recharge.outcome import FINAL_STATES, PREDECESSORS, Action, LookupAnswer, Outcome, State, Verdict
from recharge.sending import (
    LOOKUP_VERDICT,
    AttemptFacts,
    Decided,
    Facts,
    KeyRules,
    Obstacle,
    ObstacleKind,
    frees_its_claim,
    judge,
)
from recharge.settings import DuplicateProtection

TIMEOUT_S = 5.0
PROCESSING_TIME_S = 20.0
FORGETS_AFTER_S = 200.0
KEYS = KeyRules(lifetime_s=300.0, timeout_s=TIMEOUT_S)
NOT_FOUND = NotFoundRules(PROCESSING_TIME_S, FORGETS_AFTER_S)
EPOCH = datetime(2026, 1, 1)  # noqa: DTZ001  # MySQL's times carry no zone

STEPS_S = st.sampled_from([0.1, 1.0, 4.0, 6.5, 21.0, 60.0, 170.0, 240.0, 310.0])


class Work(StrEnum):
    """What the provider is at with one request that reached it."""

    GOING_ON = "going_on"
    """It may charge until its processing time is over."""
    ACCEPTED = "accepted"
    """It said 'pending', and may charge at any time."""
    REPEATED = "repeated"
    """Its key was known, so it does nothing of its own."""
    ENDED = "ended"
    """It charged, refused, or will never charge."""


@dataclass
class Request:
    """A request that reached the provider."""

    attempt: int
    at: datetime
    charges_until: datetime
    work: Work


@dataclass
class Provider:
    """The truth. It keeps its promises: its processing time, its keys, and what it says of a reference."""

    honours_keys: bool
    requests: list[Request] = field(default_factory=list)
    charged_at: list[datetime] = field(default_factory=list)
    refused: bool = False

    def receive(self, attempt: int, now: datetime, deadline: datetime) -> None:
        known = self.honours_keys and any(
            now < request.at + timedelta(seconds=KEYS.lifetime_s)
            for request in self.requests
            if request.work is not Work.REPEATED
        )
        until = deadline + timedelta(seconds=PROCESSING_TIME_S)
        work = Work.REPEATED if known else Work.ENDED if self.refused else Work.GOING_ON
        self.requests.append(Request(attempt, now, until, work))

    def time_passes(self, now: datetime) -> None:
        for request in self.requests:
            if request.work is Work.GOING_ON and now > request.charges_until:
                request.work = Work.ENDED

    def of(self, attempt: int) -> Request:
        return next(request for request in self.requests if request.attempt == attempt)

    @property
    def may_charge(self) -> list[Request]:
        return [request for request in self.requests if request.work in {Work.GOING_ON, Work.ACCEPTED}]

    def charge(self, request: Request, now: datetime) -> None:
        request.work = Work.ENDED
        self.charged_at.append(now)

    def refuse(self) -> None:
        """Refuse the reference for good."""
        self.refused = True
        for request in self.requests:
            request.work = Work.ENDED

    def look_up(self, now: datetime) -> set[LookupAnswer]:
        """What a truthful provider may say about the reference."""
        remembers = [at for at in self.charged_at if now < at + timedelta(seconds=FORGETS_AFTER_S)]
        if remembers:
            return {LookupAnswer.CHARGED}
        if self.refused:
            return {LookupAnswer.REFUSED}
        if any(request.work is Work.ACCEPTED for request in self.requests):
            return {LookupAnswer.PENDING}
        return {LookupAnswer.NOT_FOUND, LookupAnswer.PENDING} if self.may_charge else {LookupAnswer.NOT_FOUND}


@dataclass
class Claims:
    """What several records claim at the same time: one request."""

    owner: "Ledger | None" = None

    def claim(self, record: "Ledger") -> None:
        """As `activities.ledger.obstacles.claim` does it, in the transaction that would open a first attempt."""
        if self.owner is None or frees_its_claim(self.owner.state, [row.facts for row in self.owner.rows]):
            self.owner = record


@dataclass(eq=False)
class Ledger:
    """The rows of one record, and each operation of `activities.ledger` as one step, as its transaction makes it."""

    keys: KeyRules | None
    now: datetime = EPOCH
    state: State = State.SENDING
    rows: list[AttemptRow] = field(default_factory=list)
    actions: list[Decided] = field(default_factory=list)
    lookups: list[tuple[int, LookupAnswer]] = field(default_factory=list)
    final: Finding | None = None
    claims: "Claims | None" = None
    alarms: int = 0
    """Answers that came after another decision and contradict it."""

    @property
    def decided(self) -> Decided | None:
        return self.actions[-1] if self.actions else None

    def finding(self) -> Finding:
        """What the facts lead to, read as `activities.ledger.reading.read_facts` reads them."""
        attempts = [row.facts for row in self.rows]
        if self.final is not None:
            return judge(Facts(self.state, attempts), self.keys)
        lookup = None
        if self.rows and self.rows[-1].facts.waits:
            said = [answer for number, answer in self.lookups if number == self.rows[-1].facts.number]
            lookup = said[-1] if said else None
        obstacles = []
        if self.claims is not None and not self.rows and self.claims.owner not in {None, self}:
            why = "the same request was made by another record"
            obstacles.append(Obstacle(ObstacleKind.DUPLICATE, State.REJECTED, why))
        facts = Facts(self.state, attempts, decided=self.decided, lookup=lookup, obstacles=obstacles, now=self.now)
        return judge(facts, self.keys)

    def open_attempt(self) -> AttemptRow | Finding:
        if self.claims is not None and not self.rows:
            self.claims.claim(self)
        finding = self.finding()
        if finding.state is not State.SENDING:
            self._follow(finding.state)
            return finding
        self.state = State.SENDING
        number = len(self.rows) + 1
        deadline = self.now + timedelta(seconds=TIMEOUT_S)
        facts = AttemptFacts(number, None, opened_at=self.now)
        self.rows.append(AttemptRow(facts, f"token {number}", self.now, deadline, None))
        return self.rows[-1]

    def close_attempt(self, number: int, outcome: Outcome, status: int | None) -> None:
        mine = self.rows[number - 1]
        later = self.rows[-1].facts.number > number
        if self.keys is not None and mine.facts.verdict is not Verdict.NOT_CHARGED:
            later = False  # a repetition under the same key is the same recharge
        if mine.facts.outcome is not outcome:
            action = None if self.decided is None else self.decided.action
            before = decided_before(outcome, self.state, verdict=mine.facts.verdict, action=action)
            contradicts = late_answer_contradicts(outcome, before, later_attempt=later)
            self.alarms += contradicts
            if contradicts or later:
                # Kept in late_outcome, beside what was decided.
                late_charge = mine.facts.late_charge or outcome is Outcome.CHARGED
                self.rows[number - 1] = replace(mine, facts=replace(mine.facts, late_charge=late_charge))
            else:
                given_up = mine.closed_at is not None
                facts = AttemptFacts(number, outcome, status=status, opened_at=mine.opened_at, late=given_up)
                self.rows[number - 1] = replace(mine, facts=facts, closed_at=mine.closed_at or self.now)
        now = self.now if any(row.facts.waits for row in self.rows) else None
        finding = judge(Facts(self.state, [row.facts for row in self.rows], now=now), self.keys)
        self._follow(State.RETRYING if finding.state is State.SENDING else finding.state)

    def apply_lookup(self, asked_about: AttemptRow, asked_at: datetime, answer: LookupAnswer) -> None:
        known = {LookupAnswer.CHARGED, LookupAnswer.REFUSED, LookupAnswer.PENDING}
        acknowledged = any(
            row.facts.outcome is Outcome.PENDING or row.facts.status in {202, 409} for row in self.rows
        ) or any(said in known for _, said in self.lookups)
        self.lookups.append((asked_about.facts.number, answer))
        if answer is LookupAnswer.CHARGED:
            self._take_charge(asked_about.facts.number)
        elif self.state in FINAL_STATES or self.rows[-1].token != asked_about.token:
            return
        elif answer is LookupAnswer.REFUSED:
            self._judge_waiting(None, LOOKUP_VERDICT)
        elif answer is LookupAnswer.NOT_FOUND:
            counts = not acknowledged and not_found_is_a_verdict(self.rows, NOT_FOUND, asked_at)
            if counts:
                self._judge_waiting(Verdict.NOT_CHARGED, LOOKUP_VERDICT)

    def _take_charge(self, number: int) -> None:
        newest = self.rows[-1]
        if self.state not in FINAL_STATES and (newest.facts.is_doubtful or any(row.facts.waits for row in self.rows)):
            self._judge_waiting(Verdict.CHARGED, LOOKUP_VERDICT)
            if newest.facts.is_doubtful:
                facts = replace(self.rows[-1].facts, verdict=Verdict.CHARGED, verdict_by=LOOKUP_VERDICT)
                self.rows[-1] = replace(self.rows[-1], facts=facts)
        elif self.state is not State.SUCCEEDED and not any(row.facts.was_charged_by_the_provider for row in self.rows):
            asked_about = self.rows[number - 1]
            self.rows[number - 1] = replace(asked_about, facts=replace(asked_about.facts, late_charge=True))
            self.alarms += 1

    def decide(self, wish: Wish) -> str | None:
        """Write a decision down; why it was refused, or None."""
        row = cast("Any", {"state": self.state})
        refused = _refusal(wish, row, self.rows, self.decided, self.now, PROCESSING_TIME_S)
        if refused is None:
            self.actions.append(Decided(wish.action, wish.by, wish.note))
            if wish.action is not Action.HOLD:
                self._judge_waiting(_VERDICTS.get(wish.action), wish.by)
        return refused

    def hold(self) -> None:
        """A cancellation of the workflow."""
        if self.state in FINAL_STATES or outranks_a_hold(self.decided) is not None:
            return
        if self.decided is None or self.decided.action is not Action.HOLD:
            self.actions.append(Decided(Action.HOLD, "Temporal", "the workflow was cancelled"))
        self._move(State.HELD)

    def record_result(self) -> None:
        finding = self.finding()
        assert finding.state in FINAL_STATES
        if self.state not in FINAL_STATES:
            self._move(finding.state)
            self.final = finding

    def _judge_waiting(self, verdict: Verdict | None, by: str) -> None:
        for index, row in enumerate(self.rows):
            if row.facts.waits:
                outcome = Outcome.UNKNOWN if row.closed_at is None else row.facts.outcome
                facts = replace(row.facts, outcome=outcome, verdict=verdict, verdict_by=verdict and by)
                self.rows[index] = replace(row, facts=facts, closed_at=row.closed_at or self.now)

    def _follow(self, state: State) -> None:
        if state not in FINAL_STATES and self.state not in FINAL_STATES | {State.HELD, state}:
            self._move(state)

    def _move(self, state: State) -> None:
        assert self.state in PREDECESSORS[state], f"no transition leads from {self.state} to {state}"
        self.state = state


class OneRecord(RuleBasedStateMachine):
    """One record, any number of workers and runs of its workflow, and everything that may happen between two steps."""

    @initialize(
        protection=st.sampled_from(DuplicateProtection),
        is_sent=st.sampled_from([True, True, False]),
        people_err=st.sampled_from([True, False, False]),
    )
    def begin(self, protection: DuplicateProtection, *, is_sent: bool, people_err: bool) -> None:
        self.protection = protection
        has_keys = protection is DuplicateProtection.IDEMPOTENCY_KEY
        self.ledger = Ledger(KEYS if has_keys else None)
        self.provider = Provider(honours_keys=has_keys)
        self.calls: dict[int, bool] = {}
        """The attempts whose process lives, and whether their request has left."""
        self.questions: list[tuple[AttemptRow, datetime, LookupAnswer]] = []
        self.answers: set[Outcome] = set()
        """What the provider has answered to the requests of this record, as far as that was heard."""
        self.is_told_charged = False
        """The ledger has had the provider's word that the record was carried out."""
        self.people_err = people_err
        self.someone_was_wrong = False
        if is_sent:  # what is worth watching comes after a request
            self.an_activity_wants_to_send(leaves=True)

    def _time_passes(self, seconds: float) -> None:
        self.ledger.now += timedelta(seconds=seconds)
        self.provider.time_passes(self.ledger.now)

    @rule(seconds=STEPS_S)
    def time_passes(self, seconds: float) -> None:
        self._time_passes(seconds)

    # --- Our side ---------------------------------------------------------------------------------------------------------

    @rule(leaves=st.booleans())
    def an_activity_wants_to_send(self, *, leaves: bool) -> None:
        """In any run, by any worker, after a reset or a lost worker: the ledger alone is asked."""
        opened = self.ledger.open_attempt()
        if isinstance(opened, AttemptRow):
            self._assert_may_follow(self.ledger.rows[:-1])
            self.calls[opened.facts.number] = False
            if leaves:
                self._leave(opened.facts.number)

    def _assert_may_follow(self, earlier: list[AttemptRow]) -> None:
        """A second sending follows an unknown one only by a recorded verdict or a key that lives, and never a final one."""
        assert self.ledger.final is None
        assert not self.is_told_charged, "sent again after the provider said that it was carried out"
        assert self.ledger.decided is None or self.ledger.decided.action is Action.NOT_CHARGED
        sent_from = [
            row.opened_at for row in earlier if row.facts.outcome not in {Outcome.NOT_SENT, Outcome.NOT_CHARGED}
        ]
        for row in earlier:
            facts = row.facts
            carried_nothing_out = facts.outcome in {Outcome.NOT_SENT, Outcome.NOT_CHARGED}
            judged = facts.outcome in {Outcome.UNKNOWN, Outcome.PENDING} and facts.verdict is Verdict.NOT_CHARGED
            key_lives = (
                self.protection is DuplicateProtection.IDEMPOTENCY_KEY
                and facts.outcome in {None, Outcome.UNKNOWN}
                and facts.verdict is None
                and self.ledger.now + timedelta(seconds=TIMEOUT_S) < sent_from[0] + timedelta(seconds=KEYS.lifetime_s)
            )
            assert carried_nothing_out or judged or key_lives, f"a call may leave after {facts}"

    @precondition(lambda self: any(not left for left in self.calls.values()))
    @rule(data=st.data())
    def a_request_leaves(self, data: st.DataObject) -> None:
        self._leave(data.draw(st.sampled_from([number for number, left in self.calls.items() if not left])))

    def _leave(self, number: int) -> None:
        deadline = self.ledger.rows[number - 1].deadline_at
        if self.ledger.now < deadline:
            self.calls[number] = True
            self.provider.receive(number, self.ledger.now, deadline)

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def a_worker_dies(self, data: st.DataObject) -> None:
        del self.calls[data.draw(st.sampled_from(sorted(self.calls)))]

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def a_call_ends(self, data: st.DataObject) -> None:
        """At any time, since a frozen process may be thawed a year later."""
        number = data.draw(st.sampled_from(sorted(self.calls)))
        if self.calls.pop(number):
            outcome, status = data.draw(st.sampled_from(self._answers(number)))
            self.answers.add(outcome)
            self.ledger.close_attempt(number, outcome, status)
        else:
            self.ledger.close_attempt(number, Outcome.NOT_SENT, None)

    def _answers(self, number: int) -> list[tuple[Outcome, int | None]]:
        """What a truthful provider may answer to this request; choosing a refusal makes it one."""
        request = self.provider.of(number)
        answers: list[tuple[Outcome, int | None]] = [(Outcome.UNKNOWN, None), (Outcome.UNKNOWN, 500)]
        after_unknown = any(row.facts.is_doubtful for row in self.ledger.rows[: number - 1])
        if request.work is Work.REPEATED:
            answers += [(Outcome.UNKNOWN, 409), (Outcome.NOT_CHARGED, 429)]
        if self.provider.charged_at and (request.work in {Work.ENDED, Work.REPEATED}):
            answers.append((Outcome.CHARGED, 200))
        if request.work is Work.ACCEPTED:
            answers.append((Outcome.PENDING, 202))
        if self.provider.refused:
            answers.append((Outcome.UNKNOWN, 422) if after_unknown else (Outcome.REFUSED, 422))
            answers.append((Outcome.REFUSED, 200))
        return answers

    @precondition(lambda self: self.ledger.finding().state in FINAL_STATES)
    @rule()
    def the_result_is_recorded(self) -> None:
        before = self.ledger.final
        self.ledger.record_result()
        assert before is None or self.ledger.final == before, "a final state has changed"

    # --- The provider -----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.provider.may_charge)
    @rule(data=st.data())
    def the_provider_charges(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(self.provider.may_charge))
        self.provider.charge(request, self.ledger.now)

    @precondition(lambda self: any(request.work is Work.GOING_ON for request in self.provider.requests))
    @rule(data=st.data())
    def the_provider_accepts(self, data: st.DataObject) -> None:
        going_on = [request for request in self.provider.requests if request.work is Work.GOING_ON]
        data.draw(st.sampled_from(going_on)).work = Work.ACCEPTED

    @precondition(lambda self: self.provider.may_charge and not self.provider.charged_at)
    @rule()
    def the_provider_refuses(self) -> None:
        self.provider.refuse()

    @precondition(lambda self: any(left for left in self.calls.values()))
    @rule(data=st.data())
    def the_provider_turns_a_request_away(self, data: st.DataObject) -> None:
        """An answer by which it promises that this request carried nothing out."""
        number = data.draw(st.sampled_from([number for number, left in self.calls.items() if left]))
        request = self.provider.of(number)
        if request.work is Work.GOING_ON:
            request.work = Work.ENDED
            del self.calls[number]
            self.ledger.close_attempt(number, Outcome.NOT_CHARGED, 429)

    def _is_looked_up(self) -> bool:
        state = self.ledger.finding().state
        return state is State.PENDING or (state is State.IN_DOUBT and self.protection is DuplicateProtection.LOOKUP)

    @precondition(_is_looked_up)
    @rule(data=st.data(), takes_s=st.sampled_from([0.0, 1.0, 7.0, limits.LOOKUP_TIMEOUT_S]))
    def the_provider_is_asked(self, data: st.DataObject, takes_s: float) -> None:
        asked_about, asked_at = self.ledger.rows[-1], self.ledger.now
        self._time_passes(takes_s)
        answers = self.provider.look_up(self.ledger.now)
        self.questions.append((asked_about, asked_at, data.draw(st.sampled_from(sorted(answers)))))

    @precondition(lambda self: self.questions)
    @rule()
    def its_answer_is_applied(self) -> None:
        before = [row.facts.verdict for row in self.ledger.rows]
        question = self.questions.pop(0)
        self.is_told_charged |= question[-1] is LookupAnswer.CHARGED
        self.ledger.apply_lookup(*question)
        verdicts = [row.facts.verdict for row in self.ledger.rows]
        if verdicts != before and verdicts[-1] is Verdict.NOT_CHARGED:
            assert not self.provider.may_charge, "a 'not found' counted while the provider could still charge"

    # --- People -----------------------------------------------------------------------------------------------------------

    @rule(
        action=st.sampled_from([*Action, Action.CHARGED, Action.NOT_CHARGED, Action.NOT_CHARGED]),
        is_truthful=st.booleans(),
        is_closed=st.booleans(),
    )
    def a_person_decides(self, action: Action, *, is_truthful: bool, is_closed: bool) -> None:
        charged = bool(self.provider.charged_at)
        is_truthful |= not self.people_err
        if is_truthful and action in {Action.CHARGED, Action.NOT_CHARGED}:
            action = Action.CHARGED if charged else Action.NOT_CHARGED
        wish = Wish("source:topic:0:0", action, "Ann", "asked the provider", is_closed=is_closed)
        if self.ledger.decide(wish) is not None:
            return
        if action is Action.CHARGED and not charged:
            self.someone_was_wrong = True
        if action is Action.NOT_CHARGED:
            assert not any(request.work is Work.GOING_ON for request in self.provider.requests), (
                "a person could call an attempt not charged while the provider was still at it"
            )
            for request in self.provider.requests:
                request.work = Work.ENDED if is_truthful else request.work
            self.someone_was_wrong |= charged or bool(self.provider.may_charge)

    @precondition(lambda self: self.ledger.state is not State.HELD)
    @rule(is_cancelled=st.sampled_from([True, False, False]))
    def the_workflow_is_cancelled(self, *, is_cancelled: bool) -> None:
        if is_cancelled:
            self.ledger.hold()

    # --- The promise ------------------------------------------------------------------------------------------------------

    def check_invariants(self, *arguments: Any, **keywords: Any) -> None:
        super().check_invariants(*arguments, **keywords)
        if not hasattr(self, "ledger"):
            return
        self.is_told_charged |= any(row.facts.was_charged_by_the_provider for row in self.ledger.rows)
        self._assert_no_contradiction_is_silent()
        if self.someone_was_wrong:
            return
        charges = len(self.provider.charged_at)
        assert charges <= 1, "charged twice, although nobody was wrong"
        final = self.ledger.final
        if final is not None and final.state is State.SUCCEEDED:
            assert charges == 1, "recorded as carried out, and nothing was"
        if final is not None and final.state is State.REJECTED:
            assert charges == 0, "recorded as refused, and it was carried out"

    def _assert_no_contradiction_is_silent(self) -> None:
        """Whoever was wrong: what the provider answered is told where the record ends otherwise."""
        final = self.ledger.final
        if (
            final is not None
            and (Outcome.REFUSED if final.state is State.SUCCEEDED else Outcome.CHARGED) in self.answers
        ):
            assert self.ledger.alarms, f"it is {final.state}, and nobody was told of the answers {self.answers}"


OneRecord.TestCase.settings = settings(max_examples=1_000, stateful_step_count=40, deadline=None)
TestOneRecord = OneRecord.TestCase


WHICH = st.integers(0, 2)


@dataclass
class Told:
    """One of several records of the same request, and what the provider has done about it."""

    ledger: Ledger
    is_begun: bool = False
    """It has a row in the ledger."""
    charges: int = 0
    refusals: set[int] = field(default_factory=set)
    """The attempts that the provider has refused."""
    unheard: set[int] = field(default_factory=set)
    """The attempts whose answer may still come."""


class OneRequest(RuleBasedStateMachine):
    """Several records that ask for the same thing, by a producer that repeats itself. People tell the truth here."""

    @initialize(does=st.sampled_from(["charge", "refuse", "nothing"]), is_heard=st.booleans())
    def begin(self, does: str, *, is_heard: bool) -> None:
        claims = Claims()
        self.records = [Told(Ledger(None, claims=claims)) for _ in range(3)]
        self.a_record_wants_to_be_sent(0, does, is_heard=is_heard)

    def teardown(self) -> None:
        """Whatever has happened, the producer repeats itself once more."""
        for which in range(len(getattr(self, "records", []))):
            self.a_record_wants_to_be_sent(which, "charge", is_heard=True)
            self.the_request_is_carried_out_once()

    @rule(which=WHICH, does=st.sampled_from(["charge", "refuse", "nothing"]), is_heard=st.booleans())
    def a_record_wants_to_be_sent(self, which: int, does: str, *, is_heard: bool) -> None:
        self._record_results()
        told = self.records[which]
        told.is_begun = True
        opened = told.ledger.open_attempt()
        if not isinstance(opened, AttemptRow):
            return
        number = opened.facts.number
        told.charges += does == "charge"
        if does == "refuse":
            told.refusals.add(number)
        told.unheard.add(number)
        if is_heard:
            self._answer(told, number, charged=does == "charge")

    def _answer(self, told: Told, number: int, *, charged: bool) -> None:
        outcome = Outcome.REFUSED if number in told.refusals else Outcome.NOT_CHARGED
        told.unheard.discard(number)
        told.ledger.close_attempt(number, Outcome.CHARGED if charged else outcome, None)

    @rule(which=WHICH, has_answer=st.booleans())
    def an_answer_comes_late_or_never(self, which: int, *, has_answer: bool) -> None:
        told = self.records[which]
        for number in sorted(told.unheard):
            if has_answer:
                self._answer(told, number, charged=bool(told.charges))
            else:
                told.ledger.close_attempt(number, Outcome.UNKNOWN, None)

    @rule(which=WHICH, action=st.sampled_from([Action.SKIP, Action.HOLD, None]))
    def a_person_decides(self, which: int, action: Action | None) -> None:
        """To skip it, to cancel its workflow, or what the provider says about it; some time after the last call."""
        told = self.records[which]
        if action is Action.HOLD:
            told.is_begun = True
            told.ledger.hold()
            return
        told.ledger.now += timedelta(seconds=TIMEOUT_S + PROCESSING_TIME_S + 2)
        truth = Action.CHARGED if told.charges else Action.NOT_CHARGED
        told.ledger.decide(Wish(f"source:topic:0:{which}", action or truth, "Ann", "asked", is_closed=True))
        self._record_results()

    def _record_results(self) -> None:
        for told in self.records:
            if told.is_begun and told.ledger.finding().state in FINAL_STATES:
                told.ledger.record_result()

    @invariant()
    def the_request_is_carried_out_once(self) -> None:
        assert sum(told.charges for told in getattr(self, "records", [])) <= 1

    @invariant()
    def a_record_that_did_nothing_leaves_the_request_to_another(self) -> None:
        """What was refused, or skipped before it was ever sent, stands in no other record's way."""
        for told, other in itertools.permutations(getattr(self, "records", []), 2):
            owner, last = told.ledger, other.ledger
            if owner.state is State.REJECTED or (owner.state is State.SKIPPED and not owner.rows):
                claims = Claims(owner)
                claims.claim(last)
                assert claims.owner is last


OneRequest.TestCase.settings = settings(max_examples=400, stateful_step_count=30, deadline=None)
TestOneRequest = OneRequest.TestCase
