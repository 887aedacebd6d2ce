"""Decisions about connections: how long to wait, and when a transport counts as stalled."""

from __future__ import annotations

from typing import Final

_MAX_DOUBLINGS: Final = 3
"""Doublings of the wait between two attempts: 16 s by default, a bearable delay after a long outage."""

_MAX_STALL_DOUBLINGS: Final = 4
"""Doublings of the wait for an acknowledgement: 160 s by default, enough for 1 MiB at 8 KB/s."""

_LEAST_SHARE: Final = 0.5
DRAIN_PAUSE_SECONDS: Final = 0.25
"""Longest wait between two attempts while a run ends: the end is limited by its own timeout."""


def retry_delay(attempt: int, base: float, draw: float) -> float:
    """Return the seconds to wait after failed attempt 0, 1, …; doubles up to a bound.

    Args:
        attempt: number of failed attempts before this one, since the last connection.
        base: the longest wait after the first one.
        draw: a random number in [0, 1). With it, the processes of a cluster don't return all at the same moment.
    """
    longest: float = base * 2.0 ** min(max(attempt, 0), _MAX_DOUBLINGS)
    return longest * (_LEAST_SHARE + (1 - _LEAST_SHARE) * draw)


def stall_limit(base: float, stalls: int) -> float:
    """Return the seconds without an acknowledgement after which a transport counts as stalled.

    Doubles with each stall without progress: a link on which one batch takes longer than `base` would otherwise send
    the same batch forever.
    """
    return base * 2.0 ** min(max(stalls, 0), _MAX_STALL_DOUBLINGS)


def next_stalls(stalls: int, *, progressed: bool) -> int:
    """Return the number of stalls to count with after another one; `progressed`: records were acknowledged before it.

    Progress takes one stall back and not all: the limit of a slow link then stays above what its batches need.
    """
    return max(0, stalls - 1) if progressed else min(stalls + 1, _MAX_STALL_DOUBLINGS)


def is_other_cluster(known: str, present: str) -> bool:
    """Return whether brokers belong to another cluster than before; an unknown id is no other cluster."""
    return bool(known and present and known != present)
