"""When commits are made: every fifth of a second, where something changed; once more before partitions are given back, and at the end."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeAlias

import structlog

from ingest.assignment import Assignment
from ingest.commit_offset import Commit
from ingest.kafka import RecordReader
from ingest.kafka_words import AssignmentLost, KafkaProblem, MetadataTooLarge
from ingest.outage import Outage
from ingest.partition import AssignedPartition
from recharge import instruments, limits, telemetry

_LAST_COMMIT_TIMEOUT_S = 3.0
"""What a commit may take in a rebalance or at the end. What is not committed then is only looked at again."""

Commits: TypeAlias = dict[AssignedPartition, Commit]
_log = structlog.get_logger(__name__)


class Committer:
    """Commits what the partitions say, one commit at a time."""

    def __init__(
        self,
        assignment: Assignment,
        reader: RecordReader,
        in_background: Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"],
    ) -> None:
        self._assignment = assignment
        self._reader = reader
        self._in_background = in_background
        self._task: asyncio.Task[None] | None = None
        self._due_s = 0.0
        self._with_metadata = True
        self._outage = Outage(_log, "offsets cannot be committed; trying again", "offsets are committed again")

    def commit_if_due(self) -> None:
        """Begin a commit, where the last one is over and long enough ago, and there is something new."""
        if time.monotonic() < self._due_s or (self._task is not None and not self._task.done()):
            return
        if commits := self.due():
            self._due_s = time.monotonic() + limits.COMMIT_INTERVAL_S
            self._task = self._in_background(self._commit(commits, limits.KAFKA_CALL_TIMEOUT_S))

    def due(self) -> Commits:
        """What is to be committed for each partition that has something new."""
        found = {partition: partition.commit_due for partition in self._assignment if not partition.suspended}
        return {partition: commit for partition, commit in found.items() if commit is not None}

    async def commit_last(self, commits: Commits) -> None:
        """Commit once more, in the time that is left.

        Raises:
            KafkaProblem: a fatal one.
        """
        if self._task is not None:
            # An older commit that is tried again would come after this one, and move the offset back.
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if commits:
            await self._commit(commits, _LAST_COMMIT_TIMEOUT_S)

    async def _commit(self, commits: Commits, timeout_s: float) -> None:
        try:
            commits = await self._send(commits, timeout_s)
        except AssignmentLost as problem:
            telemetry.count(instruments.COMMITS, "refused")
            _log.info("commit refused", problem=str(problem))
        except KafkaProblem as problem:
            telemetry.count(instruments.COMMITS, "failed")
            if problem.fatal:
                raise
            self._outage.began(self, str(problem))
        else:
            telemetry.count(instruments.COMMITS, "done")
            self._outage.over(self)
            for partition, commit in commits.items():
                if partition.commit_done(commit):
                    _log.info("offset committed", partition=partition.number, commit_offset=commit.offset)

    async def _send(self, commits: Commits, timeout_s: float) -> Commits:
        """Commit, and return what was committed: without metadata where the broker takes none as long as ours."""
        if self._with_metadata:
            try:
                return await self._sent(commits, timeout_s)
            except MetadataTooLarge as problem:
                self._with_metadata = False
                _log.warning("completed ranges are not kept", problem=str(problem))
        return await self._sent({each: replace(commit, metadata="") for each, commit in commits.items()}, timeout_s)

    async def _sent(self, commits: Commits, timeout_s: float) -> Commits:
        for partition, commit in commits.items():
            partition.commit_tried(commit)
        named = {partition.number: (commit.offset, commit.metadata) for partition, commit in commits.items()}
        await self._reader.commit(named, timeout_s=timeout_s)
        return commits
