"""Reads series of many runs and sums them up by a config value, a tag or another field of the runs."""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from stepwell_query.catalog.conditions import OF_RUNS
from stepwell_query.catalog.models import Activity, Progress, SeriesByKey, SeriesInfo
from stepwell_query.catalog.progress import build_progress
from stepwell_query.catalog.series import find_series
from stepwell_query.errors import RequestError
from stepwell_query.runs.fields import FIELDS, GROUPABLE
from stepwell_query.runs.paths import value_at_path
from stepwell_query.series.bucket_reader import DRAWN_TABLES, RowReader
from stepwell_query.series.groups.aggregate import GroupBuckets, grouped, groups_of
from stepwell_query.series.math.bucketing import bucket_shift, clip, filled_shift
from stepwell_query.series.models import SeriesRequest
from stepwell_query.series.read_plan import Reading
from stepwell_query.stored_json import json_object
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.keys import fold_key
from stepwell_schemas.rules.kinds import Kind

_CONFIG: Final = "config."

_DOCUMENTS: Final = f"""
SELECT entity, project, run_id, {{column}} AS value FROM {{db}}.run_documents AS d FINAL PREWHERE {OF_RUNS}
"""


@dataclass(frozen=True, slots=True)
class GroupedSeries:
    """A key's series of one kind, of all runs that have it: buckets of `2**shift` steps from `first` to `last`.

    `buckets` has those of each group that has any, by its place among the groups.
    """

    key: str
    kind: Kind
    first: int
    last: int
    shift: int
    buckets: dict[int, GroupBuckets]


@dataclass(frozen=True, slots=True)
class Groups:
    """The answer: groups by their values with their runs, the series, and what of the request was not found."""

    values: list[Any]
    runs: list[list[RunPath]]
    series: list[GroupedSeries]
    unknown_runs: list[RunPath]
    unknown_keys: list[str]
    progress: dict[RunPath, Progress]


class _Asked(NamedTuple):
    """A key of one kind, and the series of the runs that have it in the range."""

    key: str
    kind: Kind
    series: list[tuple[RunPath, SeriesInfo]]


def check_group_by(name: str | None) -> None:
    """Check what runs are to be grouped by. Raises: RequestError."""
    if name is None or name in GROUPABLE or (name.startswith(_CONFIG) and name != _CONFIG):
        return
    rule = "is nothing that runs are grouped by"
    raise RequestError("group_by", name, rule, f"send config.KEY, or one of {', '.join(GROUPABLE)}")


def read_groups(
    store: Store,
    runs: Sequence[RunPath],
    activity: Mapping[RunPath, Activity],
    request: SeriesRequest,
    group_by: str | Mapping[RunPath, list[Any]] | None,
    max_seconds: float,
    *,
    filled: bool = False,
) -> Groups:
    """Read series of runs by group; `activity` says how far the runs are stored.

    Args:
        group_by: what of the runs names their groups, or the names of each run's groups.
        filled: widen the buckets of a key until the middle one of its runs has a row in each.

    Raises:
        StoreError: when ClickHouse does not answer.
    """
    known = [run for run in runs if run in activity]
    found = find_series(store, known, request.keys)
    values, of_run = groups_of(_values(store, known, group_by))
    groups = dict(zip(known, of_run, strict=True))
    return Groups(
        values,
        [[run for run in known if place in groups[run]] for place in range(len(values))],
        _series(RowReader(store, max_seconds), _asked(known, found, request), groups, len(values), request, filled),
        [run for run in runs if run not in activity],
        [key for key in dict.fromkeys(request.keys) if not any(found[run][key] for run in known)],
        {run: build_progress(activity[run], None) for run in known},
    )


def _values(
    store: Store, runs: Sequence[RunPath], group_by: str | Mapping[RunPath, list[Any]] | None
) -> list[list[Any]]:
    """Return each run's values of what runs are grouped by; a run that has none has the value None."""
    if group_by is None:
        return [[None] for _ in runs]
    if not isinstance(group_by, str):
        return [group_by[run] for run in runs]
    column = "d.config" if group_by.startswith(_CONFIG) else FIELDS[group_by].sql
    sql = _DOCUMENTS.replace("{column}", column)
    rows = store.query(sql, {"runs": [tuple(run) for run in runs]}).to_pylist() if runs else []
    stored = {RunPath(row["entity"], row["project"], row["run_id"]): row["value"] for row in rows}
    if group_by.startswith(_CONFIG):
        path = group_by.removeprefix(_CONFIG)
        return [[value_at_path(json_object(stored.get(run) or "{}"), path, None)] for run in runs]
    found = [stored.get(run) for run in runs]
    return [own if isinstance(own, list) and own else [None if own in ("", []) else own] for own in found]


def _asked(runs: Sequence[RunPath], found: SeriesByKey, request: SeriesRequest) -> list[_Asked]:
    """Return what is summed up, in the order of the keys; two spellings of a key are one."""
    asked: dict[tuple[str, Kind], _Asked] = {}
    for key in request.keys:
        for run in runs:
            for info in found[run][key]:
                if info.kind not in DRAWN_TABLES or not clip(info.first, info.last, request.low, request.high):
                    continue
                own = asked.setdefault((fold_key(key), info.kind), _Asked(key, info.kind, []))
                if own.key == key:
                    own.series.append((run, info))
    return list(asked.values())


def _series(
    reader: RowReader,
    asked: Sequence[_Asked],
    groups: Mapping[RunPath, Sequence[int]],
    width: int,
    request: SeriesRequest,
    filled: bool,
) -> list[GroupedSeries]:
    """Read all series at once; the buckets of group g of the n-th key are summed up as group n * width + g."""
    readings: list[Reading] = []
    members: list[tuple[int, int]] = []
    extents = [_extent([info for _, info in own.series], request) for own in asked]
    shifts = [bucket_shift(*extent, request.points) for extent in extents]
    if filled:
        shifts = [max(shift, _spacing(own)) for shift, own in zip(shifts, asked, strict=True)]
    for number, own in enumerate(asked):
        for run, info in own.series:
            members += [(len(readings), number * width + group) for group in groups[run]]
            low, high = _extent([info], request)
            readings.append(Reading(run, info, low, high, shifts[number]))
    found = grouped(reader.read(readings), np.array([reading.shift for reading in readings], np.int64), members)
    return [
        GroupedSeries(
            own.key, own.kind, *extents[number], shifts[number],
            {
                group: part
                for group in range(width)
                if len((part := found.of(number * width + group)).step)
            },
        )
        for number, own in enumerate(asked)
    ]  # fmt: skip


def _spacing(own: _Asked) -> int:
    """Return the shift of buckets in each of which the middle one of a key's runs has a row, if its steps are even."""
    series = [info for _, info in own.series]
    return filled_shift([(info.last - info.first, info.rows) for info in series])


def _extent(series: Sequence[SeriesInfo], request: SeriesRequest) -> tuple[int, int]:
    """Return the asked steps of series that all have some."""
    low, high = min(info.first for info in series), max(info.last for info in series)
    return clip(low, high, request.low, request.high) or (low, high)
