"""Liveness of the process of a journal whose lock is free.

A lock that another host holds may not be seen here: Lustre with `localflock` and NFS with `nolock` keep locks within a
host. So the journal of another host counts as orphaned only when its heartbeat has not changed for some minutes. The
clocks of two hosts are never compared; only changes are, as seen by this process.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from stepwell.journal.format import Heartbeat, JournalInfo
from stepwell_schemas.limits import HEARTBEAT_OLD_SECONDS


class Surroundings(NamedTuple):
    """Facts known here about a journal's process.

    Attributes:
        host, boot: this machine. running: whether a process with the pid and start time of the journal runs here.
        local: whether the journal is on a file system that only one kernel uses.
        unchanged_seconds: the time for which the heartbeat is known not to have changed.
    """

    host: str
    boot: str
    running: bool
    local: bool
    unchanged_seconds: float


def is_abandoned(info: JournalInfo, heartbeat: Heartbeat, around: Surroundings) -> bool:
    """Return whether the journal's process has ended or released it, given that its lock is free here.

    A process that could not start its heartbeat never counts as dead on another host.
    """
    if heartbeat.released or not info.boot:
        return True
    if info.boot == around.boot and (info.host == around.host or around.local):
        return not around.running
    # After a reboot, the processes of a file system of this machine have ended.
    return around.local or (heartbeat.beats > 0 and around.unchanged_seconds >= HEARTBEAT_OLD_SECONDS)


class Watch:
    """The heartbeats of other hosts' journals, as this process saw them."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[Heartbeat, float]] = {}

    def observe(self, path: Path, heartbeat: Heartbeat, now: float) -> float:
        """Return for how many seconds a heartbeat has not changed; `now` is a monotonic time."""
        before, since = self._seen.get(path, (None, now))
        if before != heartbeat:
            since = now
        self._seen[path] = heartbeat, since
        return now - since

    def forget(self, path: Path) -> None:
        """Forget a journal that is not in doubt any more."""
        self._seen.pop(path, None)


WATCH: Final = Watch()
