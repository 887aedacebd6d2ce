"""The numbers of a flush as points: series with the same rows together, others in one sequence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepwell_ingestor.planner.columns import Columns, Int64s
from stepwell_ingestor.planner.flush_series import FlushSeries
from stepwell_ingestor.planner.rollups.rows import FlatPoints, Marks, Points
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind

_MICROSECONDS_A_MILLISECOND = 1_000
# A series costs 2.4 µs on all rollup levels, however few points it has, and in one sequence 0.4 µs a point.
_FEW_ROWS = 4


class AlignedSeries(NamedTuple):
    """Number series of a writer that have the same rows.

    `parts`: the numbers of the parts with the rows, each with the places of the keys in it; None if its keys are
    exactly those of `numbers`, in this order.
    """

    numbers: Int64s
    parts: list[tuple[int, Int64s | None]]

    def points(self, all_parts: Sequence[Columns]) -> Points:
        """Return the points; for several values at one step, the one of the newest version."""
        parts = [all_parts[number] for number, _ in self.parts]
        steps = np.concatenate([part.steps for part in parts])
        timestamps = np.concatenate([part.timestamps for part in parts]) // _MICROSECONDS_A_MILLISECOND
        values = np.concatenate([_values(all_parts[number], places) for number, places in self.parts], axis=1)
        if (steps[1:] > steps[:-1]).all():
            return Points(steps, timestamps, values)
        order = np.lexsort((np.concatenate([part.versions for part in parts]), steps))
        newest = order[np.append(np.diff(steps[order]) > 0, True)]
        return Points(steps[newest], timestamps[newest], values[:, newest])


def _values(part: Columns, places: Int64s | None) -> NDArray[np.float64]:
    values: NDArray[np.float64] = part.values.reshape(len(part.keys), len(part.steps))
    return values if places is None else values[places]


def aligned_series(series: FlushSeries, least: int) -> Iterator[AlignedSeries]:
    """Yield the groups of number series with the same rows that have at least so many points, and not few rows."""
    by_group: dict[tuple[RunPath, int], dict[bytes, list[int]]] = {}
    points: dict[tuple[RunPath, int], int] = {}
    for number, part in enumerate(series.parts):
        if part.kind is Kind.NUMBER:
            group = part.path, part.group
            by_group.setdefault(group, {}).setdefault(part.numbers.tobytes(), []).append(number)
            points[group] = points.get(group, 0) + len(part.values)
    for group, lists in by_group.items():
        if points[group] >= least:
            for found in _of_group(series, list(lists.values())):
                rows = sum(len(series.parts[number].steps) for number, _ in found.parts)
                if rows >= _FEW_ROWS and len(found.numbers) * rows >= least:
                    yield found


def _of_group(series: FlushSeries, lists: list[list[int]]) -> Iterator[AlignedSeries]:
    """Yield the series of a writer with the same rows, given its parts by their lists of keys."""
    numbers = [_numbers(series, parts[0]) for parts in lists]
    if len(lists) == 1 or len(np.unique(np.concatenate(numbers))) == sum(map(len, numbers)):
        # No key is in two lists, as with a loop that always logs the same keys.
        for own, parts in zip(numbers, lists, strict=True):
            yield AlignedSeries(own, [(part, None) for part in parts])
        return
    found: dict[int, list[tuple[int, int]]] = {}
    for turn, own in enumerate(numbers):
        for place, number in enumerate(own.tolist()):
            found.setdefault(number, []).append((turn, place))
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, at in found.items():
        groups.setdefault(tuple(turn for turn, _ in at), []).append(number)
    for turns, members in groups.items():
        places = [np.array([found[member][turn][1] for member in members]) for turn in range(len(turns))]
        yield AlignedSeries(
            np.array(members),
            # In the order of events: of equal versions, ClickHouse keeps the last row.
            sorted(
                ((part, of_turn) for turn, of_turn in zip(turns, places, strict=True) for part in lists[turn]),
                key=itemgetter(0),
            ),
        )


def _numbers(series: FlushSeries, part: int) -> Int64s:
    first = int(series.first_entries[part])
    return series.numbers[first : first + int(series.widths[part])]


def flat_points(series: FlushSeries, chosen: Marks) -> tuple[Int64s, FlatPoints]:
    """Return the numbers of some series, ascending, and their points, numbered from 0.

    For several values at one step, the point is the one of the newest version.

    Args:
        series: the series of the flush.
        chosen: bool[series], True for those; all of them are numbers.
    """
    entries = series.order if chosen.all() else series.order[chosen[series.numbers[series.order]]]
    parts = series.part_of[entries]
    used = np.zeros(len(series.parts), np.bool_)
    used[parts] = True
    # Where the rows and the values of each part that is used begin among those of all.
    rows = np.where(used, series.rows, 0)
    sizes = rows * series.widths
    first_rows, first_values = np.cumsum(rows) - rows, np.cumsum(sizes) - sizes
    lengths = series.rows[parts]
    starts = np.cumsum(lengths) - lengths
    within = np.arange(int(lengths.sum())) - np.repeat(starts, lengths)
    of_rows = np.repeat(first_rows[parts], lengths) + within
    place = first_values[parts] + (entries - series.first_entries[parts]) * lengths
    columns = [part for part, is_used in zip(series.parts, used.tolist(), strict=True) if is_used]
    numbers = np.cumsum(chosen) - 1
    flat = FlatPoints(
        np.repeat(numbers[series.numbers[entries]], lengths),
        np.concatenate([part.steps for part in columns])[of_rows],
        np.concatenate([part.timestamps for part in columns])[of_rows] // _MICROSECONDS_A_MILLISECOND,
        np.concatenate([part.values for part in columns])[np.repeat(place, lengths) + within],
    )
    if not ((flat.series[1:] != flat.series[:-1]) | (flat.steps[1:] > flat.steps[:-1])).all():
        versions = np.concatenate([part.versions for part in columns])[of_rows]
        ordered = flat.at(np.lexsort((versions, flat.steps, flat.series)))
        flat = ordered.at((np.diff(ordered.series, append=-1) != 0) | (np.diff(ordered.steps, append=-1) != 0))
    return np.flatnonzero(chosen), flat
