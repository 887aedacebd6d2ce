"""Fills what rows lack, from a metric's values around them: numbers in a straight line, or any value carried forward.

What is filled depends on the metric's own values alone, and not on which rows were chosen or which steps were asked
for: a closer view shows the same values. Pure.

- `linear`: a number between its two neighbours by step, where both are finite: next to a NaN or an infinity nothing is
  filled, since no number lies between. Other kinds are left alone.
- `last`: the value at the step before, NaN and all other kinds included.
- Nothing is filled before a metric's first value, by `linear` nothing after its last one.
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
    """How a value that a row lacks is made up."""

    LINEAR = "linear"
    LAST = "last"


def fillable(info: SeriesInfo, how: Interpolation) -> bool:
    """Whether values of a series are filled at all."""
    return how is Interpolation.LAST or info.kind is Kind.NUMBER


def lacking(rows: StepRows, how: Interpolation) -> list[SeriesInfo]:
    """Return the series that can be filled and lack a value in some row."""
    counts = np.zeros(len(rows.series), np.int64)
    for table in rows.tables:
        counts += np.bincount(table.series, minlength=len(counts))
    return [
        info
        for info, count in zip(rows.series, counts.tolist(), strict=True)
        if count < len(rows) and fillable(info, how)
    ]


def interpolated(rows: StepRows, around: Sequence[Values], how: Interpolation) -> StepRows:
    """Return the rows with what they lack filled, as far as the rules say, and marked.

    `around` holds, of every series in `lacking`, at least the nearest values before and behind each row that lacks one.
    """
    known = _by_kind(rows.series, around)
    tables = [_unmarked(table) for table in rows.tables]
    for kind, values in known.items():
        logged = [table for table in rows.tables if rows.kind_of(table) is kind]
        there = Values.joined(logged) if logged else None
        tables += [_filled(rows, index, values, there, how) for index in np.unique(values.series).tolist()]
    return StepRows.of(rows.series, tables, rows.started_ms)


def linear(steps: Int64s, values: Float64s, at: Int64s) -> tuple[Float64s, NDArray[np.bool_]]:
    """Return the numbers on the lines between neighbours at the steps `at`, and at which of them there is one.

    `steps`, ascending, hold `values`; none of `at` is among them.
    """
    behind = np.searchsorted(steps, at)
    inside = (behind > 0) & (behind < len(steps))
    after, before = np.where(inside, behind, 0), np.where(inside, behind - 1, 0)
    low, high = values[before], values[after]
    finite = inside & np.isfinite(low) & np.isfinite(high)
    low, high = np.where(finite, low, 0.0), np.where(finite, high, 0.0)
    share = (at - steps[before]) / np.maximum(1, steps[after] - steps[before])
    with np.errstate(over="ignore", invalid="ignore"):
        rise = high - low
        # Two numbers may lie further apart than the largest number.
        line = np.where(np.isfinite(rise), low + rise * share, low * (1 - share) + high * share)
    return line, finite


def _filled(rows: StepRows, index: int, known: Values, logged: Values | None, how: Interpolation) -> Values:
    """Return the values that the rows without one of a series get."""
    own = known.picked(known.series == index)
    own = own.picked(np.argsort(own.step, kind="stable"))
    there = np.empty(0, np.int64) if logged is None else logged.step[logged.series == index]
    at = np.setdiff1d(rows.steps, there, assume_unique=True)
    if how is Interpolation.LAST:
        before = np.searchsorted(own.step, at) - 1
        at, before = at[before >= 0], before[before >= 0]
        carried = own.picked(before)
        # Of two kinds of a key, a row shows the one that was carried from the nearer step.
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
    found: dict[Kind, list[Values]] = {}
    for table in tables:
        found.setdefault(series[int(table.series[0])].kind, []).append(table)
    return {kind: Values.joined(parts) for kind, parts in found.items()}
