"""`recharge pause` and `recharge resume`: a person throws the switch of a source's intake."""

from temporalio.client import Client
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from ingest import pause as pauses
from ingest.pause import Pause
from operations.errors import Refused
from operations.telling import Discretion
from recharge.text import printable


async def standing(client: Client, source: str) -> Pause | None:
    """The pause that lasts, or None where the intake is not paused.

    Raises RPCError where Temporal gives no answer.
    """
    try:
        return await pauses.read(client, source)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise


async def pause(client: Client, source: str, *, by: str, note: str, discretion: Discretion) -> str:
    """Pause the intake, and tell what that means.

    Raises Refused where it is paused already, RPCError where Temporal gives no answer.
    """
    try:
        await pauses.begin(client, source, by=by, note=note)
    except WorkflowAlreadyStartedError as error:
        found = await standing(client, source)
        raise Refused(f"the intake of {source} is paused already{_told(found, discretion)}") from error
    return f"the intake of {source} is paused: what was started goes on, nothing new is started until `recharge resume`"


async def resume(client: Client, source: str, *, by: str, note: str, discretion: Discretion) -> str:
    """Let the intake go on, and tell which pause that ended.

    Raises Refused where it is not paused, RPCError where Temporal gives no answer.
    """
    found = await standing(client, source)
    if found is None:
        raise Refused(f"the intake of {source} is not paused")
    try:
        await pauses.end(client, source, found, by=by, note=note)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise Refused(f"the intake of {source} is not paused any more: somebody else has resumed it") from error
        raise
    return f"the intake of {source} goes on; it was paused{_told(found, discretion)}"


def _told(found: Pause | None, discretion: Discretion) -> str:
    return "" if found is None else f" {printable(discretion.text(str(found)) or '')}"
