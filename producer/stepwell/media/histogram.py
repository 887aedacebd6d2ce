"""`Histogram`: counts of values between edges; stored without a file."""

from __future__ import annotations

import math
import sys
from decimal import Decimal
from numbers import Real
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from stepwell.errors import UnstorableError
from stepwell.media.arrays import as_array
from stepwell.media.base import Keep, Media
from stepwell.media.sources import Snapshot
from stepwell_schemas.rules.kinds import Kind, as_float

MAX_BINS: Final = 512
_FLOAT_MAX: Final = sys.float_info.max
_ULPS: Final = 4
"""Width of a bin, in units in the last place of its edges, from which on numpy's edges differ from one another."""


class Histogram(Media):
    """A histogram.

    Args:
        sequence: the values: a list, an array or a tensor of any shape. NaN and ±Inf are counted separately.
        np_histogram: the result of `numpy.histogram`, instead of values: n counts and n + 1 edges.
        num_bins: number of bins of equal width, 512 at most; fewer if float64 has no edges between the values.
    """

    kind: ClassVar[Kind] = Kind.HISTOGRAM
    MAX_LENGTH: ClassVar[int] = MAX_BINS

    def __init__(
        self,
        sequence: Any = None,
        np_histogram: tuple[Any, Any] | None = None,
        num_bins: int = 64,
    ) -> None:
        self._snapshot = Snapshot(
            lambda: _from_values(sequence, num_bins) if np_histogram is None else _from_numpy(np_histogram)
        )

    @property
    def histogram(self) -> list[float]:
        """The counts, one per bin. Raises: UnstorableError."""
        counts: list[float] = self._snapshot.get()["counts"]
        return counts

    @property
    def bins(self) -> list[float]:
        """The edges, one more than bins. Raises: UnstorableError."""
        edges: list[float] = self._snapshot.get()["bins"]
        return edges

    def take(self, keep: Keep) -> dict[str, Any]:
        """Return `bins` (edges), `counts`, and `not_finite` if there are such values; see `Media.take`."""
        del keep
        return dict(self._snapshot.get())


def _from_values(sequence: Any, num_bins: int) -> dict[str, Any]:
    if sequence is None:
        raise UnstorableError("needs values or np_histogram=")
    if not 1 <= num_bins <= MAX_BINS:
        raise UnstorableError(f"num_bins {num_bins}: must be 1 … {MAX_BINS}")
    values = as_array(sequence).ravel()
    if values.dtype.kind == "O" and all(isinstance(value, Real | Decimal) for value in values):
        # Integers of more than 64 bits, and decimals.
        values = np.array([as_float(value) if isinstance(value, int) else float(value) for value in values])
    if values.dtype.kind not in "biuf":
        raise UnstorableError(f"values must be numbers, not {values.dtype}")
    finite = values[np.isfinite(values)]
    counts, edges = _count(finite.astype(np.float64), num_bins)
    reference: dict[str, Any] = {"bins": edges.tolist(), "counts": counts.tolist()}
    not_finite = len(values) - len(finite)
    return {**reference, "not_finite": not_finite} if not_finite else reference


def _count(values: NDArray[np.float64], num_bins: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return counts and edges of finite values, also where `numpy.histogram` has no bins of equal width.

    The edges of values within a few units in the last place, or of subnormal ones, coincide, and the range of values
    around ±1e308 is infinite.
    """
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    if low == high:
        # As numpy does; 0.5 does not change a large value, which the floats next to it are the nearest edges of.
        low = max(min(low - 0.5, math.nextafter(low, -math.inf)), -_FLOAT_MAX)
        high = min(max(high + 0.5, math.nextafter(high, math.inf)), _FLOAT_MAX)
    width = high / num_bins - low / num_bins
    if math.isfinite(high - low) and width > _ULPS * max(math.ulp(low), math.ulp(high)):
        return np.histogram(values, bins=num_bins, range=(low, high))
    shares = np.arange(num_bins + 1) / num_bins
    edges = np.unique(np.clip(low * (1 - shares) + high * shares, low, high))
    places = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    return np.bincount(places, minlength=len(edges) - 1), edges


def _from_numpy(histogram: Any) -> dict[str, Any]:
    if len(histogram) != 2:
        raise UnstorableError("np_histogram: must be counts and edges, as numpy.histogram returns them")
    counts, edges = (as_array(part).tolist() for part in histogram)
    if len(edges) != len(counts) + 1 or not counts:
        raise UnstorableError(f"np_histogram: {len(counts)} counts need {len(counts) + 1} edges, not {len(edges)}")
    if len(counts) > MAX_BINS:
        raise UnstorableError(f"np_histogram: {len(counts)} bins; at most {MAX_BINS} are allowed")
    return {"bins": edges, "counts": counts}
