"""Producing a rejected or invalid record anew, after its cause was mended.

The new record carries the old one's id in a header. That id is a claim, so of two copies only one is carried out: a person who gives the
command twice, or whose command was cut off, cannot pay twice. A copy that is redriven in its turn hands on the id that it carries itself:
under an id of its own, its copy could be carried out beside another copy of the same record.
"""

from activities.ledger import LedgerError, OperatorLedger
from ingest.kafka import KafkaRecord, RecordWriter, scan
from ingest.kafka_words import KafkaProblem
from operations.decide import Line
from recharge.contract import REDRIVE_HEADER, Position
from recharge.late_evidence import is_late_charge
from recharge.outcome import DEAD_LETTER_STATES
from recharge.record import redriven_id
from recharge.settings import KafkaSettings

_WORKFLOW_ID_HEADER = "recharge-workflow-id"


class Redriver:
    """Redrives the records of one command."""

    def __init__(self, ledger: OperatorLedger, kafka: KafkaSettings, writer: RecordWriter) -> None:
        self._ledger = ledger
        self._kafka = kafka
        self._writer = writer

    async def redrive(self, position: Position, *, by: str, note: str) -> Line:
        """Produce one record anew, in its own partition. Whatever goes wrong is told in the line."""
        workflow_id = position.workflow_id
        try:
            return await self._redrive(position, by=by, note=note)
        except (LedgerError, KafkaProblem) as error:
            return Line(workflow_id, done=False, text=f"not redriven: {error}")

    async def _redrive(self, position: Position, *, by: str, note: str) -> Line:
        workflow_id = position.workflow_id
        story = await self._ledger.story(workflow_id)
        if story is None:
            return Line(workflow_id, done=False, text="refused: the ledger has no such record")
        if story.state not in DEAD_LETTER_STATES:
            return Line(
                workflow_id,
                done=False,
                text=f"refused: it is {story.state}; only rejected and invalid records are redriven",
            )
        if any(is_late_charge(attempt["late_outcome"]) for attempt in story.attempts):
            said = "refused: an answer that came late says that it was carried out; ask the provider first"
            return Line(workflow_id, done=False, text=said)
        key, value, repeats = story.record["raw_key"], story.record["raw_value"], story.record["redrive_of"]
        if len(key or b"") + len(value or b"") < story.record["size_bytes"]:
            letter = await self._dead_letter(workflow_id)
            if letter is None:
                where = self._kafka.dead_letters
                return Line(
                    workflow_id,
                    done=False,
                    text=f"refused: the ledger has it cut or blanked, and {where} does not hold it any more",
                )
            key, value = letter.key, letter.value
            # Older releases did not write it into the row.
            repeats = repeats or redriven_id(letter.text_header(REDRIVE_HEADER))
        if key is None and value is None:
            return Line(
                workflow_id, done=False, text="refused: it has neither key nor value, so there is nothing to produce"
            )
        await self._ledger.record_redrive(workflow_id, by=by, note=note)
        headers = [(REDRIVE_HEADER, (repeats or workflow_id).encode())]
        written = await self._writer.write(position.topic, key, value, headers, partition=position.partition)
        copy = Position(position.source, position.topic, written.partition, written.offset)
        return Line(workflow_id, done=True, text=f"produced anew as {copy.workflow_id}")

    async def _dead_letter(self, workflow_id: str) -> KafkaRecord | None:
        """The whole record, as it stands on the dead-letter topic."""
        async for letter in scan(self._kafka, self._kafka.dead_letters):
            if (_WORKFLOW_ID_HEADER, workflow_id.encode()) in letter.headers:
                return letter
        return None
