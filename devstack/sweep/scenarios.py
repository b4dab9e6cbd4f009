"""The ways of a record that are swept, and where each must end."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

PROFILE: Final = MappingProxyType(
    {
        # A doubt ends soon: the simulator carries nothing out after its caller has gone.
        "RECHARGE_PROVIDER__TIMEOUT_S": "2",
        "RECHARGE_PROVIDER__PROCESSING_TIME_S": "0",
        "RECHARGE_PROVIDER__LOOKUP_FIRST_AFTER_S": "0.2",
        # A killed intake that comes back under its name has its partition at once, instead of after a session's time-out.
        "RECHARGE_KAFKA__GROUP_INSTANCE_ID": "sweep",
    }
)
"""The settings of a swept service, over those of its site."""


@dataclass(frozen=True, slots=True)
class Expected:
    """How a record must end, however often the service died: its final state, and how many charges and dead letters are its own."""

    state: str
    charges: int
    has_letter: bool


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way of a record.

    `simulate` is what the provider does with its POSTs, one after the other; later ones are charged. Without `can_look_up` the
    provider cannot be asked, and a person decides what is in doubt.
    `timeout_s` is how long a call may take, where the profile's time is too short.
    """

    name: str
    simulate: tuple[str, ...]
    expected: Expected
    is_readable: bool = True
    can_look_up: bool = True
    timeout_s: float | None = None

    @property
    def settings(self) -> Mapping[str, str]:
        """What the service is told about the provider, over the profile."""
        promised = {"RECHARGE_PROVIDER__DUPLICATE_PROTECTION": "lookup" if self.can_look_up else "none"}
        longest = {} if self.timeout_s is None else {"RECHARGE_PROVIDER__TIMEOUT_S": f"{self.timeout_s:g}"}
        return promised | longest

    def value(self, number: int) -> bytes:
        """The value of the record that is produced as the site's `number`-th: no two have the same amount."""
        if not self.is_readable:
            return f"not JSON, number {number}".encode()
        fields = {
            "operationType": "OneShotTransfer",
            "phoneNumberDonor": "34600111222",
            "phoneNumberReceiver": "34600333444",
            "amount": f"{number + 1}.25",
        }
        return json.dumps(fields | ({"simulate": list(self.simulate)} if self.simulate else {})).encode()


_SUCCEEDED: Final = Expected("succeeded", charges=1, has_letter=False)

CHARGED: Final = Scenario("charged", (), _SUCCEEDED)
SCENARIOS: Final = (
    CHARGED,
    Scenario("unknown", ("charge+status:500",), _SUCCEEDED),
    Scenario("refused", ("refuse+ok", "refuse+ok"), Expected("rejected", charges=0, has_letter=True)),
    Scenario("retried", ("status:429", "charge+ok"), _SUCCEEDED),
    Scenario("invalid", (), Expected("invalid", charges=0, has_letter=True), is_readable=False),
    Scenario("resolved", ("charge+status:500",), _SUCCEEDED, can_look_up=False),
    Scenario("slow", ("charge+delay:2.5+ok",), _SUCCEEDED, timeout_s=5),
)
"""Charged at once; answered 500 and then looked up; refused for good; turned away once and sent again; not readable; answered 500 and then
resolved by a person; charged, and answered so late that the call leaves its workflow task."""
