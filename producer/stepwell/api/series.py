"""Series as a table with a row per point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from stepwell.errors import ApiError

_COLUMNS: Final = ("x", "step", "value", "min", "max", "mean", "counts", "nans", "smoothed")


def points_to_dataframe(response: Mapping[str, Any], keys: Sequence[str], pandas: bool) -> Any:
    """Return a response's points as a DataFrame; without pandas, return its series unchanged.

    Raises:
        ApiError: if a key is unknown, or has neither numbers nor booleans.
    """
    undrawn = [f"{metric['key']} ({metric['kind']})" for metric in response["undrawn"]]
    missing = [*response["unknown_keys"], *(undrawn if not response["series"] else [])]
    if missing:
        raise ApiError(
            f"of {', '.join(keys)}, the run has no numbers: {', '.join(missing)}; run.metrics() lists what it has"
        )
    if not pandas:
        return response["series"]
    try:
        from pandas import DataFrame, concat
    except ImportError:
        return response["series"]
    frames = []
    named = any("writer" in series for series in response["series"])
    for series in response["series"]:
        frame = DataFrame({name: series[name] for name in _COLUMNS if name in series})
        frame.insert(0, "kind", series["kind"])
        frame.insert(0, "key", series["key"])
        if named:
            frame["writer"] = series.get("writer", "")
        frames.append(frame)
    return concat(frames, ignore_index=True)
