"""The behaviours that can be asked of the provider, and how they are written.

A behaviour is a list of steps joined by `+`, carried out in order: `delay:0.5+charge+status:500` waits, charges, then
answers 500. What is written is what happens: a behaviour without `charge` charges nothing. Two scenarios have names of
their own. A behaviour must say how the call ends: by an answer, `close`, `reset`, `hang` or `kill`.
"""

from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Self


class BehaviourError(ValueError):
    """A behaviour or a rule that cannot be read; the message says what to write instead."""


class RequestKind(StrEnum):
    """The two requests that behaviours apply to."""

    POST = "post"
    LOOKUP = "lookup"


class ConnectionFault(StrEnum):
    """What can happen to a connection before a byte of its request is read."""

    CLOSE_BEFORE_TLS = "close_before_tls"
    RESET_BEFORE_TLS = "reset_before_tls"
    HANG_BEFORE_TLS = "hang_before_tls"
    CLOSE_UNREAD = "close_unread"
    RESET_UNREAD = "reset_unread"
    HANG_UNREAD = "hang_unread"


class StepName(StrEnum):
    """The steps of a behaviour."""

    # What the provider does with the money.
    CHARGE = "charge"
    REFUSE = "refuse"
    ACCEPT = "accept"  # pending; charged after the given seconds, or by the control API alone where none are given
    ACCEPT_THEN_REFUSE = "accept_then_refuse"  # pending; refused after the given seconds
    # Time.
    DELAY = "delay"
    HANG = "hang"
    # The process at the other end of the connection.
    KILL = "kill"
    FREEZE = "freeze"
    THAW = "thaw"
    # The connection.
    CLOSE = "close"
    RESET = "reset"
    # A header of the answer that follows.
    RETRY_AFTER = "retry_after"
    RETRY_AFTER_DATE = "retry_after_date"
    # Answers.
    OK = "ok"  # 200 with what was done in this call, or, to a look-up, with what is known
    STATUS = "status"
    ACCEPTED = "accepted"  # 202, status pending
    CLAIM = "claim"  # 200 charged, although nothing may have been charged
    UNKNOWN_STATUS = "unknown_status"
    EMPTY = "empty"
    NO_CONTENT = "no_content"
    ARRAY = "array"
    INVALID_UTF8 = "invalid_utf8"
    MAINTENANCE = "maintenance"
    REDIRECT = "redirect"
    CUT_SHORT = "cut_short"  # Content-Length promises more than is sent
    CUT_HEAD = "cut_head"  # the connection ends within the headers
    NOT_HTTP = "not_http"
    BAD_ENCODING = "bad_encoding"  # Content-Encoding: gzip over bytes that are not gzip
    TOO_LONG = "too_long"  # a body of the given bytes
    DRIP = "drip"  # a byte each given seconds, without end
    # Answers to a look-up.
    SAY_PENDING = "say_pending"
    NOT_FOUND = "not_found"
    NOT_FOUND_FOR = "not_found_for"  # 404 until the given seconds have passed since the recharge was carried out


class Scenario(StrEnum):
    """Whole behaviours that have a name of their own."""

    EXTERNAL_SERVER_ERROR = "externalServerError"
    SHUT_DOWN_UNEXPECTEDLY = "shutDownUnexpectedly"


SCENARIOS: dict[str, str] = {
    Scenario.EXTERNAL_SERVER_ERROR: "status:500",
    Scenario.SHUT_DOWN_UNEXPECTEDLY: "charge+kill",
}
DEFAULT_POST = "charge+ok"
DEFAULT_LOOKUP = "ok"


@dataclass(frozen=True, slots=True)
class _Parameter:
    """The number that may follow a step's name."""

    default: float | None
    minimum: float
    maximum: float
    required: bool = False


_SECONDS_MAX = 86_400.0
_PARAMETERS = {
    StepName.DELAY: _Parameter(None, 0.0, _SECONDS_MAX, required=True),
    StepName.ACCEPT: _Parameter(None, 0.0, _SECONDS_MAX),
    StepName.ACCEPT_THEN_REFUSE: _Parameter(None, 0.0, _SECONDS_MAX, required=True),
    StepName.RETRY_AFTER: _Parameter(None, 0.0, _SECONDS_MAX, required=True),
    StepName.RETRY_AFTER_DATE: _Parameter(None, 0.0, _SECONDS_MAX, required=True),
    StepName.STATUS: _Parameter(None, 200, 599, required=True),
    StepName.TOO_LONG: _Parameter(64 * 1024 * 1024, 1, 1024 * 1024 * 1024),
    StepName.DRIP: _Parameter(1.0, 0.001, _SECONDS_MAX),
    StepName.NOT_FOUND_FOR: _Parameter(None, 0.0, _SECONDS_MAX, required=True),
}
_MONEY = {StepName.CHARGE, StepName.REFUSE, StepName.ACCEPT, StepName.ACCEPT_THEN_REFUSE}
_LOOKUP_ANSWERS = {StepName.SAY_PENDING, StepName.NOT_FOUND, StepName.NOT_FOUND_FOR}
_NOT_ANSWERS = _MONEY | {
    StepName.DELAY,
    StepName.HANG,
    StepName.KILL,
    StepName.FREEZE,
    StepName.THAW,
    StepName.CLOSE,
    StepName.RESET,
    StepName.RETRY_AFTER,
    StepName.RETRY_AFTER_DATE,
}
ANSWERS = set(StepName) - _NOT_ANSWERS
SIGNALS = {StepName.KILL, StepName.FREEZE, StepName.THAW}
_ENDS = ANSWERS | {StepName.CLOSE, StepName.RESET, StepName.HANG, StepName.KILL}
_ENDLESS = {StepName.HANG, StepName.DRIP}


