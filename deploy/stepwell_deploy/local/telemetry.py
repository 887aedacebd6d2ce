"""Prometheus metrics of `stepwell up`: its parts, its disk space and its event loop."""

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
    "stepwell_up_broker_alarm": "1 while the broker is down, or ends repeatedly.",
    "stepwell_up_ingestor_alarm": "1 while the ingestor is down, or ends repeatedly.",
    "stepwell_up_disk_free_bytes": "Free bytes where the data folder is.",
    "stepwell_up_disk_alarm": "1 while less than STEPWELL_DISK_ALERT_BYTES are free.",
    "stepwell_up_disk_reserve_alarm": "1 while ingestion is stopped: less than STEPWELL_DISK_RESERVE_BYTES are free.",
    "stepwell_up_loop_lag_seconds": "Maximum lag of the event loop in the last minute.",
    "stepwell_up_loop_alarm": "1 while the lag of the event loop is too large.",
}

_gauges: Final = {name: Gauge(name, text) for name, text in _GAUGES.items()}
_part_up: Final = Gauge("stepwell_up_part_up", "1 while a part is up and answers, 0 otherwise.", ["part"])
_part_restarts: Final = Counter("stepwell_up_part_restarts", "Restarts of a part.", ["part"])


def gauge(name: GaugeName, value: float) -> None:
    """Set a gauge."""
    _gauges[name].set(value)


def part_up(part: PartName, up: bool) -> None:
    """Set the gauge of a part."""
    _part_up.labels(part).set(up)
    # Create the counter's series from the start, so that its first increase is visible to Prometheus.
    _part_restarts.labels(part)


def count_restart(part: PartName) -> None:
    """Count a restart."""
    _part_restarts.labels(part).inc()
