"""Measurements of the demo's training."""

from __future__ import annotations

from typing import NamedTuple

from stepwell_schemas.rules.identifiers import RunPath


class LongRun(NamedTuple):
    """How the run of many steps went: seconds of training with logging, and until the last step was stored."""

    path: RunPath
    steps: int
    training_seconds: float
    log_seconds: float
    delivery_seconds: float
