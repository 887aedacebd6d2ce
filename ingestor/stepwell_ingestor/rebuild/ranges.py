"""The ranges of the log that a rebuild reads; pure functions.

A rebuild ends where the tables do: at the offset that the group has committed, or at the end of a plan that was found
there, whose rows may be stored already. Events after it are the ingestors'.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from stepwell_ingestor.errors import ReplayError
from stepwell_ingestor.kafka.log_metadata import LogIdentity
from stepwell_ingestor.positions.models import LogPosition, parse_plan

_REASON: Final = "rebuilt"


class PartitionLog(NamedTuple):
    """A partition in Kafka: its offsets [begin, end), and the group's commit with its plan, "" if there is none."""

    partition: int
    begin: int
    end: int
    committed: int | None
    plan: str = ""


class ReplayRange(NamedTuple):
    """The offsets [start, end) of a partition to replay, and the plan of a last flush, which begins at `end`.

    `removed`: offsets before `start` that Kafka no longer has. `skipped`: offsets that Kafka has, and that were left
    out on request.
    """

    partition: int
    start: int
    end: int
    plan: str = ""
    removed: int = 0
    skipped: int = 0

    @property
    def last(self) -> int:
        """The offset at which the rebuilt tables end."""
        return plan_end(self.plan) if self.plan else self.end

    @property
    def is_whole(self) -> bool:
        """True if the range begins with the first event that there ever was."""
        return self.start == 0


def plan_end(plan: str) -> int:
    """Return the end of the flush that a plan describes. Raises: ReplayError if it is none."""
    mark = parse_plan(plan)
    if mark is None:
        raise ReplayError(f"the group's commit has the metadata {plan!r}, which is no plan of an ingestor")
    return mark.end


def plan_ranges(
    logs: Iterable[PartitionLog], since: Mapping[int, int], stored: Mapping[int, int]
) -> tuple[ReplayRange, ...]:
    """Return the range of each partition.

    Args:
        logs: the partitions.
        since: by partition, a later offset to begin at than the first one.
        stored: by partition, the offset up to which the present tables are stored, as far as they say so. It counts
            where the group has committed less, for example since its offsets have expired or were reset.

    Raises:
        ReplayError: if an offset is out of the log, or a commit is.
    """
    known = list(logs)
    if unknown := sorted(since.keys() - {log.partition for log in known}):
        raise ReplayError(f"there is no partition {unknown[0]}: the topic has {len(known)}")
    return tuple(_plan_range(log, since.get(log.partition), stored.get(log.partition)) for log in known)


def _plan_range(log: PartitionLog, since: int | None, stored: int | None) -> ReplayRange:
    end, plan = _reached(log, stored)
    last = plan_end(plan) if plan else end
    if last > log.end:
        raise ReplayError(
            f"partition {log.partition} is ingested up to offset {last:,}, but the log ends at {log.end:,}: it was "
            "recreated, or has lost its end. Start an ingestor first, which notices that"
        )
    start = log.begin if since is None else since
    if not log.begin <= start <= max(end, log.begin):
        raise ReplayError(
            f"offset {start:,} of partition {log.partition} is not in what is ingested of the log, "
            f"{log.begin:,} to {max(end, log.begin):,}"
        )
    if end < log.begin:
        # Retention has removed even events that were never ingested.
        end, plan = log.begin, ""
    return ReplayRange(log.partition, start, end, plan, removed=log.begin, skipped=start - log.begin)


def _reached(log: PartitionLog, stored: int | None) -> tuple[int, str]:
    """Return how far a partition is ingested, and the plan of a flush from there on."""
    if log.committed is None:
        # A partition without any commit is empty in the tables too, or its group was forgotten.
        return (log.begin if stored is None else stored), ""
    if log.plan and (stored is None or stored <= plan_end(log.plan)):
        return log.committed, log.plan
    return max(log.committed, stored or 0), ""


def stored_ends(topic: str, log: LogIdentity, positions: Iterable[LogPosition]) -> dict[int, int]:
    """Return the offset up to which each partition of a topic is stored, by the positions in the present tables.

    Raises:
        ReplayError: if they are of another log than the topic's present one, or partitions were added to it.
    """
    own = [position for position in positions if position.topic == topic]
    if any(not position.is_of(log) for position in own):
        raise ReplayError(
            f"the topic {topic} is not the one that the tables were filled from; start an ingestor first, which begins "
            "a new epoch"
        )
    if any(position.log.partitions < log.partitions for position in own):
        raise ReplayError(
            f"partitions were added to the topic {topic}, so the order of its events is unknown; copy what is not "
            "stored to a new topic with `stepwell move-events`"
        )
    return {position.partition: position.end for position in own}


def seed_position(topic: str, log: LogIdentity, part: ReplayRange, own: LogPosition | None) -> LogPosition:
    """Return the position from which rebuilt tables begin: that of the present tables, at the start of the range.

    Epoch and base stay, so that rows which are stored later win, and a plan of the group is still one.
    """
    if own is None:
        return LogPosition(topic, part.partition, log, _REASON, first=part.start, end=part.start)
    return replace(
        own, log=log, reason=_REASON, first=part.start, end=part.start, holds_rows=False, boundaries=(), voided=()
    )


def describe(found: ReplayRange) -> str:
    """Return the range as a line of text."""
    text = f"partition {found.partition}: events {found.start:,} to {found.last:,}"
    if found.removed:
        text += f"; retention has removed the {found.removed:,} before offset {found.removed:,}"
    if found.skipped:
        text += f"; {found.skipped:,} left out"
    return text
