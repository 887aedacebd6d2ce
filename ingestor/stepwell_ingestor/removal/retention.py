"""Remove what the policies of projects do not keep: values, then rollups, in steps that may each be repeated.

1. A pass finds the steps below which the values of each writer are due, and stores the rollup rows of those buckets
   that no later row of their series has closed.
2. It records these steps as boundaries. From then on, readers draw older curves from rollups, and the ingestor computes
   no rollup row below a boundary again.
3. Some time later, when every reader and statement knows the boundary, it stores figures of the values, deletes the
   rows below it, and records that.

Killed anywhere, a worker continues: boundaries only rise, what is stored before a deletion is the same each time, and a
deletion names the rows by their steps. Two workers repeat each other's statements.
"""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pyarrow as pa

from stepwell_schemas.clickhouse.run_rows import read_sizes
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.clickhouse.tables import PROJECT_CONDITION, PROJECT_RUNS_CONDITION
from stepwell_schemas.errors import StoreError
from stepwell_schemas.retention.due import (
    DUE,
    Cut,
    WriterState,
    count_due,
    cut_parameters,
    plan_cuts,
    read_writers,
    slices,
)
from stepwell_schemas.retention.figures import store_figures
from stepwell_schemas.retention.old_media import release_media
from stepwell_schemas.retention.policies import DONE, FAILED, Pass, PassTimes, Project, write_pass
from stepwell_schemas.retention.policy import KEPT_STEPS, Policy, is_due, next_boundary
from stepwell_schemas.rollups.sql import LEVELS, Buckets, computing
from stepwell_schemas.rules.identifiers import RunPath

RECLAIMED_SHARE: Final = 0.25
"""The share of deleted rows from which on a table is written again without them.

A deletion masks rows: it takes 0.46 s of processor time for 10^6 rows of a table of 10^7, and does not depend on the
rows of other projects in the same parts. Their bytes are freed by merges, and the largest parts are not merged again.
Writing a table again takes 0.34 s for each 10^6 rows.
"""

_MANY_ROWS: Final = 1_000_000
_BUCKETS_AT_ONCE: Final = 16
_UNCLOSED: Final = f"""
SELECT toString(run_id) AS run_id, toString(writer) AS writer, intDiv(last_step, {KEPT_STEPS}) AS bucket,
    groupArray(key) AS keys
FROM
(
    SELECT run_id, writer, toString(key) AS key, max(last_step) AS last_step FROM {{db}}.series
    WHERE {PROJECT_RUNS_CONDITION} AND kind = 'number' GROUP BY run_id, writer, key
)
GROUP BY run_id, writer, bucket ORDER BY run_id, writer, bucket
"""
_PENDING: Final = f"""
SELECT 1 FROM
(
    SELECT max(retained_steps.raw_from) > max(removed_to) OR max(retained_steps.curves_from) > max(curves_removed_to)
        AS pending
    FROM {{db}}.retained_steps WHERE {PROJECT_CONDITION} GROUP BY run_id, writer
)
WHERE pending LIMIT 1
"""


@dataclass(slots=True)
class Removed:
    """Rows that a pass has deleted: all, those that had arrived below a boundary, and their bytes."""

    rows: int = 0
    late_rows: int = 0
    bytes: int = 0
    tables: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Timing:
    """The time of a pass, the time between two, and between recording a boundary and deleting; in milliseconds."""

    now: int
    interval: int
    settle: int


def make_retention_pass(
    store: Store, project: Project, policy: Policy, times: PassTimes, timing: Timing
) -> Pass | None:
    """Record the boundaries of a project if that is due, and delete the rows below those that were recorded before.

    Returns:
        The pass as it was stored, None if there was nothing to do.

    Raises:
        StoreError: if ClickHouse can't be reached or refuses; the pass is stored as failed if possible.
    """
    planning = is_due(timing.now, timing.interval, times.started, times.requested)
    if not planning and not store.query(_PENDING, project._asdict()).num_rows:
        return None
    made = Pass(timing.now, uuid.uuid4().hex[:8], DONE, timing.now)
    try:
        removed, files = _carry_out(store, project, policy, timing, planning=planning)
    except StoreError as error:
        write_pass(store, project, replace(made, state=FAILED, error=str(error)[:1_000]))
        raise
    made = replace(
        made, rows=removed.rows, bytes=removed.bytes, late_rows=removed.late_rows, files=files[0], file_bytes=files[1]
    )
    if planning or removed.rows:
        write_pass(store, project, made)
    return made


