"""An operator's day on the local stack, played and written down: `make walkthrough` writes docs/walkthrough.md anew.

Whatever stands in that page as output was printed by the command above it, in this run. The prose between is ours, and each step waits
for what it speaks of, so that a step whose outcome is another one ends the run.
"""

import argparse
import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from devstack.errors import DevstackError
from devstack.processes import ManagedProcess
from devstack.simulator.client import Rule
from devstack.site import Site
from devstack.stack import Devstack
from devstack.walk import TIMEOUT_S, Walk

PAGE: Final = Path(__file__).parent.parent / "docs" / "walkthrough.md"
DEPLOYMENT: Final = "recharge"
_PROFILE: Final = {
    "RECHARGE_INGEST__ORDERING": "account",
    "RECHARGE_PROVIDER__DUPLICATE_PROTECTION": "none",
    "RECHARGE_PROVIDER__TIMEOUT_S": "5",
    "RECHARGE_PROVIDER__PROCESSING_TIME_S": "60",
}
_INTRODUCTION: Final = """# A day with recharge

A provider outage, a poison record, a record in doubt, a rolling deploy and a lost broker, one after another on the local stack, with what
the operator did and saw at each. `make walkthrough` played it on {date} and wrote this page: every block of output is what the
command above it printed. [The runbook](runbook.md) has the same commands by question. The service runs in the order `account`, against a
provider that offers no look-up, so that a doubt waits for a person."""
_STATED: Final = ("--charged", "--by", "Ann", "--note", "it stands in the statement")


def topup(number: int, amount: str = "10.00") -> dict[str, Any]:
    """A record of a customer of its own."""
    return {
        "operationType": "OneShotTransfer",
        "phoneNumberDonor": f"+346111{number:05d}",
        "phoneNumberReceiver": f"+346222{number:05d}",
        "amount": amount,
        "currency": "EUR",
        "requestId": f"walk-{number}",
    }


async def morning(walk: Walk) -> ManagedProcess:
    """The service comes up and carries three records out."""
    walk.title("The morning: all is well")
    walk.say("Build 1.0 is started and made the current one of its deployment. Three customers top up.")
    process = walk.site.spawn("run", "--deployment", DEPLOYMENT, "--build-id", "1.0")
    await walk.until_logged(process, "this build is not current")
    walk.show_log(process, "this build is not current")
    await _make_current(walk, "1.0")
    await walk.until_logged(process, "this build is current")
    await walk.send(topup(0), topup(1, "5.50"), topup(2))
    await walk.until_states(succeeded=3)
    await walk.run("status")
    return process


async def outage(walk: Walk, process: ManagedProcess) -> None:
    """The provider dies and comes back."""
    walk.title("The provider is away")
    walk.say(
        "It accepts no connection any more. Nothing was sent, so nothing is in doubt and nothing is refused: the records wait, and "
        "Temporal tries them again. Nobody has to do anything here."
    )
    walk.stack.simulator.kill()
    await walk.send(topup(3), topup(4))
    await walk.until_states(retrying=2)
    await walk.until_logged(process, "the provider carries nothing out")
    walk.show_log(process, "the provider carries nothing out")
    await walk.run("status")
    await walk.run("show", walk.workflow_id(3))
    walk.say("The provider is back, and so are they:")
    await walk.stack.simulator.restart()
    await walk.until_states(retrying=0, succeeded=5)
    await walk.run("status")


async def poison(walk: Walk) -> None:
    """A record that nobody can read."""
    walk.title("A record that cannot be read")
    walk.say(
        "An app sends half a record. It is final at once, as `invalid`, with its bytes on the dead-letter topic; those behind it go on."
    )
    await walk.send(b'{"operationType": "OneShotTransfer", "amount": 10.0', topup(5))
    await walk.until_states(invalid=1, succeeded=6)
    await walk.run("show", walk.workflow_id(5))


async def doubt(walk: Walk) -> None:
    """A record whose outcome only the provider knows, and a person's decision."""
    walk.title("A record in doubt")
    reference = walk.workflow_id(7)
    walk.say(
        "The provider answers 500 to one call. It may have charged the customer; nobody on this side can know. The customer's next "
        "recharge waits behind it, everybody else's goes on."
    )
    await walk.stack.simulator.client.set_rules(Rule("charge+status:500", reference=reference))
    await walk.send(topup(6, "20.00"), topup(6, "7.00") | {"requestId": "walk-6b"}, topup(7))
    await walk.until_states(in_doubt=1, succeeded=7)
    await walk.run("status")
    await walk.run("resolve", "--list")
    walk.say(
        "Ann believes that it failed and says so. While the provider may still be at it nobody can know that, and the refusal says "
        "from when on the word is taken:"
    )
    await walk.run("resolve", reference, "--not-charged", "--by", "Ann", "--note", "the app showed an error", status=1)
    walk.say("The provider's statement tells her better:")
    statement = await walk.stack.simulator.client.statement(reference)
    walk.say("\n".join(f"    {line}" for line in statement.strip().splitlines()))
    await walk.run("resolve", reference, *_STATED)
    await walk.until_states(in_doubt=0, succeeded=9)
    await walk.run("show", reference)


