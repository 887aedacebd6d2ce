"""Interpolation of missing values in rows: numbers linearly, or values of any kind carried forward.

The filled values depend only on the metric's own values, and not on the sampled rows or the requested steps: a closer
view shows the same values.

- `linear`: a number on the line between its two neighbours by step, if both are finite. Other kinds are not filled.
- `last`: the preceding value, including NaN and all other kinds.
- Nothing is filled before the first value of a metric, and with `linear` nothing after its last value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stepwell_query.catalog.models import SeriesInfo
from stepwell_query.rows.step_rows import Int64s, StepRows, Values
from stepwell_schemas.rules.kinds import Kind

Float64s = NDArray[np.float64]


class Interpolation(StrEnum):
    """Methods of filling missing values."""

    LINEAR = "linear"
    LAST = "last"


def can_fill(info: SeriesInfo, how: Interpolation) -> bool:
    """Return True if the method fills values of the series."""
    return how is Interpolation.LAST or info.kind is Kind.NUMBER


def series_with_gaps(rows: StepRows, how: Interpolation) -> list[SeriesInfo]:
    """Return the series that can be filled and have no value in at least one row."""
    counts = np.zeros(len(rows.series), np.int64)
    for table in rows.tables:
        counts += np.bincount(table.series, minlength=len(counts))
    return [
        info
        for info, count in zip(rows.series, counts.tolist(), strict=True)
        if count < len(rows) and can_fill(info, how)
    ]


def fill_gaps(rows: StepRows, around: Sequence[Values], how: Interpolation) -> StepRows:
    """Return the rows with missing values filled according to the rules, and marked as filled.

    `around` has for every series in `series_with_gaps` at least the nearest values before and after each gap.
    """
    known = _by_kind(rows.series, around)
    tables = [_unmarked(table) for table in rows.tables]
    for kind, values in known.items():
        logged = [table for table in rows.tables if rows.table_kind(table) is kind]
        there = Values.concatenate(logged) if logged else None
        tables += [_filled(rows, index, values, there, how) for index in np.unique(values.series).tolist()]
    return StepRows.from_values(rows.series, tables, rows.started_ms)


def linear(steps: Int64s, values: Float64s, at: Int64s) -> tuple[Float64s, NDArray[np.bool_]]:
    """Return the linearly interpolated numbers at the steps `at`, and a mask of the steps that have one.

    `steps` are the ascending steps of `values`; they contain none of `at`.
    """
    right = np.searchsorted(steps, at)
    inside = (right > 0) & (right < len(steps))
    after, before = np.where(inside, right, 0), np.where(inside, right - 1, 0)
    low, high = values[before], values[after]
    finite = inside & np.isfinite(low) & np.isfinite(high)
    low, high = np.where(finite, low, 0.0), np.where(finite, high, 0.0)
    share = (at - steps[before]) / np.maximum(1, steps[after] - steps[before])
    with np.errstate(over="ignore", invalid="ignore"):
        rise = high - low
        # The difference of two numbers may overflow.
        line = np.where(np.isfinite(rise), low + rise * share, low * (1 - share) + high * share)
    return line, finite


def _filled(rows: StepRows, index: int, known: Values, logged: Values | None, how: Interpolation) -> Values:
    """Return the filled values of a series for the rows that have none."""
    own = known.take(known.series == index)
    own = own.take(np.argsort(own.step, kind="stable"))
    there = np.empty(0, np.int64) if logged is None else logged.step[logged.series == index]
    at = np.setdiff1d(rows.steps, there, assume_unique=True)
    if how is Interpolation.LAST:
        before = np.searchsorted(own.step, at) - 1
        at, before = at[before >= 0], before[before >= 0]
        carried = own.take(before)
        # If a key has two kinds, a row shows the value carried from the nearer step.
        version = None if own.version is None else carried.step.astype(np.uint64)
        return replace(
            carried, step=at, time=np.zeros(len(at), np.int64), version=version, filled=np.ones(len(at), bool)
        )
    line, on_line = linear(own.step, own.value.to_numpy(), at)
    at = at[on_line]
    none = pa.array([""] * len(at), pa.string())
    count = len(at)
    return Values(
        series=np.full(count, index),
        step=at,
        time=np.zeros(count, np.int64),
        value=pa.array(line[on_line]),
        version=None if own.version is None else np.zeros(count, np.uint64),
        exact=None if own.exact is None else none,
        filled=np.ones(count, bool),
    )


def _unmarked(values: Values) -> Values:
    return replace(values, filled=np.zeros(len(values.step), bool))


def _by_kind(series: Sequence[SeriesInfo], tables: Sequence[Values]) -> dict[Kind, Values]:
    tables_by_kind: dict[Kind, list[Values]] = {}
    for table in tables:
        tables_by_kind.setdefault(series[int(table.series[0])].kind, []).append(table)
    return {kind: Values.concatenate(parts) for kind, parts in tables_by_kind.items()}