def _carry_out(
    store: Store, project: Project, policy: Policy, timing: Timing, *, planning: bool
) -> tuple[Removed, tuple[int, int]]:
    all_due: set[str] = set()
    files = (0, 0)
    if planning:
        for cuts in plan_cuts(store, project, policy, timing.now, read_writers(store, project)):
            record_cuts(store, project, [cut for cut in cuts if cut.rises], timing.now)
            all_due.update(cut.state.name for cut in cuts if cut.all_due)
            # Runs that are too short to lose rows need not be looked at again.
            _note(store, project, [_removed_row(cut) for cut in cuts if cut.all_due and not cut.raw_from])
        files = release_media(store, project, policy, timing.now)
    removed = Removed()
    ready = [one for one in read_writers(store, project) if one.recorded_at and not one.is_settled]
    for some in slices([one for one in ready if one.recorded_at + timing.settle <= timing.now]):
        _delete(store, project, [one for one in some if not one.is_removed], all_due, removed, late=False)
        # Without new boundaries, rows below them came late; their offsets say that there may be some.
        _delete(store, project, [one for one in some if one.is_removed and planning], all_due, removed, late=True)
    for table in sorted(removed.tables):
        reclaim(store, table)
    return removed, files


def record_cuts(store: Store, project: Project, cuts: Sequence[Cut], now: int) -> None:
    """Store the rollup rows that the curves below some cuts need, then the boundaries. Raises: StoreError."""
    if cuts:
        _close_buckets(store, project, cuts)
    _note(store, project, [_state_row(cut.state, cut.raw_from, cut.curves_from) | {"recorded_at": now} for cut in cuts])


def _close_buckets(store: Store, project: Project, cuts: Sequence[Cut]) -> None:
    """Compute the rows of the last buckets of series that ended below their writer's cut."""
    by_name = {cut.state.name: cut for cut in cuts}
    rows = store.query(_UNCLOSED, cut_parameters(project, cuts)).to_pylist()
    chosen: dict[int, list[Buckets]] = {}
    for row in rows:
        cut = by_name.get(f"{row['run_id']}/{row['writer']}")
        if cut is not None and cut.state.raw_from <= row["bucket"] * KEPT_STEPS < cut.raw_from:
            buckets = Buckets(RunPath(*project, row["run_id"]), row["writer"], row["keys"], [row["bucket"]])
            chosen.setdefault(cut.state.offset + 1, []).append(buckets)
    # The version after the last flush's, and before the next one's.
    for version, every in chosen.items():
        for start in range(0, len(every), _BUCKETS_AT_ONCE):
            store.command(*computing(LEVELS[0], None, every[start : start + _BUCKETS_AT_ONCE], version))


def _delete(
    store: Store, project: Project, states: Sequence[WriterState], all_due: set[str], removed: Removed, *, late: bool
) -> None:
    """Delete the rows below the recorded boundaries of some writers, and record it."""
    if not states:
        return
    cuts = [Cut(one, one.raw_from, one.curves_from, one.name in all_due) for one in states]
    parameters = cut_parameters(project, cuts) | {"offsets": [one.offset for one in states]}
    counted = count_due(store, project, cuts)
    if not late:
        store_figures(store, [found.table for found in counted], parameters)
    for found in counted:
        store.command(f"DELETE FROM {{db}}.{found.table} WHERE {DUE[found.table]}", parameters)
        removed.rows += found.rows
        removed.late_rows += found.rows if late else 0
        removed.bytes += found.bytes
        removed.tables.add(found.table)
    _note(store, project, [_removed_row(cut) for cut in cuts])


def reclaim(store: Store, table: str) -> None:
    """Let ClickHouse write a table again, later, without its deleted rows if these are many. Raises: StoreError."""
    (row,) = store.query(f"SELECT count() AS rows FROM {{db}}.{table}").to_pylist()
    stored, _ = read_sizes(store).get(table, (0, 0))
    if stored - row["rows"] >= max(RECLAIMED_SHARE * stored, _MANY_ROWS):
        store.command(f"ALTER TABLE {{db}}.{table} APPLY DELETED MASK SETTINGS mutations_sync = 0")


def _state_row(state: WriterState, raw_from: int, curves_from: int) -> dict[str, Any]:
    return {
        "run_id": state.run_id,
        "writer": state.writer,
        "raw_from": raw_from,
        "curves_from": curves_from,
        "last_offset": state.offset,
    }


def _removed_row(cut: Cut) -> dict[str, Any]:
    state = cut.state
    done = cut.all_due and cut.raw_from == next_boundary(state.last_step, None, 0)
    more = {"removed_to": cut.raw_from, "curves_removed_to": cut.curves_from}
    return _state_row(state, cut.raw_from, cut.curves_from) | more | {"settled_offset": state.offset + 1 if done else 0}


def _note(store: Store, project: Project, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        store.insert("retained_steps", pa.Table.from_pylist([{**project._asdict(), **row} for row in rows]))
