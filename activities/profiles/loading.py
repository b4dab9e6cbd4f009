"""How a profile is chosen: a module named by RECHARGE_PROVIDER__PROFILE, imported and checked once, when a worker starts."""

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from activities import profile
from activities.profiles.messages import Answer, Call, LookupReading, Received, Request
from recharge.settings import ProviderSettings

_SETTING = "RECHARGE_PROVIDER__PROFILE"


class _ReadAnswer(Protocol):
    def __call__(
        self, settings: ProviderSettings, received: Received, *, after_unknown: bool, now_utc: datetime
    ) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Profile:
    """The functions of a profile: what is sent, and what the answers mean."""

    request: Callable[[ProviderSettings, Call], Request]
    read_answer: _ReadAnswer
    read_lookup: Callable[[ProviderSettings, Received, str], LookupReading]
    lookup_request: Callable[[ProviderSettings, str], Request]


def load(settings: ProviderSettings) -> Profile:
    """Import the profile's module and take its functions. One without a `lookup_request` asks as the standard profile does.

    Raises:
        ValueError: it cannot be imported, lacks a function, or has one that takes other arguments; the text names the setting.
    """
    name = settings.profile
    try:
        module = importlib.import_module(name)
    except Exception as error:  # the module is somebody's own code, which may fail in any way
        raise ValueError(f"{_SETTING}: {name} cannot be imported: {error} ({type(error).__name__})") from error

    def function(wanted: str, *arguments: object, default: Callable[..., Any] | None = None, **named: object) -> Any:  # noqa: ANN401
        found = getattr(module, wanted, default)
        if not callable(found) or inspect.iscoroutinefunction(found):
            raise ValueError(f"{_SETTING}: {name} has no function {wanted}; it needs request, read_answer, read_lookup")
        try:
            inspect.signature(found).bind(*arguments, **named)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{_SETTING}: {name}.{wanted} takes other arguments than it is given: {error}") from None
        return found

    call = Call("reference", b"{}", None, 0.0, after_unknown=False)
    received = Received(200, {}, b"")
    return Profile(
        request=function("request", settings, call),
        read_answer=function("read_answer", settings, received, after_unknown=False, now_utc=datetime.now(UTC)),
        read_lookup=function("read_lookup", settings, received, call.reference),
        lookup_request=function("lookup_request", settings, call.reference, default=profile.lookup_request),
    )
