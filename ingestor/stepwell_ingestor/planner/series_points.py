"""Group a flush's numbers into series: series with the same rows together, and their points in the order of steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepwell_ingestor.planner.point_tables import Columns, Int64s
from stepwell_ingestor.planner.rollups.rows import FlatPoints, Points
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind

_MICROSECONDS_A_MILLISECOND = 1_000


class Series(NamedTuple):
    """Number series of a writer that have the same rows.

    `columns`: the columns with the rows, each with the indices of `keys` in it; None if its keys are exactly `keys`.
    """

    path: RunPath
    writer: str
    keys: list[str]
    columns: list[tuple[Columns, Int64s | None]]

    @property
    def point_count(self) -> int:
        """Number of points; a step that is written twice counts twice."""
        return len(self.keys) * sum(len(part.steps) for part, _ in self.columns)

    def points(self) -> Points:
        """Return the points; for several values at one step, the one of the newest version."""
        parts = [part for part, _ in self.columns]
        steps = np.concatenate([part.steps for part in parts])
        timestamps = np.concatenate([part.timestamps for part in parts]) // _MICROSECONDS_A_MILLISECOND
        values = np.concatenate([_values(part, places) for part, places in self.columns], axis=1)
        if (steps[1:] > steps[:-1]).all():
            return Points(steps, timestamps, values)
        order = np.lexsort((np.concatenate([part.versions for part in parts]), steps))
        newest = order[np.append(np.diff(steps[order]) > 0, True)]
        return Points(steps[newest], timestamps[newest], values[:, newest])


def flat_points(all_series: Sequence[Series]) -> FlatPoints:
    """Return the points of numbered series; for several values at one step, the one of the newest version."""
    numbers, steps, versions, timestamps, values = (list[NDArray[Any]]() for _ in range(5))
    first = 0
    for series in all_series:
        of_keys = np.arange(first, first + len(series.keys))
        first += len(series.keys)
        for part, places in series.columns:
            count = len(of_keys)
            numbers.append(np.repeat(of_keys, len(part.steps)))
            for columns, column in ((steps, part.steps), (versions, part.versions), (timestamps, part.timestamps)):
                columns.append(column if count == 1 else np.tile(column, count))
            values.append(part.values if count == len(part.keys) == 1 else _values(part, places).ravel())
    flat = FlatPoints(
        np.concatenate(numbers), np.concatenate(steps),
        np.concatenate(timestamps) // _MICROSECONDS_A_MILLISECOND, np.concatenate(values),
    )  # fmt: skip
    order = np.lexsort((np.concatenate(versions), flat.steps, flat.series))
    ordered = flat.at(order)
    return ordered.at((np.diff(ordered.series, append=-1) != 0) | (np.diff(ordered.steps, append=-1) != 0))


def _values(part: Columns, places: Int64s | None) -> NDArray[np.float64]:
    values: NDArray[np.float64] = part.values.reshape(len(part.keys), len(part.steps))
    return values if places is None else values[places]


def group_series(columns: Sequence[Columns]) -> list[Series]:
    """Group the numbers in a flush's columns into series, those with the same rows together."""
    by_writer: dict[tuple[RunPath, str], dict[tuple[str, ...], list[Columns]]] = {}
    for part in columns:
        if part.kind is Kind.NUMBER and len(part.steps):
            by_writer.setdefault((part.path, part.writer), {}).setdefault(tuple(part.keys), []).append(part)
    return [series for (path, writer), lists in by_writer.items() for series in _of_writer(path, writer, lists)]


def _of_writer(path: RunPath, writer: str, lists: Mapping[tuple[str, ...], list[Columns]]) -> Iterator[Series]:
    if sum(map(len, lists)) == len(set().union(*lists)):
        # No key is in two lists, as with a loop that always logs the same keys.
        for keys, parts in lists.items():
            yield Series(path, writer, list(keys), [(part, None) for part in parts])
        return
    found: dict[str, list[tuple[int, int]]] = {}
    for number, keys in enumerate(lists):
        for place, key in enumerate(keys):
            found.setdefault(key, []).append((number, place))
    groups: dict[tuple[int, ...], list[str]] = {}
    for key, at in found.items():
        groups.setdefault(tuple(number for number, _ in at), []).append(key)
    by_number = list(lists.values())
    for numbers, members in groups.items():
        turns = [np.array([found[key][turn][1] for key in members]) for turn in range(len(numbers))]
        yield Series(
            path, writer, members,
            [(part, places) for number, places in zip(numbers, turns, strict=True) for part in by_number[number]],
        )  # fmt: skip
