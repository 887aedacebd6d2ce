"""Repair of the broker's log folder after an interrupted start, or with a damaged `meta.properties`.

`meta.properties` identifies the cluster and the folder; formatting writes it last, with a rename. Without it the broker
does not start, and with a different one it refuses the existing log. So a copy is kept outside of the folder.
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
    """State of a log folder: not formatted, formatted, or with events but without a usable `meta.properties`."""

    UNFORMATTED = auto()
    FORMATTED = auto()
    DAMAGED = auto()


def is_usable(meta: str) -> bool:
    """Return whether the text of a `meta.properties` has all entries that the broker needs."""
    entries = dict(line.split("=", 1) for line in meta.splitlines() if "=" in line and not line.startswith("#"))
    return entries.get("version") == _VERSION and all(entries.get(name) for name in _NEEDED)


def prepare_log(log: Path) -> LogState:
    """Bring a log folder into a state in which it can be formatted or used; events are never removed.

    Leftovers of an interrupted formatting are removed, and a damaged `meta.properties` is replaced by its copy.
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
    """Save a copy of `meta.properties`; called when the broker has started with it."""
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
    """Return whether the folder has the log of a partition; formatting creates none."""
    return any(
        entry.is_dir() and entry.name.rpartition("-")[2].isdigit() and any(entry.glob("*.log"))
        for entry in (log.iterdir() if log.exists() else ())
    )
