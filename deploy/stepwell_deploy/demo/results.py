"""Measurements of the demo's training."""

from __future__ import annotations

from typing import NamedTuple

from stepwell_schemas.rules.identifiers import RunPath


class LongRun(NamedTuple):
    """Measurements of the long run: seconds of training, of its `log()` calls, and until the last step was stored."""

    path: RunPath
    steps: int
    training_seconds: float
    log_seconds: float
    delivery_seconds: float
