"""Arrow dictionary columns of names."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stepwell_ingestor.planner.arrow import fixed


class Names:
    """The dictionary of an Arrow dictionary column: each name once, with a code."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self._names: list[str] = []

    def codes(self, names: Iterable[str]) -> NDArray[np.int32]:
        """Return the codes of names, adding new ones."""
        known = self._codes
        codes = np.array([known.setdefault(name, len(known)) for name in names], np.int32)
        self._names = list(known)
        return codes

    def name(self, code: int) -> str:
        """Return the name with a code."""
        return self._names[code]

    def column(self, codes: NDArray[np.int32]) -> pa.DictionaryArray:
        """Build the column with these codes."""
        return pa.DictionaryArray.from_arrays(fixed(codes, pa.int32()), pa.array(self._names, pa.string()))