async def deploy(walk: Walk, old: ManagedProcess) -> ManagedProcess:
    """Build 1.1 takes over while a record waits."""
    walk.title("A rolling deploy")
    reference = walk.workflow_id(10)
    walk.say(
        "Another record is in doubt when release 1.1 is due. The new build is asked first whether it can go on with what is open:"
    )
    await walk.stack.simulator.client.set_rules(Rule("charge+status:500", reference=reference))
    await walk.send(topup(8))
    await walk.until_states(in_doubt=1)
    await walk.run("replay")
    walk.say("It can. The new process comes up beside the old one, is made current, and the old one is stopped:")
    new = walk.site.spawn("run", "--deployment", DEPLOYMENT, "--build-id", "1.1")
    await walk.until_logged(new, "this build is not current")
    await _make_current(walk, "1.1")
    await walk.until_logged(new, "this build is current")
    if (ended := await old.terminate(TIMEOUT_S)) != 0:
        raise DevstackError(f"the old build ended with {ended}")
    await walk.send(topup(9))
    await walk.until_states(in_doubt=1, succeeded=10)
    await walk.run("status")
    walk.say("The record that waited since 1.0 is decided, and 1.1 makes it final:")
    await walk.run("resolve", reference, *_STATED)
    await walk.until_states(in_doubt=0, succeeded=11)
    return new


async def broker(walk: Walk, process: ManagedProcess) -> None:
    """The broker dies and comes back."""
    walk.title("A lost broker")
    walk.say(
        "Kafka is killed. What was started goes on; nothing new is read. The log says so once, and once that it is over:"
    )
    await walk.stack.kafka.process.kill_and_wait()
    await walk.until_logged(process, "Kafka cannot be used")
    await walk.stack.kafka.start()
    await walk.send(topup(10))
    await walk.until_states(succeeded=12)
    await walk.until_logged(process, "Kafka can be used again")
    walk.show_log(process, "Kafka cannot be used", "Kafka can be used again")


async def evening(walk: Walk) -> None:
    """The audit."""
    walk.title("The evening: was anything charged twice, or lost?")
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        file.write(await walk.stack.simulator.client.statement(f"{walk.site.source}:"))
        file.flush()
        await walk.run("audit", "--statement", file.name, shown="recharge audit --statement statement.csv")


async def _make_current(walk: Walk, build_id: str) -> None:
    await walk.temporal(
        "worker", "deployment", "set-current-version", "--deployment-name", DEPLOYMENT, "--build-id", build_id
    )


@contextlib.asynccontextmanager
async def _site(console: Console) -> AsyncIterator[tuple[Devstack, Site]]:
    with tempfile.TemporaryDirectory(prefix="recharge-walk-", ignore_cleanup_errors=True) as folder:
        async with Devstack(Path(folder), lambda text: console.print(f"[dim]{text}[/dim]")) as stack:
            site = await stack.site("", partitions=1, profile=_PROFILE)
            if (ended := await site.spawn("migrate").wait(TIMEOUT_S)) != 0:
                raise DevstackError(f"recharge migrate ended with {ended}")
            yield stack, site


async def play() -> str:
    """Play the day and return the page.

    Raises:
        DevstackError: where a step does not end as it is told.
    """
    console = Console(stderr=True)
    async with _site(console) as (stack, site):
        walk = Walk(stack, site, console, _INTRODUCTION)
        process = await morning(walk)
        await outage(walk, process)
        await poison(walk)
        await doubt(walk)
        process = await deploy(walk, process)
        await broker(walk, process)
        await evening(walk)
        await process.terminate(TIMEOUT_S)
        return walk.page


def main() -> None:
    """Write the page. There are no options, so `--help` says what this does instead of doing it."""
    argparse.ArgumentParser(prog="python -m devstack.walkthrough", description=__doc__).parse_args()
    PAGE.write_text(asyncio.run(play()))
    Console(stderr=True).print(f"written: {PAGE}", soft_wrap=True)


if __name__ == "__main__":
    main()
