"""Series of many runs, aggregated by a config value, a tag or another field of the runs, or by writer."""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np

from stepwell_query.catalog.conditions import OF_RUNS, runs_parameters
from stepwell_query.catalog.models import Activity, Progress, SeriesByKey, SeriesInfo
from stepwell_query.catalog.progress import build_progress
from stepwell_query.catalog.retained import add_boundaries
from stepwell_query.catalog.series import find_series
from stepwell_query.errors import RequestError
from stepwell_query.query_limits import QueryLimits
from stepwell_query.runs.fields import FIELDS, GROUPABLE
from stepwell_query.runs.paths import value_at_path
from stepwell_query.series.bucket_reader import BucketReader
from stepwell_query.series.groups.aggregate import GroupBuckets, aggregate_groups, group_values
from stepwell_query.series.math.bucketing import bucket_shift, clip, filled_shift, limit_rollup_reads
from stepwell_query.series.models import DRAWN_TABLES, SeriesRequest
from stepwell_query.series.read_plan import SeriesRead
from stepwell_query.series.targets import check_number
from stepwell_query.stored_json import json_object
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rollups.sql import LEVELS
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.keys import fold_key
from stepwell_schemas.rules.kinds import Kind
from stepwell_schemas.rules.run_states import served_state
from stepwell_schemas.rules.writers import writer_order

BY_WRITER: Final = "writer"
"""Groups by the writers of series, in place of a field of runs."""

_ROLLUP_ROWS: Final = 1_000_000
"""Approximate number of rollups that one answer is computed from: 1,000 series with about 1,000 buckets each."""

_CONFIG: Final = "config."

_DOCUMENTS: Final = f"""
SELECT entity, project, run_id, {{column}} AS value FROM {{db}}.run_documents AS d FINAL PREWHERE {OF_RUNS}
"""
_STATES: Final = _DOCUMENTS.replace("{column}", "(state, toUnixTimestamp64Milli(started_at))")


@dataclass(frozen=True, slots=True)
class GroupedSeries:
    """Aggregated series of one key and kind: buckets of `2**shift` steps from `first` to `last`.

    `buckets` has the buckets of each group by the group's index, without the groups that have none. The owners of their
    extremes are indexes into `series`.
    """

    key: str
    kind: Kind
    first: int
    last: int
    shift: int
    buckets: dict[int, GroupBuckets]
    series: list[SeriesInfo]


@dataclass(frozen=True, slots=True)
class Groups:
    """The answer: the groups' values and runs, the series, and the requested runs and keys that do not exist."""

    values: Sequence[Any]
    runs: list[list[RunPath]]
    series: list[GroupedSeries]
    unknown_runs: list[RunPath]
    unknown_keys: list[str]
    progress: dict[RunPath, Progress]


class _GroupedKey(NamedTuple):
    """A key of one kind, and its series in the range, one per run and selected writer."""

    key: str
    kind: Kind
    series: list[tuple[RunPath, SeriesInfo]]


class _Grouping(NamedTuple):
    """The groups' values and runs, and the function that returns the indexes of a series' groups."""

    values: Sequence[Any]
    runs: list[list[RunPath]]
    find: Callable[[RunPath, SeriesInfo], Sequence[int]]


def check_group_by(name: str | None) -> None:
    """Check what series are grouped by. Raises: RequestError."""
    if name is None or name == BY_WRITER or name in GROUPABLE or (name.startswith(_CONFIG) and name != _CONFIG):
        return
    rule = "is not a field that runs can be grouped by"
    raise RequestError("group_by", name, rule, f"send config.KEY, or one of {', '.join((*GROUPABLE, BY_WRITER))}")


def read_states(
    store: Store, runs: Sequence[RunPath], activity: Mapping[RunPath, Activity], since: int
) -> dict[RunPath, list[Any]]:
    """Return the served state of each run as the names of its groups; `since`: `alive_since` of `rules.run_states`.

    Raises:
        StoreError: when ClickHouse does not answer.
    """
    stored = _read_column(store, runs, _STATES)
    names: dict[RunPath, list[Any]] = {run: [None] for run in runs}
    for run, value in stored.items():
        state, started = value.values()
        last_sign = max(started, activity[run].last_ms) if run in activity else started
        names[run] = [served_state(state, last_sign, since)]
    return names


