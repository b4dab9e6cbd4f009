"""`recharge resolve --list`: what waits for a person, and the command that decides it."""

from activities.ledger import Waiting
from operations.telling import Discretion, Json, amount, time
from operations.web_ui import WebUi

LISTED_MAX = 1000
"""Records that one list shows. The oldest come first, so the rest is seen when those are decided."""


def command(waiting: Waiting) -> str:
    """The command to type."""
    return f"recharge resolve {waiting.workflow_id} --charged|--not-charged|--skip --by WHO --note WHY"


def as_json(waiting: Waiting, discretion: Discretion, web_ui: WebUi | None = None) -> dict[str, Json]:
    """One record that waits, as a JSON object. `web_ui` leads to its workflow, where we know the address of one."""
    return {
        "workflow_id": waiting.workflow_id,
        "state": waiting.state.value,
        "reason": discretion.text(waiting.reason),
        "last_said": discretion.text(waiting.last_said),
        "call_said": discretion.text(waiting.call_said),
        "lookup_said": discretion.text(waiting.lookup_said),
        "operation_type": waiting.operation_type,
        "donor": discretion.phone(waiting.donor),
        "receiver": discretion.phone(waiting.receiver),
        "amount": amount(waiting.amount),
        "currency": waiting.currency,
        "created_at": time(waiting.created_at),
        "waits_since": time(waiting.waits_since),
        "waits_s": round(waiting.waits_s, 3),
        "command": command(waiting),
        "web_ui_url": None if web_ui is None else web_ui.link(waiting.workflow_id),
    }
