"""The broker's log folder: what a start that was cut off, or a damaged file, has left there.

`meta.properties` names the cluster and the folder; the formatting writes it last, with a rename. Without it the broker
does not start, and with another one it refuses what is there. So a copy is kept outside of the folder.
"""

from __future__ import annotations

import shutil
from enum import Enum, auto
from pathlib import Path
from typing import Final

_META: Final = "meta.properties"
_NEEDED: Final = frozenset({"cluster.id", "node.id", "directory.id"})
_VERSION: Final = "1"
_SAVED: Final = "meta.properties.saved"


class LogState(Enum):
    """The state of a log folder: to be formatted, formatted, or with events and without a usable `meta.properties`."""

    UNFORMATTED = auto()
    FORMATTED = auto()
    DAMAGED = auto()


def is_usable(meta: str) -> bool:
    """Say whether the text of a `meta.properties` has what the broker needs."""
    entries = dict(line.split("=", 1) for line in meta.splitlines() if "=" in line and not line.startswith("#"))
    return entries.get("version") == _VERSION and all(entries.get(name) for name in _NEEDED)


def prepare_log(log: Path) -> LogState:
    """Bring a log folder into a state in which it can be formatted or used; events are never removed.

    A formatting that was cut off is cleared away, and a damaged `meta.properties` is replaced by its copy.
    """
    saved = log.parent / _SAVED
    if _is_usable_file(log / _META):
        return LogState.FORMATTED
    if log.exists() and _is_usable_file(saved):
        shutil.copyfile(saved, log / _META)
        return LogState.FORMATTED
    if _has_partitions(log):
        return LogState.DAMAGED
    if log.exists():
        shutil.rmtree(log)
    saved.unlink(missing_ok=True)
    return LogState.UNFORMATTED


def save_meta(log: Path) -> None:
    """Keep a copy of `meta.properties`, once the broker has started with it."""
    saved = log.parent / _SAVED
    written = saved.with_suffix(".new")
    shutil.copyfile(log / _META, written)
    written.replace(saved)


def _is_usable_file(meta: Path) -> bool:
    try:
        return is_usable(meta.read_text(errors="replace"))
    except FileNotFoundError:
        return False


def _has_partitions(log: Path) -> bool:
    """Say whether the folder holds the log of a partition; the formatting writes none."""
    return any(
        entry.is_dir() and entry.name.rpartition("-")[2].isdigit() and any(entry.glob("*.log"))
        for entry in (log.iterdir() if log.exists() else ())
    )
