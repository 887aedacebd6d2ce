"""Series as a table with a row per point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from stepwell.errors import ApiError

_COLUMNS: Final = ("x", "step", "value", "min", "max", "mean", "counts", "nans", "smoothed")
_BAND_COLUMNS: Final = ("step", "mean", "min", "max", "std", "count", "low", "high")
_EXTREMES: Final = ("min_writer", "max_writer")


def points_to_dataframe(response: Mapping[str, Any], keys: Sequence[str], pandas: bool) -> Any:
    """Return a response's points as a DataFrame; without pandas, return its series unchanged.

    Raises:
        ApiError: if a key is unknown, or has neither numbers nor booleans.
    """
    undrawn = [f"{metric['key']} ({metric['kind']})" for metric in response.get("undrawn", ())]
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
        columns = _band(series) if "across" in response else {name: series[name] for name in _COLUMNS if name in series}
        frame = DataFrame(columns)
        frame.insert(0, "kind", series["kind"])
        frame.insert(0, "key", series["key"])
        if named:
            frame["writer"] = series.get("writer", "")
        frames.append(frame)
    return concat(frames, ignore_index=True) if frames else DataFrame()


def _band(series: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a series across writers, with the names of the writers of the extremes."""
    names = series["writers"]
    extremes = {name: [names[place] for place in series[name]] for name in _EXTREMES}
    return {name: series[name] for name in _BAND_COLUMNS} | extremes
