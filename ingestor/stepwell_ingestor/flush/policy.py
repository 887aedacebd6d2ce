"""When a partition's buffer is stored: a frozen policy, and a decision over plain figures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FlushPolicy:
    """A buffer is stored when it holds `max_bytes`, or `max_seconds` after its first event came."""

    max_bytes: int
    max_seconds: float

    def is_due(self, buffered_bytes: int, first_at: float | None, now: float) -> bool:
        """Say whether to store now; `first_at` is when the oldest buffered event came, None for an empty buffer."""
        if first_at is None:
            return False
        return buffered_bytes >= self.max_bytes or now - first_at >= self.max_seconds


def cut(sizes: list[int], max_bytes: int) -> int:
    """Return how many of the first events go into one flush: at least one, and no more than `max_bytes` of them."""
    total = 0
    for count, size in enumerate(sizes):
        total += size
        if count and total > max_bytes:
            return count
    return len(sizes)
