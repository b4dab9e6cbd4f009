"""`recharge produce`: sends records to the topic from a file or from what is typed."""

import sys
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from app.environment import ProduceEnvironment
from ingest.kafka import RecordWriter
from recharge.problem import Problem


class ProduceProblem(Problem):
    """What was to be sent cannot be read. Its text is one line."""


async def run(
    settings: ProduceEnvironment, file: Path | None, *, key: str | None, partition: int | None
) -> AsyncIterator[str]:
    """Send each line as one record, byte for byte, and tell where it was written once every in-sync replica has it.

    Lines are not checked: what a producer sends by mistake has to be sendable, too. Empty lines are passed over.

    Raises ProduceProblem where the file cannot be read, KafkaProblem where a record may not have been written.
    """
    writer = RecordWriter(settings.kafka)
    try:
        await writer.start()
        for line in _lines(file):
            value = line.rstrip(b"\r\n")
            if not value:
                continue
            written = await writer.write(
                settings.kafka.topic, None if key is None else key.encode(), value, [], partition=partition
            )
            yield f"{settings.kafka.topic} partition {written.partition} offset {written.offset}"
    finally:
        await writer.stop()


def _lines(file: Path | None) -> Iterable[bytes]:
    if file is None:
        yield from sys.stdin.buffer
        return
    try:
        with file.open("rb") as opened:
            yield from opened
    except OSError as error:
        raise ProduceProblem(f"{file} cannot be read: {error.strerror}") from error
