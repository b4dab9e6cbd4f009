"""The service's own audit of a swept site: every record so far, against the topic, the offsets, the ledger, Temporal and the statement."""

import io
from dataclasses import dataclass

from temporalio.client import Client

from activities.ledger import AuditReader
from devstack.site import Site
from devstack.stack import Devstack
from operations.audit import Books, Statement
from operations.audit import run as run_audit
from recharge.settings import KafkaSettings

_KAFKA = "RECHARGE_KAFKA__"


@dataclass(frozen=True, slots=True)
class Auditor:
    """Whoever audits one site, as its service's settings name it."""

    stack: Devstack
    site: Site
    client: Client

    @classmethod
    async def of(cls, stack: Devstack, site: Site) -> "Auditor":
        """An auditor with a connection to Temporal."""
        return cls(stack, site, await Client.connect(stack.temporal.address, namespace=stack.temporal.namespace))

    async def violations(self) -> list[str]:
        """Every promise that the audit says is broken, each in one line; none where all were kept."""
        settings = self.site.environment
        kafka = {name.removeprefix(_KAFKA).lower(): text for name, text in settings.items() if name.startswith(_KAFKA)}
        ledger = AuditReader(settings["RECHARGE_MYSQL__URL"])
        try:
            asked_at = await ledger.now()
            prefix = f"{self.site.source}:{self.site.topic}:"
            csv = io.BytesIO((await self.stack.simulator.client.statement(prefix)).encode())
            books = Books(KafkaSettings.model_validate(kafka), ledger, self.client)
            report = await run_audit(books, statement=Statement("the simulator's statement", csv, asked_at))
        finally:
            await ledger.close()
        return [f"audit: {each.promise}, {each.workflow_id}: {each.problem}" for each in report.violations]
