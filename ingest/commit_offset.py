"""How far a partition is done: what was fetched, what became final, and which offset may be committed.

Each quantity is defined here and nowhere else. Offsets have gaps: transaction markers take an offset, and aborted records are not
delivered, so nothing is computed by adding one to an offset.
"""

from collections import deque


class PartitionProgress:
    """The progress of one partition under one assignment.

    - *start*: the offset at which the assignment began to read.
    - *position*: the offset from which Kafka fetches next. Every record below it was either handed over or will never be.
    - *fetched*: a record that Kafka handed over under this assignment.
    - *final*: a fetched record in a final state, in the ledger, its dead letter (if it has one) acknowledged.
    - *commit offset*: the offset of the lowest fetched record that is not final; where there is none, the position.
    - *final beyond*: the final records above the commit offset. They are what a restart would otherwise look at again.
    """

    def __init__(self, start: int) -> None:
        self.start = start
        self._position = start
        self._not_passed: deque[int] = deque()
        self._final_beyond: set[int] = set()

    @property
    def position(self) -> int:
        """The offset from which Kafka fetches next."""
        return self._position

    @property
    def open_count(self) -> int:
        """How many fetched records are not final."""
        return len(self._not_passed) - len(self._final_beyond)

    @property
    def final_beyond_count(self) -> int:
        """How many records above the commit offset are final."""
        return len(self._final_beyond)

    @property
    def commit_offset(self) -> int:
        """The offset that may be committed: every record below it is final."""
        return self._not_passed[0] if self._not_passed else self._position

    def fetched(self, offset: int) -> None:
        """Note a record that Kafka handed over.

        Raises:
            ValueError: the offset lies below the position, so the record was handed over before.
        """
        if offset < self._position:
            raise ValueError(f"offset {offset} was fetched below the position {self._position}")
        self._not_passed.append(offset)
        self._position = offset + 1

    def moved_on(self, position: int) -> None:
        """Note the position after a batch, which lies beyond its last record where aborted records or markers follow.

        Raises:
            ValueError: the position went backwards.
        """
        if position < self._position:
            raise ValueError(f"the position went back from {self._position} to {position}")
        self._position = position

    def final(self, offset: int) -> None:
        """Note that a fetched record became final.

        Raises:
            ValueError: it was not fetched, or is final already.
        """
        if (
            not self._not_passed
            or offset < self._not_passed[0]
            or offset >= self._position
            or offset in self._final_beyond
        ):
            raise ValueError(f"offset {offset} became final without being fetched and open")
        self._final_beyond.add(offset)
        while self._not_passed and self._not_passed[0] in self._final_beyond:
            self._final_beyond.remove(self._not_passed.popleft())
