"""What becomes of the service's views of series: a table with a row for each point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from stepwell.errors import ApiError

_COLUMNS: Final = ("x", "step", "value", "min", "max", "mean", "counts", "nans", "smoothed")


def points_of(answer: Mapping[str, Any], keys: Sequence[str], pandas: bool) -> Any:
    """Return an answer's points as a DataFrame (where pandas is installed), else its series as they are.

    Raises:
        ApiError: when the run has logged none of some keys, or neither numbers nor booleans under them.
    """
    undrawn = [f"{metric['key']} ({metric['kind']})" for metric in answer["undrawn"]]
    missing = [*answer["unknown_keys"], *(undrawn if not answer["series"] else [])]
    if missing:
        raise ApiError(
            f"of {', '.join(keys)}, the run has no numbers: {', '.join(missing)}; run.metrics() lists what it has"
        )
    if not pandas:
        return answer["series"]
    try:
        from pandas import DataFrame, concat
    except ImportError:
        return answer["series"]
    frames = []
    for series in answer["series"]:
        frame = DataFrame({name: series[name] for name in _COLUMNS if name in series})
        frame.insert(0, "kind", series["kind"])
        frame.insert(0, "key", series["key"])
        frames.append(frame)
    return concat(frames, ignore_index=True)
