"""Accumulate values within runs of a sorted array, strictly one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]


def running(
    function: np.ufunc, begun: NDArray[Any], values: NDArray[Any], starts: Int64s
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the result before each value, and after the last value of each run.

    Unlike `reduceat`, it combines values strictly in their order, so that sums of floats depend on nothing else.

    Args:
        function: such as `np.add`.
        begun: [runs], the value that each run begins with.
        values: [n].
        starts: ascending, the first 0; a run ends at the next start.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if len(values) == len(starts):
            return begun, function(begun, values)
        lengths = np.diff(starts, append=len(values))
        longest = int(lengths.max())
        before, total = np.empty_like(values), begun.copy()
        if len(starts) < longest:
            for number, (start, length) in enumerate(zip(starts.tolist(), lengths.tolist(), strict=True)):
                results = function.accumulate(np.append(total[number], values[start : start + length]))
                before[start : start + length], total[number] = results[:-1], results[-1]
            return before, total
        # The longest first, so that the total cost is proportional to the number of values.
        order = np.argsort(-lengths, kind="stable")
        left = np.searchsorted(-lengths[order], -np.arange(longest), "left")
        for turn, count in enumerate(left.tolist()):
            longer = order[:count]
            places = starts[longer] + turn
            before[places] = total[longer]
            total[longer] = function(total[longer], values[places])
        return before, total


def last_of_each(steps: Int64s, versions: NDArray[np.uint64], starts: Int64s) -> Int64s:
    """Return the place of each run's greatest step; of equal ones that with the greatest version, or the last."""
    ends = np.append(starts[1:], len(steps)) - 1
    is_last = (steps[ends] == np.maximum.reduceat(steps, starts)) & (
        versions[ends] == np.maximum.reduceat(versions, starts)
    )
    if is_last.all():
        return ends
    runs = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(steps)))
    newest: Int64s = np.lexsort((versions, steps, runs))[ends]
    return newest
