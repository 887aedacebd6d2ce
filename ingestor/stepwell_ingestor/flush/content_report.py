"""Report rows that are not stored as their sessions have sent them, and missing records that are given up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import structlog

from stepwell_ingestor import telemetry
from stepwell_ingestor.planner.accumulator import ForgottenGap
from stepwell_ingestor.planner.content import ContentDifference

_LOGGED: Final = 10
_log = structlog.get_logger()


def report_differences(differing: Sequence[ContentDifference]) -> None:
    """Log the first differences of a flush, count the rows of all, and raise the alarm."""
    for difference in differing[:_LOGGED]:
        _log.error("content_differs", **difference.as_fields(), of=len(differing))
    if differing:
        telemetry.count("stepwell_ingestor_differing_rows", sum(difference.rows for difference in differing))
        telemetry.gauge("stepwell_ingestor_content_alarm", 1)


def report_forgotten(forgotten: Sequence[ForgottenGap]) -> None:
    """Log the first gaps that a flush forgot because their sessions have too many, and count all."""
    for gap in forgotten[:_LOGGED]:
        _log.warning("gap_forgotten", **gap.as_fields(), of=len(forgotten))
    telemetry.count("stepwell_ingestor_forgotten_gaps", len(forgotten))
