"""Remove media files that no run refers to any more, in two steps with a wait before each.

1. A file that lost a reference the grace time ago, and has none now, is set aside: renamed to `removed/…`.
2. Some time later it is deleted, or put back if a run refers to it again.

An ingestor that stores the file meanwhile either finds it, and its row is there by the second step, or does not find
it and stores it again. Each step may be interrupted and repeated, by any number of workers: the table `media_removals`
says which step is next, and moving or deleting a file that is gone changes nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.media_store import MediaStore, file_path

MOVED: Final = "moved"
_SECOND_WAIT_SECONDS: Final = 600.0
_AT_ONCE: Final = 500

_DUE: Final = """
SELECT sha256, size, toString(stage) AS stage, version FROM {db}.media_removals FINAL
WHERE removed_at <= fromUnixTimestamp64Milli(if(stage = 'moved', {moved:Int64}, {unreferenced:Int64}))
ORDER BY removed_at LIMIT {limit:UInt32}
"""
_REFERENCED: Final = (
    "SELECT DISTINCT sha256 FROM {db}.media_files FINAL WHERE sha256 IN {files:Array(String)} AND NOT removed"
)
_MOVE: Final = """
INSERT INTO {db}.media_removals (sha256, size, removed_at, stage, version)
SELECT {sha256:String}, {size:UInt64}, fromUnixTimestamp64Milli({now:Int64}), 'moved', {version:UInt64}
"""
_FORGET: Final = "DELETE FROM {db}.media_removals WHERE sha256 = {sha256:String} AND version <= {version:UInt64}"


@dataclass
class Removed:
    """The outcome of a pass: files set aside, deleted, and kept since a run refers to them; bytes deleted."""

    moved: int = 0
    deleted: int = 0
    kept: int = 0
    bytes: int = 0


def removed_path(sha256: str) -> str:
    """Return the path of a file that was set aside."""
    return f"removed/{sha256[:2]}/{sha256}"


async def remove_media(store: Store, media: MediaStore, grace_seconds: float, now: float) -> Removed:
    """Take the next step for each file that is due. Raises: StoreError, MediaUnavailableError.

    Args:
        grace_seconds: seconds after which a file without references is removed.
        now: seconds since the epoch.
    """
    waits = {"moved": min(grace_seconds, _SECOND_WAIT_SECONDS), "unreferenced": grace_seconds}
    due = {name: round((now - seconds) * 1_000) for name, seconds in waits.items()}
    outcome = Removed()
    rows = (await asyncio.to_thread(store.query, _DUE, {**due, "limit": _AT_ONCE})).to_pylist()
    if not rows:
        return outcome
    found = await asyncio.to_thread(store.query, _REFERENCED, {"files": [row["sha256"] for row in rows]})
    referenced = set(found.column("sha256").to_pylist())
    for row in rows:
        sha256, version = row["sha256"], row["version"]
        here, aside = file_path(sha256), removed_path(sha256)
        if sha256 in referenced:
            if await media.size(here) is None:
                await media.move(aside, here)
            await media.delete([aside])
            outcome.kept += 1
        elif row["stage"] == MOVED:
            await media.delete([aside])
            outcome.deleted += 1
            outcome.bytes += row["size"]
        else:
            await media.move(here, aside)
            parameters = {"sha256": sha256, "size": row["size"], "now": round(now * 1_000), "version": version + 1}
            await asyncio.to_thread(store.command, _MOVE, parameters)
            outcome.moved += 1
            continue
        await asyncio.to_thread(store.command, _FORGET, {"sha256": sha256, "version": version})
    return outcome