def read_groups(
    store: Store,
    runs: Sequence[RunPath],
    activity: Mapping[RunPath, Activity],
    request: SeriesRequest,
    group_by: str | Mapping[RunPath, list[Any]] | None,
    limits: QueryLimits,
    *,
    filled: bool = False,
) -> Groups:
    """Read series of runs by group; `activity` has the stored progress of each run that exists.

    Args:
        group_by: the field of the runs that names their groups, or BY_WRITER, or the names of each run's groups, as
            `read_states` returns them for the state.
        filled: widen the buckets of a key to the median distance between two rows of its runs.

    Raises:
        RequestError: when the selected writers have too many series.
        StoreError: when ClickHouse does not answer.
    """
    known = [run for run in runs if run in activity]
    series_by_run = add_boundaries(store, find_series(store, known, request.keys, request.writers))
    grouped_keys = _grouped_keys(known, series_by_run, request)
    check_number(sum(len(own.series) for own in grouped_keys), request)
    grouping = _by_writer(known, grouped_keys) if group_by == BY_WRITER else _by_run(store, known, group_by)
    return Groups(
        grouping.values,
        grouping.runs,
        _read_series(BucketReader(store, limits), grouped_keys, grouping, request, filled),
        [run for run in runs if run not in activity],
        [key for key in dict.fromkeys(request.keys) if not any(series_by_run[run][key] for run in known)],
        {run: build_progress(activity[run], None) for run in known},
    )


def _by_run(store: Store, runs: Sequence[RunPath], group_by: str | Mapping[RunPath, list[Any]] | None) -> _Grouping:
    values, of_run = group_values(_values(store, runs, group_by))
    groups = dict(zip(runs, of_run, strict=True))
    members = [[run for run in runs if index in groups[run]] for index in range(len(values))]
    return _Grouping(values, members, lambda run, _: groups[run])


def _by_writer(runs: Sequence[RunPath], grouped_keys: Sequence[_GroupedKey]) -> _Grouping:
    """Return a group for each writer of the series, in their order; the unnamed writer's has the value ''."""
    logged: dict[str, set[RunPath]] = {}
    for own in grouped_keys:
        for run, info in own.series:
            logged.setdefault(info.writer, set()).add(run)
    names = sorted(logged, key=writer_order)
    places = {name: [index] for index, name in enumerate(names)}
    members = [[run for run in runs if run in logged[name]] for name in names]
    return _Grouping(names, members, lambda _, info: places[info.writer])


def _values(
    store: Store, runs: Sequence[RunPath], group_by: str | Mapping[RunPath, list[Any]] | None
) -> list[list[Any]]:
    """Return the values of the field that runs are grouped by, for each run; [None] if a run has none."""
    if group_by is None:
        return [[None] for _ in runs]
    if not isinstance(group_by, str):
        return [group_by[run] for run in runs]
    column = "d.config" if group_by.startswith(_CONFIG) else FIELDS[group_by].sql
    stored = _read_column(store, runs, _DOCUMENTS.replace("{column}", column))
    if group_by.startswith(_CONFIG):
        path = group_by.removeprefix(_CONFIG)
        return [[value_at_path(json_object(stored.get(run) or "{}"), path, None)] for run in runs]
    series_by_run = [stored.get(run) for run in runs]
    # False is a value: the runs of a clean checkout, or those without a request to stop, are a group.
    return [own if isinstance(own, list) and own else [None if own in ("", []) else own] for own in series_by_run]


def _read_column(store: Store, runs: Sequence[RunPath], sql: str) -> dict[RunPath, Any]:
    rows = store.query(sql, runs_parameters(runs)).to_pylist() if runs else []
    return {RunPath(row["entity"], row["project"], row["run_id"]): row["value"] for row in rows}


