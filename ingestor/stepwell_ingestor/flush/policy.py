"""The policy that decides when a partition's buffer is flushed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FlushPolicy:
    """Flush a buffer when it holds `max_bytes`, or `max_seconds` after its first event arrived."""

    max_bytes: int
    max_seconds: float

    def is_due(self, buffered_bytes: int, first_at: float | None, now: float) -> bool:
        """Return True if it is time to flush; `first_at` is the arrival of the oldest event, None if there is none."""
        if first_at is None:
            return False
        return buffered_bytes >= self.max_bytes or now - first_at >= self.max_seconds


def count_next_flush(sizes: list[int], max_bytes: int) -> int:
    """Return the number of events in the next flush: at least one, and at most `max_bytes` in total."""
    total = 0
    for count, size in enumerate(sizes):
        total += size
        if count and total > max_bytes:
            return count
    return len(sizes)
