"""Rules for room in a journal: the size of segments, and what to do when a write fails."""

from __future__ import annotations

import errno
from enum import StrEnum
from typing import Final, Literal

FullPolicy = Literal["block", "drop"]

_BACKLOG_SHARE: Final = 4
_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.ENOMEM})


class Remedy(StrEnum):
    """The next attempt after a failed write.

    RETRY: the same segment. NEW_SEGMENT: a new one. REPLACE: delete the delivered segment, which gives its space back,
    and begin a new one.
    """

    RETRY = "retry"
    NEW_SEGMENT = "new segment"
    REPLACE = "replace"


def choose_segment_bytes(backlog: int, least: int, most: int) -> int:
    """Return the size of the next segment: a quarter of the undelivered bytes, within bounds.

    A segment is deleted as a whole, so the disk holds the backlog and at most one segment more. Small segments keep
    that small while delivery keeps up, and large ones keep their number small when it does not.
    """
    return max(least, min(most, backlog // _BACKLOG_SHARE))


def choose_remedy(error: int, *, has_records: bool, all_delivered: bool) -> Remedy:
    """Return what to try after a write failed with an errno, given the state of the segment that it went to."""
    if error in _NO_SPACE:
        return Remedy.REPLACE if all_delivered and has_records else Remedy.RETRY
    # The size limit of a file (EFBIG) holds for each file; other errors may be those of this file, too.
    return Remedy.NEW_SEGMENT if has_records else Remedy.RETRY