def _grouped_keys(runs: Sequence[RunPath], series_by_run: SeriesByKey, request: SeriesRequest) -> list[_GroupedKey]:
    """Return the keys to aggregate in the order of the request; spellings that fold to the same key count once."""
    grouped_keys: dict[tuple[str, Kind], _GroupedKey] = {}
    for key in request.keys:
        for run in runs:
            for info in series_by_run[run][key]:
                if info.kind not in DRAWN_TABLES or not _is_within(info, request):
                    continue
                own = grouped_keys.setdefault((fold_key(key), info.kind), _GroupedKey(key, info.kind, []))
                if own.key == key:
                    own.series.append((run, info))
    return list(grouped_keys.values())


def _read_series(
    reader: BucketReader,
    grouped_keys: Sequence[_GroupedKey],
    grouping: _Grouping,
    request: SeriesRequest,
    filled: bool,
) -> list[GroupedSeries]:
    """Read all series together; group g of the n-th key is aggregated under the number n * (number of groups) + g."""
    width = len(grouping.values)
    reads: list[SeriesRead] = []
    members: list[tuple[int, int]] = []
    extents = [_extent([info for _, info in own.series], request) for own in grouped_keys]
    shifts = [bucket_shift(*extent, request.points) for extent in extents]
    shifts = limit_rollup_reads(shifts, [_rolled_steps(own, request) for own in grouped_keys], LEVELS, _ROLLUP_ROWS)
    starts: list[int] = []
    shifts = [max(shift, _finest(own, request)) for shift, own in zip(shifts, grouped_keys, strict=True)]
    if filled:
        shifts = [max(shift, _spacing(own)) for shift, own in zip(shifts, grouped_keys, strict=True)]
    for number, own in enumerate(grouped_keys):
        starts.append(len(reads))
        for run, info in own.series:
            members += [(len(reads), number * width + group) for group in grouping.find(run, info)]
            low, high = _extent([info], request)
            reads.append(SeriesRead(run, info, low, high, shifts[number]).without_removed_rows())
    aggregated = aggregate_groups(reader.read(reads), np.array([read.shift for read in reads], np.int64), members)
    return [
        GroupedSeries(
            own.key, own.kind, *extents[number], shifts[number],
            {
                group: replace(
                    part, min_owner=part.min_owner - starts[number], max_owner=part.max_owner - starts[number]
                )
                for group in range(width)
                if len((part := aggregated.select_group(number * width + group)).step)
            },
            [info for _, info in own.series],
        )
        for number, own in enumerate(grouped_keys)
    ]  # fmt: skip


def _is_within(info: SeriesInfo, request: SeriesRequest) -> bool:
    return clip(info.is_drawn_from, info.last, request.step_from, request.step_to) is not None


def _finest(own: _GroupedKey, request: SeriesRequest) -> int:
    """Return the least shift of buckets: that of the lowest rollups if rows of a series are removed, otherwise 0."""
    reads = (SeriesRead(run, info, *_extent([info], request), 0) for run, info in own.series)
    return LEVELS[0] if any(read.has_removed_rows for read in reads) else 0


def _rolled_steps(own: _GroupedKey, request: SeriesRequest) -> int:
    """Return the steps that the series of a key cover; 0 for booleans, which have no rollups."""
    extents = [_extent([info], request) for _, info in own.series if info.kind is Kind.NUMBER]
    return sum(high - low + 1 for low, high in extents)


def _spacing(own: _GroupedKey) -> int:
    """Return the shift of buckets as wide as the median distance between two rows of a key's runs."""
    series = [info for _, info in own.series]
    return filled_shift([(info.last - info.first, info.rows) for info in series])


def _extent(series: Sequence[SeriesInfo], request: SeriesRequest) -> tuple[int, int]:
    """Return the range of requested steps that the series cover together; each has a step in the request's range."""
    low, high = min(info.is_drawn_from for info in series), max(info.last for info in series)
    return clip(low, high, request.step_from, request.step_to) or (low, high)
