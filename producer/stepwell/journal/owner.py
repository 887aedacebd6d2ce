"""Identity of this process for journals, and what can be learned here about the process of another one."""

from __future__ import annotations

import os
import socket
from functools import lru_cache
from pathlib import Path
from typing import Final

from stepwell.journal.format import JournalInfo

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_MOUNTS: Final = Path("/proc/self/mountinfo")
_START_FIELD: Final = 19
"""Index of the start time among the fields of /proc/<pid>/stat behind the name of the program."""

_LOCAL_FILE_SYSTEMS: Final = frozenset(
    {"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "reiserfs", "tmpfs", "xfs", "zfs"}
)


@lru_cache(1)
def read_boot_id() -> str:
    """Return the boot id of this machine, "" where there is none."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return ""


def read_process_start(pid: int) -> int:
    """Return when a process of this machine started, in clock ticks after the boot; 0 if there is no such process."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
        return int(status.rpartition(")")[2].split()[_START_FIELD])
    except (OSError, ValueError, IndexError):
        return 0


def sign(info: JournalInfo) -> JournalInfo:
    """Return the identity of a journal with this process as its owner."""
    pid = os.getpid()
    return info._replace(host=socket.gethostname(), boot=read_boot_id(), pid=pid, pid_started=read_process_start(pid))


def is_running(info: JournalInfo) -> bool:
    """Return whether the process of a journal runs on this machine."""
    return info.pid_started > 0 and read_process_start(info.pid) == info.pid_started


def is_local(path: Path) -> bool:
    """Return whether a path is on a file system that only one kernel uses at a time; False if unknown."""
    try:
        lines = _MOUNTS.read_text("utf-8", "surrogateescape").splitlines()
        target = path.resolve()
    except OSError:
        return False
    return find_file_system(lines, target) in _LOCAL_FILE_SYSTEMS


def find_file_system(mounts: list[str], target: Path) -> str:
    """Return the type of the file system that holds a path, given the lines of mountinfo; "" if unknown."""
    best, kind = -1, ""
    for line in mounts:
        fields, _, rest = line.partition(" - ")
        try:
            point = Path(fields.split()[4].encode().decode("unicode_escape"))
        except (IndexError, UnicodeDecodeError):
            continue
        depth = len(point.parts)
        # Of several mounts on one point, the last one hides the others.
        if depth >= best and target.is_relative_to(point):
            best, kind = depth, (rest.split() or [""])[0]
    return kind