@dataclass(frozen=True, slots=True)
class Step:
    """One step and its number (seconds, status or bytes, as the step has it)."""

    name: StepName
    value: float | None


@lru_cache(maxsize=1024)
def parse_behaviour(text: str, kind: RequestKind) -> tuple[Step, ...]:
    """The steps of a behaviour. Raises BehaviourError."""
    spelled_out = SCENARIOS.get(text, text)
    steps = tuple(_parse_step(part, text) for part in spelled_out.split("+"))
    names = [step.name for step in steps]
    foreign = _LOOKUP_ANSWERS if kind is RequestKind.POST else _MONEY
    if wrong := [name for name in names if name in foreign]:
        raise BehaviourError(f"behaviour {text!r}: {wrong[0]} is not for a {kind}")
    if not any(name in _ENDS for name in names):
        raise BehaviourError(f"behaviour {text!r} does not say how the call ends, as charge+delay:0.5+ok does")
    if any(name in _ENDLESS for name in names[:-1]):
        raise BehaviourError(f"behaviour {text!r}: nothing can follow a step without an end")
    answer_positions = [position for position, name in enumerate(names) if name in ANSWERS]
    if len(answer_positions) > 1:
        raise BehaviourError(f"behaviour {text!r} answers more than once")
    if answer_positions and {StepName.CLOSE, StepName.RESET} & set(names[: answer_positions[0]]):
        raise BehaviourError(f"behaviour {text!r} answers after the connection has ended")
    return steps


def _parse_step(part: str, text: str) -> Step:
    name_text, colon, value_text = part.partition(":")
    try:
        name = StepName(name_text)
    except ValueError:
        known = ", ".join([*StepName, *Scenario])
        raise BehaviourError(f"behaviour {text!r}: {name_text!r} is unknown; there are {known}") from None
    parameter = _PARAMETERS.get(name)
    if not colon:
        if parameter is not None and parameter.required:
            raise BehaviourError(f"behaviour {text!r}: {name} needs a number, as {name}:{parameter.maximum:g} has it")
        return Step(name, None if parameter is None else parameter.default)
    if parameter is None:
        raise BehaviourError(f"behaviour {text!r}: {name} takes no number")
    try:
        value = float(value_text)
    except ValueError:
        raise BehaviourError(f"behaviour {text!r}: {value_text!r} is not a number") from None
    if not parameter.minimum <= value <= parameter.maximum:
        limits = f"{parameter.minimum:g} to {parameter.maximum:g}"
        raise BehaviourError(f"behaviour {text!r}: {name} takes a number from {limits}")
    return Step(name, value)


@dataclass(frozen=True, slots=True)
class Rule:
    """Which requests a behaviour is for; a field that is None matches any. The first rule that matches is used.

    `number` is the n-th request of its kind of one reference; `count` limits how many requests the rule is used for.
    Raises BehaviourError where the behaviour cannot be read.
    """

    behaviour: str
    on: RequestKind = RequestKind.POST
    reference: str | None = None
    prefix: str | None = None
    number: int | None = None
    count: int | None = None

    def __post_init__(self) -> None:
        """Refuse a behaviour that cannot be read where the rule is written, not where it is used."""
        parse_behaviour(self.behaviour, self.on)

    def matches(self, kind: RequestKind, reference: str, number: int) -> bool:
        """Whether the rule is for this request, its use count left aside."""
        return (
            self.on is kind
            and self.reference in {None, reference}
            and (self.prefix is None or reference.startswith(self.prefix))
            and self.number in {None, number}
        )

    def as_json(self) -> dict[str, Any]:
        """The rule as the control API and the journal write it."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: object) -> Self:
        """The rule that `as_json` wrote. Raises BehaviourError."""
        if not isinstance(value, dict):
            raise BehaviourError(f"a rule is a JSON object, not {value!r}")
        try:
            return cls(**{**value, "on": RequestKind(value.get("on", RequestKind.POST))})
        except BehaviourError:
            raise
        except (TypeError, ValueError) as error:
            raise BehaviourError(f"the rule {value!r} cannot be read: {error}") from None
