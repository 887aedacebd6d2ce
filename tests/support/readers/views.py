"""Expected views of series, computed value by value."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest


def as_number(value: Any) -> float:
    return float({"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}.get(value, value))


def model(steps: np.ndarray[Any, Any], values: np.ndarray[Any, Any], width: int) -> list[dict[str, Any]]:
    """Return the expected content of each bucket, computed value by value."""
    buckets: dict[int, list[tuple[int, float]]] = {}
    for step, value in sorted(zip(steps.tolist(), values.tolist(), strict=True), key=lambda pair: pair[0]):
        buckets.setdefault(step // width, []).append((step, value))
    rows = []
    for bucket in sorted(buckets):
        pairs = buckets[bucket]
        real = [value for _, value in pairs if not math.isnan(value)]
        finite = [value for value in real if math.isfinite(value)]
        rows.append(
            {
                "step": pairs[-1][0],
                "value": pairs[-1][1],
                "min": min(real, default=math.nan),
                "max": max(real, default=math.nan),
                "mean": math.fsum(finite) / len(finite) if finite else pairs[-1][1],
                "counts": len(pairs),
                "nans": len(pairs) - len(real),
            }
        )
    return rows


def points_of(series: dict[str, Any]) -> list[dict[str, Any]]:
    names = ("step", "value", "min", "max", "mean", "counts", "nans")
    columns = [[as_number(value) for value in series[name]] for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def assert_same_points(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, rel=1e-12, nan_ok=True)


def noisy(count: int, seed: int = 3) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=count)
    values[rng.integers(0, count, count // 20)] = np.nan
    values[rng.integers(0, count, count // 100)] = np.inf
    values[rng.integers(0, count, count // 100)] = -np.inf
    return values
