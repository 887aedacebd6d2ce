"""The rows of a project that are due to go: which steps of which writers, and how much they take.

Decisions are in `policy`; this module asks the tables. Nothing here changes data.
"""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from stepwell_schemas.clickhouse.run_rows import TableRows, read_sizes, share_of_bytes
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.clickhouse.tables import POINT_TABLES, PROJECT_CONDITION, PROJECT_RUNS_CONDITION
from stepwell_schemas.retention.policies import Project
from stepwell_schemas.retention.policy import KEPT_STEPS, Policy, next_boundary, oldest_kept
from stepwell_schemas.rollups.sql import LEVELS
from stepwell_schemas.rollups.sql import TABLE as ROLLUPS
from stepwell_schemas.rules.kinds import SCALAR_KINDS

T = TypeVar("T")

RAW_TABLES: Final = tuple(sorted({POINT_TABLES[kind] for kind in SCALAR_KINDS}))
"""The tables whose rows have the period `raw`."""

RUNS_AT_ONCE: Final = 500

# A run's id has no slash, so that the text names one writer of one run.
_OF_WRITER: Final = (
    "transform(concat(toString(run_id), '/', toString(writer)), {{names:Array(String)}}, {{{numbers}:Array(Int64)}},"
    " toInt64(0))"
)
RAW_CUT: Final = _OF_WRITER.format(numbers="raw_cuts")
"""The step below which the values of a row's writer go."""

LAST_OFFSET: Final = _OF_WRITER.format(numbers="offsets")
"""The last offset of a row's writer; `offsets` has those of the writers in `names`."""

RAW_DUE: Final = f"{PROJECT_RUNS_CONDITION} AND step < {RAW_CUT}"
"""The values that go; `cut_parameters` has the parameters."""

ROLLUPS_DUE: Final = (
    f"{PROJECT_RUNS_CONDITION} AND bucket < bitShiftRight({_OF_WRITER.format(numbers='curve_cuts')}, level)"
)
"""The rollups that go: of buckets that lie below the boundary."""

DUE: Final[Mapping[str, str]] = {**dict.fromkeys(RAW_TABLES, RAW_DUE), ROLLUPS: ROLLUPS_DUE}
"""By table, the condition for the rows that go."""

_WRITERS: Final = f"""
SELECT s.run_id AS run_id, s.writer AS writer, s.last_step AS last_step, s.offset AS offset, a.first_ms AS first_ms,
    r.raw_from AS raw_from, r.curves_from AS curves_from, r.removed_to AS removed_to,
    r.curves_removed_to AS curves_removed_to, r.recorded_at AS recorded_at, r.settled_offset AS settled_offset
FROM
(
    SELECT toString(run_id) AS run_id, toString(writer) AS writer, max(last_step) AS last_step,
        max(last_offset) AS offset
    FROM {{db}}.series WHERE {PROJECT_CONDITION} GROUP BY run_id, writer
) AS s
LEFT JOIN
(
    SELECT run_id, toUnixTimestamp64Milli(min(first_timestamp)) AS first_ms
    FROM {{db}}.run_activity WHERE {PROJECT_CONDITION} GROUP BY run_id
) AS a ON a.run_id = s.run_id
LEFT JOIN
(
    SELECT run_id, writer, max(retained_steps.raw_from) AS raw_from, max(retained_steps.curves_from) AS curves_from,
        max(retained_steps.removed_to) AS removed_to, max(retained_steps.curves_removed_to) AS curves_removed_to,
        max(retained_steps.recorded_at) AS recorded_at, max(retained_steps.settled_offset) AS settled_offset
    FROM {{db}}.retained_steps WHERE {PROJECT_CONDITION} GROUP BY run_id, writer
) AS r ON r.run_id = s.run_id AND r.writer = s.writer
ORDER BY run_id, writer
"""
_YOUNG: Final = "SELECT run_id, writer, min(step) AS step FROM ({rows}) GROUP BY run_id, writer"
_YOUNG_ROWS: Final = " UNION ALL ".join(
    f"SELECT toString(run_id) AS run_id, toString(writer) AS writer, step FROM {{db}}.{table}"
    f" WHERE {PROJECT_RUNS_CONDITION} AND timestamp >= fromUnixTimestamp64Milli({{since:Int64}})"
    for table in RAW_TABLES
)
_YOUNG_BUCKETS: Final = (
    f"SELECT toString(run_id) AS run_id, toString(writer) AS writer, bucket * {KEPT_STEPS} AS step"
    f" FROM {{db}}.{ROLLUPS} WHERE {PROJECT_RUNS_CONDITION} AND level = {LEVELS[0]}"
    " AND last_timestamp >= fromUnixTimestamp64Milli({since:Int64})"
)


