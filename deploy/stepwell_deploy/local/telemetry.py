"""Metrics of `stepwell up`: its parts, its disk space and its event loop. Names are one documented type."""

from __future__ import annotations

from typing import Final, Literal

from prometheus_client import Counter, Gauge

GaugeName = Literal[
    "stepwell_up_broker_alarm",
    "stepwell_up_ingestor_alarm",
    "stepwell_up_disk_free_bytes",
    "stepwell_up_disk_alarm",
    "stepwell_up_disk_reserve_alarm",
    "stepwell_up_loop_lag_seconds",
    "stepwell_up_loop_alarm",
]
PartName = Literal["broker", "ingestor"]

_GAUGES: Final[dict[GaugeName, str]] = {
    "stepwell_up_broker_alarm": "1 while the broker is away, or ends again and again.",
    "stepwell_up_ingestor_alarm": "1 while the ingestor is away, or ends again and again.",
    "stepwell_up_disk_free_bytes": "Free bytes where the data folder is.",
    "stepwell_up_disk_alarm": "1 while less than STEPWELL_DISK_ALERT_BYTES are free.",
    "stepwell_up_disk_reserve_alarm": "1 while ingestion is stopped because the disk's reserve has begun.",
    "stepwell_up_loop_lag_seconds": "The most that the event loop was late in the last minute.",
    "stepwell_up_loop_alarm": "1 while that is too much.",
}

_gauges: Final = {name: Gauge(name, text) for name, text in _GAUGES.items()}
_part_up: Final = Gauge("stepwell_up_part_up", "1 while a part is up and answers, 0 otherwise.", ["part"])
_part_restarts: Final = Counter("stepwell_up_part_restarts", "Restarts of a part.", ["part"])


def gauge(name: GaugeName, value: float) -> None:
    """Set a gauge."""
    _gauges[name].set(value)


def part_up(part: PartName, up: bool) -> None:
    """Set whether a part is up."""
    _part_up.labels(part).set(up)
    # The series is there from the first look on, so that its increase is seen.
    _part_restarts.labels(part)


def count_restart(part: PartName) -> None:
    """Count a restart."""
    _part_restarts.labels(part).inc()
