"""Changes under journals: files that are cut, and file systems that fill."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from reliability.faults.cluster import Cluster
from reliability.faults.counted_run import Counting
from stepwell_schemas.limits import KIB, MIB
from support.mounts import Kind, small_disk

_ROWS: Final = 300
_LIVE_ROWS: Final = 2_000
_LIVE_PAUSE_MS: Final = 3
_FULL_BYTES: Final = 256 * KIB
"""Free bytes at which a file system counts as full."""

# The size of a file system, and the characters of a row: 3,000 rows are more than it holds.
_DISKS: Final[Mapping[Kind, tuple[int, int]]] = {
    "tmpfs": (8 * MIB, 4 * KIB),
    "ext4": (16 * MIB, 8 * KIB),
    "btrfs": (112 * MIB, 48 * KIB),
}
_DISK_ROWS: Final = 3_000


def cut_ended_journal(run: Counting) -> None:
    """Truncate the journal of an ended session; what is before the cut is delivered."""
    run.log(_ROWS, STEPWELL_MODE="offline")
    (segment,) = run.journals.rglob("*.segment")
    run.rows = 0
    os.truncate(segment, segment.stat().st_size * 3 // 4)
    run.sync()
    run.wait_until_stored()
    run.rows = run.stored()["cells"]
    if not 0 < run.rows < _ROWS:
        run.note(f"{run.rows} of {_ROWS} rows are stored")


def cut_live_journal(run: Counting) -> None:
    """Truncate the journal of a session that logs, twice, while the broker is away: only what was cut is missing."""
    process = run.start(_LIVE_ROWS, pause_ms=_LIVE_PAUSE_MS)
    run.wait_until(lambda: run.stored()["cells"] > 0, "a row")
    with _without_broker(run.cluster):
        for keep in (0.5, 0.0):
            size = _wait_for_growth(run, process)
            os.truncate(_last_segment(run), int(size * keep))
    receipt = run.end(process)
    if receipt.get("pending"):
        run.sync()
    run.wait_until_stored()
    stored = run.stored()
    if not 0 < stored["cells"] < _LIVE_ROWS or {stored["right"], stored["log_rows"]} != {stored["cells"]}:
        run.note(f"of {_LIVE_ROWS} rows, {stored} are stored")
    if not receipt.get("error"):
        run.note(f"the receipt does not say that rows are missing: {receipt}")
    run.rows = stored["cells"]


def fill_disk(run: Counting, kind: Kind) -> None:
    """Log more than a file system holds: nothing is dropped while it is delivered, and rows are counted otherwise."""
    size, payload = _DISKS[kind]
    with small_disk(kind, run.folder, size):
        receipt = run.log(_DISK_ROWS, payload=payload, STEPWELL_JOURNAL_WHEN_FULL="block")
        if receipt.get("dropped") != 0:
            run.note(f"rows were dropped that had to wait: {receipt}")
        process = run.start(_DISK_ROWS, payload=payload, pause_ms=1)
        # Without a connection before, `finish()` would not wait for the broker.
        run.wait_until(lambda: run.stored()["cells"] > run.rows, "a row")
        with _without_broker(run.cluster):
            while shutil.disk_usage(run.folder).free > _FULL_BYTES and process.poll() is None:
                time.sleep(0.05)
        receipt = run.end(process)
        if receipt.get("pending"):
            run.sync()
    run.rows += receipt.get("logged", 0)
    # The run's last event may find no room either.
    if receipt.get("dropped", 0) < 1 or receipt["logged"] + receipt["dropped"] - _DISK_ROWS not in {0, 1}:
        run.note(f"dropped rows are not counted: {receipt}")


JOURNAL_CHANGES: Final[Mapping[str, Callable[[Counting], None]]] = {
    "journal-cut": cut_ended_journal,
    "live-journal-cut": cut_live_journal,
    **{f"disk-full-{kind}": partial(fill_disk, kind=kind) for kind in _DISKS},
}
"""The changes by name."""


def _last_segment(run: Counting) -> Path:
    return max(run.journals.rglob("*.segment"))


def _wait_for_growth(run: Counting, process: subprocess.Popen[str]) -> int:
    """Wait until the last segment has grown by half; return its size."""
    before = _last_segment(run).stat().st_size
    while (size := _last_segment(run).stat().st_size) < before * 3 // 2 and process.poll() is None:
        time.sleep(0.05)
    return size


@contextmanager
def _without_broker(cluster: Cluster) -> Iterator[None]:
    """Kill the broker for the block."""
    cluster.broker.kill(time.monotonic(), 0.0)
    try:
        yield
    finally:
        cluster.supervise()