@dataclass(frozen=True, slots=True)
class WriterState:
    """A writer of a run: its last step and offset, and what is recorded of its removed rows."""

    run_id: str
    writer: str
    last_step: int
    offset: int
    first_ms: int
    raw_from: int
    curves_from: int
    removed_to: int
    curves_removed_to: int
    recorded_at: int
    settled_offset: int

    @property
    def name(self) -> str:
        """The text by which conditions find the writer."""
        return f"{self.run_id}/{self.writer}"

    @property
    def is_settled(self) -> bool:
        """True if nothing is left to remove, whatever the time."""
        return self.settled_offset > self.offset and self.is_removed

    @property
    def is_removed(self) -> bool:
        """True if the rows below the recorded boundaries were deleted."""
        return self.removed_to >= self.raw_from and self.curves_removed_to >= self.curves_from


@dataclass(frozen=True, slots=True)
class Cut:
    """The steps below which a writer's values and curves go; `all_due`: no value is younger than the period."""

    state: WriterState
    raw_from: int
    curves_from: int
    all_due: bool

    @property
    def rises(self) -> bool:
        """True if more goes than was recorded."""
        return self.raw_from > self.state.raw_from or self.curves_from > self.state.curves_from


def read_writers(store: Store, project: Project) -> list[WriterState]:
    """Return the writers of a project's runs, by run and name. Raises: StoreError."""
    return [WriterState(**row) for row in store.query(_WRITERS, project._asdict()).to_pylist()]


def plan_cuts(
    store: Store, project: Project, policy: Policy, now: int, writers: Sequence[WriterState]
) -> Iterator[list[Cut]]:
    """Yield the cuts of writers that are not settled, some hundreds at a time. Raises: StoreError.

    Args:
        now: milliseconds since the epoch.
        writers: all writers of the project.
    """
    since = oldest_kept(policy.raw, now)
    if since is None:
        return
    open_ = [one for one in writers if not one.is_settled and one.first_ms < since]
    curves_since = oldest_kept(policy.rollups, now)
    # A run whose last value is young has curves to keep, and may be settled as far as its rows are concerned.
    for some in slices(open_ if curves_since is None else [one for one in writers if one.first_ms < since]):
        young = _read_young(store, project, some, _YOUNG_ROWS, since)
        curves = {} if curves_since is None else _read_young(store, project, some, _YOUNG_BUCKETS, curves_since)
        cuts = []
        for one in some:
            key = one.run_id, one.writer
            raw_from = next_boundary(one.last_step, young.get(key), one.raw_from)
            curves_from = one.curves_from
            if curves_since is not None:
                curves_from = max(curves_from, min(curves.get(key, raw_from), raw_from))
            cuts.append(Cut(one, raw_from, curves_from, key not in young and curves_since is None))
        yield cuts


def count_due(store: Store, project: Project, cuts: Sequence[Cut]) -> list[TableRows]:
    """Return the rows that go with some cuts by table, and the bytes that they take on disk. Raises: StoreError.

    The bytes are the rows' share of the table's compressed bytes in `system.parts`.
    """
    sizes = read_sizes(store)
    counted: dict[str, int] = {}
    for some in slices(cuts):
        parameters = cut_parameters(project, some)
        for table, condition in DUE.items():
            rows = store.query(f"SELECT count() AS n FROM {{db}}.{table} WHERE {condition}", parameters)
            counted[table] = counted.get(table, 0) + int(rows.column("n")[0].as_py())
    return [TableRows(table, rows, share_of_bytes(sizes, table, rows)) for table, rows in counted.items() if rows]


def cut_parameters(project: Project, cuts: Iterable[Cut]) -> dict[str, Any]:
    """Return the parameters of the conditions in DUE."""
    some = list(cuts)
    return {
        **project._asdict(),
        "run_ids": sorted({cut.state.run_id for cut in some}),
        "names": [cut.state.name for cut in some],
        "raw_cuts": [cut.raw_from for cut in some],
        "curve_cuts": [cut.curves_from for cut in some],
    }


def slices(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield parts of a sequence for one statement each."""
    for start in range(0, len(items), RUNS_AT_ONCE):
        yield items[start : start + RUNS_AT_ONCE]


def _read_young(
    store: Store, project: Project, writers: Sequence[WriterState], rows: str, since: int
) -> dict[tuple[str, str], int]:
    """Return by run and writer the lowest step whose time is `since` or later."""
    parameters = {**project._asdict(), "run_ids": sorted({one.run_id for one in writers}), "since": since}
    found = store.query(_YOUNG.replace("{rows}", rows), parameters).to_pylist()
    return {(row["run_id"], row["writer"]): row["step"] for row in found}
