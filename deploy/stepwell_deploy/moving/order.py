"""The order in which the records of several partitions are copied; pure.

Each partition keeps its order. A session's records come in the order of their numbers, also if the session continued
in another partition after partitions were added. Otherwise the earlier record comes first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple


class RecordMark(NamedTuple):
    """A record's time in Kafka, its session ("" if it has none) and the number of its first record there."""

    timestamp: int
    session: str = ""
    sequence: int = 0


class _Place(NamedTuple):
    partition: int
    number: int


def merge_order(partitions: Mapping[int, Sequence[RecordMark]]) -> Iterator[int]:
    """Yield, for each record to copy, the partition whose next record it is.

    Args:
        partitions: by partition, its records in the order of its offsets.
    """
    before = _predecessors(partitions)
    heads = dict.fromkeys(partitions, 0)
    while ahead := [number for number, head in heads.items() if head < len(partitions[number])]:
        partition = min(ahead, key=lambda number: (partitions[number][heads[number]].timestamp, number))
        # A session's earlier record may wait in another partition, and that partition's next one for a third. A circle
        # needs producers that send out of order; it is cut where it closes.
        waiting = {partition}
        while (place := before.get(_Place(partition, heads[partition]))) is not None:
            if heads[place.partition] > place.number or place.partition in waiting:
                break
            partition = place.partition
            waiting.add(partition)
        heads[partition] += 1
        yield partition


def _predecessors(partitions: Mapping[int, Sequence[RecordMark]]) -> dict[_Place, _Place]:
    """Return, by record, the one of its session that comes before it and is in another partition."""
    sessions: dict[str, list[tuple[int, _Place]]] = defaultdict(list)
    for number, marks in partitions.items():
        for index, mark in enumerate(marks):
            if mark.session:
                sessions[mark.session].append((mark.sequence, _Place(number, index)))
    before: dict[_Place, _Place] = {}
    for records in sessions.values():
        records.sort()
        for (_, earlier), (_, later) in pairwise(records):
            if earlier.partition != later.partition:
                before[later] = earlier
    return before
