"""Collection of garbage in a process with an ingestor."""

from __future__ import annotations

import gc
from typing import Final

# A flush of many runs makes some hundred thousand objects, which live until it is stored, and no cycles. With Python's
# own thresholds, the collector visits them, and the states of all runs, again and again: a third of the processor time
# of planning was spent on that, measured with 1,000 runs of 5 metrics.
_THRESHOLDS: Final = (50_000, 20, 20)


def collect_rarely() -> None:
    """Collect garbage after more new objects than by default; a rarer or disabled collection stays as it is."""
    if 0 < gc.get_threshold()[0] < _THRESHOLDS[0]:
        gc.set_threshold(*_THRESHOLDS)
