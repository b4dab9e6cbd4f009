"""Which offsets of a partition hold neither a record nor a row, and whether that is in order. Pure."""

from collections.abc import Iterator

from operations.audit.facts import PartitionFacts


def in_log_gaps(missing: range, partition: PartitionFacts) -> int:
    """How many of these offsets the log shows to hold no record: markers of transactions, and records of aborted ones."""
    if not partition.gaps_are_proof:
        return 0
    inside = _cut(missing, partition.first, partition.end)
    return len(inside) - sum(len(_cut(inside, gone.start, gone.stop)) for gone in partition.deleted)


def gone_gaps(missing: range, partition: PartitionFacts) -> Iterator[range]:
    """The offsets among these of which nobody can say any more what they held, in neighbouring ranges, but for accepted ones.

    Those are the offsets that the log does not hold any more; those that were deleted while the audit read; and every missing one
    of a compacted topic.
    """
    if partition.committed is None:
        return  # The group has begun nothing.
    if partition.gaps_are_proof:
        pieces = [_cut(missing, partition.begin, partition.first)]
        pieces += [_cut(missing, max(gone.start, partition.begin), gone.stop) for gone in partition.deleted]
    else:
        pieces = [_cut(missing, partition.begin, max(partition.first, partition.committed))]
    for piece in pieces:
        yield from _without(piece, partition)


def is_accepted(offset: int, partition: PartitionFacts) -> bool:
    """Whether a person has accepted this offset as lost."""
    return any(offset in accepted for accepted in partition.accepted)


def _without(piece: range, partition: PartitionFacts) -> Iterator[range]:
    start = piece.start
    for accepted in sorted(partition.accepted, key=lambda each: each.start):
        if before := _cut(piece, start, accepted.start):
            yield before
        start = max(start, accepted.stop)
    if rest := _cut(piece, start, piece.stop):
        yield rest


def _cut(offsets: range, start: int, stop: int) -> range:
    """The part of a range that lies between two offsets."""
    begin = max(offsets.start, start)
    return range(begin, max(begin, min(offsets.stop, stop)))
