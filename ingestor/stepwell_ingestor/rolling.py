"""Which buckets of rollups a flush must compute, and the statements that do it. Pure; see `stepwell_schemas.rollups`.

A flush closes buckets: the one of a series' last step before it, and those of its own rows, up to the first that stays
open. And it changes closed ones, where its rows come late or overwrite a value. Both are one rule: of the buckets that
hold the last step before or a row of the flush, those that are closed behind it are computed, level by level.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from stepwell_ingestor.points import Columns, Int64s
from stepwell_ingestor.state import RunState
from stepwell_schemas.identifiers import RunPath
from stepwell_schemas.kinds import Kind
from stepwell_schemas.rollups import Buckets, Statement, computing, level_below

_NEVER: Final = -1
"""Stands for the last step of a series that has none."""

# A server takes 128 KiB as one parameter (http_max_field_value_size), in which a character may be written as two.
_KEYS_BYTES: Final = 32_768
_KEY_BYTES: Final = 4
_BUCKETS: Final = 1_500
_PARTS: Final = 16


class Series(NamedTuple):
    """Numbers' series of a run that have a row wherever one of them has one: their keys, and which columns have it."""

    path: RunPath
    keys: list[str]
    columns: list[Columns]


def series_of(columns: Sequence[Columns]) -> list[Series]:
    """Return the series of numbers in columns of a flush, those together that the same columns have."""
    # First by equal lists of keys: there are few, however many columns there are.
    lists: dict[tuple[RunPath, tuple[str, ...]], list[Columns]] = {}
    for part in columns:
        if part.kind is Kind.NUMBER and len(part.steps):
            lists.setdefault((part.path, tuple(part.keys)), []).append(part)
    places: dict[tuple[RunPath, str], list[int]] = {}
    for number, (path, keys) in enumerate(lists):
        for key in keys:
            places.setdefault((path, key), []).append(number)
    groups: dict[tuple[RunPath, tuple[int, ...]], list[str]] = {}
    for (path, key), numbers in places.items():
        groups.setdefault((path, tuple(numbers)), []).append(key)
    parts = list(lists.values())
    return [
        Series(path, keys, [part for number in numbers for part in parts[number]])
        for (path, numbers), keys in groups.items()
    ]


def touched(
    columns: Sequence[Columns], before: Mapping[RunPath, RunState], levels: Sequence[int]
) -> dict[int, list[Buckets]]:
    """Return the buckets to compute after these columns are stored, by level, the lowest first.

    Args:
        columns: what the flush stores.
        before: the state of each run before the flush.
        levels: the levels, ascending.
    """
    found: dict[int, list[Buckets]] = {level: [] for level in levels}
    for series in series_of(columns):
        steps = np.concatenate([part.steps for part in series.columns])
        last_steps = before[series.path].last_steps
        prior = np.array([last_steps.get((key, str(Kind.NUMBER)), _NEVER) for key in series.keys])
        last = np.maximum(prior, steps.max())
        for level in levels:
            chosen = [*_of_rows(series, steps, last, level), *_of_prior(series, steps, prior, last, level)]
            if not chosen:
                # Nor is a bucket of a higher level closed.
                break
            found[level] += chosen
    return {level: chosen for level, chosen in found.items() if chosen}


def _of_rows(series: Series, steps: Int64s, last: Int64s, level: int) -> Iterator[Buckets]:
    buckets, ends = np.unique(steps >> level), last >> level
    for end in np.unique(ends):
        shut = buckets[buckets < end]
        if len(shut):
            yield Buckets(series.path, _where(series.keys, ends == end), shut.tolist())


def _of_prior(series: Series, steps: Int64s, prior: Int64s, last: Int64s, level: int) -> Iterator[Buckets]:
    """Yield the buckets that the series' last steps before the flush lie in, where no row of the flush does."""
    shut = (prior != _NEVER) & (prior >> level < last >> level) & ~np.isin(prior >> level, steps >> level)
    for bucket in np.unique(prior[shut] >> level):
        yield Buckets(series.path, _where(series.keys, shut & (prior >> level == bucket)), [int(bucket)])


def _where(keys: list[str], chosen: np.ndarray) -> list[str]:
    return keys if chosen.all() else [keys[place] for place in np.flatnonzero(chosen).tolist()]


def statements(chosen: Mapping[int, Sequence[Buckets]], version: int, levels: Sequence[int]) -> Iterator[Statement]:
    """Yield the statements that compute buckets, in the order in which they must run; each of bounded size."""
    for level in levels:
        pieces = [piece for one in chosen.get(level, ()) for piece in _pieces(one)]
        for start in range(0, len(pieces), _PARTS):
            yield computing(level, level_below(level, levels), pieces[start : start + _PARTS], version)


def _pieces(one: Buckets) -> Iterator[Buckets]:
    for keys in _portions(one.keys):
        for start in range(0, len(one.buckets), _BUCKETS):
            yield Buckets(one.path, keys, one.buckets[start : start + _BUCKETS])


def _portions(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    ends = np.cumsum([len(key.encode()) + _KEY_BYTES for key in keys])
    start = 0
    while start < len(keys):
        before = ends[start - 1] if start else 0
        end = max(int(np.searchsorted(ends, before + _KEYS_BYTES, "right")), start + 1)
        yield keys[start:end]
        start = end
