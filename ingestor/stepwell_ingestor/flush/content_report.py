"""Report what a flush finds out about sessions: rows that differ from what was sent, times, and missing records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import structlog

from stepwell_ingestor import telemetry
from stepwell_ingestor.planner.accumulator import EarlySession, ForgottenGap, ReplacedTimes
from stepwell_ingestor.planner.content import ContentDifference
from stepwell_ingestor.planner.shared_writers import SharedWriter

_LOGGED: Final = 10
_log = structlog.get_logger()


def report_differences(differing: Sequence[ContentDifference]) -> None:
    """Log the first differences of a flush, count the rows of all, and raise the alarm."""
    for difference in differing[:_LOGGED]:
        _log.error("content_differs", **_fields(difference), of=len(differing))
    if differing:
        telemetry.count("stepwell_ingestor_differing_rows", sum(difference.rows for difference in differing))
        telemetry.gauge("stepwell_ingestor_content_alarm", 1)


def report_early(early: Sequence[EarlySession]) -> None:
    """Log and count the sessions that overtook their predecessors."""
    telemetry.count("stepwell_ingestor_early_sessions", len(early))
    for session in early:
        _log.warning("session_overtook_predecessor", **_fields(session))


def report_shared_writers(shared: Sequence[SharedWriter]) -> None:
    """Log and count the writers' names that two processes use at the same time."""
    telemetry.count("stepwell_ingestor_shared_writers", len(shared))
    for writer in shared:
        _log.warning("writer_shared", **_fields(writer))


def report_forgotten(forgotten: Sequence[ForgottenGap]) -> None:
    """Log the first gaps that a flush forgot because their sessions have too many, and count all."""
    for gap in forgotten[:_LOGGED]:
        _log.warning("gap_forgotten", **_fields(gap), of=len(forgotten))
    telemetry.count("stepwell_ingestor_forgotten_gaps", len(forgotten))


def report_times(replaced: Sequence[ReplacedTimes]) -> None:
    """Log the first events of a flush with times that can't be stored, count the times of all, and raise the alarm."""
    for times in replaced[:_LOGGED]:
        _log.warning("times_replaced", **_fields(times), of=len(replaced))
    if replaced:
        telemetry.count("stepwell_ingestor_replaced_times", sum(times.times for times in replaced))
        telemetry.gauge("stepwell_ingestor_times_alarm", 1)


def _fields(
    found: ContentDifference | EarlySession | ForgottenGap | ReplacedTimes | SharedWriter,
) -> dict[str, str | int]:
    return {**found._asdict(), "path": str(found.path)}
