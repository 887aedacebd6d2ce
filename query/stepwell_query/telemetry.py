"""Prometheus metrics of the query service."""

from __future__ import annotations

from typing import Final, Literal

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, generate_latest

from stepwell_schemas.http.request_metrics import HttpTelemetry

MetricName = Literal[
    # Requests answered, by route, method and status.
    "stepwell_query_requests_total",
    # Seconds from a request to the end of its answer, by route.
    "stepwell_query_request_seconds",
    # Requests in progress.
    "stepwell_query_requests_in_progress",
    # Statements of /api/v1/sql cancelled because the client disconnected.
    "stepwell_query_sql_cancelled_total",
    # History and scan requests cancelled because the client disconnected.
    "stepwell_query_rows_cancelled_total",
    # Requests for series cancelled because the client disconnected.
    "stepwell_query_series_cancelled_total",
    # Rows that scans have sent.
    "stepwell_query_scan_rows_total",
    # Connections closed by the service: too slow with the head of a request, or idle at the limit of connections.
    "stepwell_query_connections_closed_total",
    # Open event streams.
    "stepwell_query_event_streams",
]

_SECONDS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


def _counter(name: MetricName, text: str, labels: tuple[str, ...] = ()) -> Counter:
    return Counter(name, text, labels)


def _gauge(name: MetricName, text: str) -> Gauge:
    return Gauge(name, text)


def _histogram(name: MetricName, text: str, labels: tuple[str, ...]) -> Histogram:
    return Histogram(name, text, labels, buckets=_SECONDS)


REQUESTS: Final = _counter(
    "stepwell_query_requests_total", "Requests answered, by route, method and status.", ("route", "method", "status")
)
REQUEST_SECONDS: Final = _histogram(
    "stepwell_query_request_seconds", "Seconds from a request to the end of its answer, by route.", ("route",)
)
IN_PROGRESS: Final = _gauge("stepwell_query_requests_in_progress", "Requests in progress.")
SQL_CANCELLED: Final = _counter(
    "stepwell_query_sql_cancelled_total", "Statements of /api/v1/sql cancelled because the client disconnected."
)
ROWS_CANCELLED: Final = _counter(
    "stepwell_query_rows_cancelled_total", "History and scan requests cancelled because the client disconnected."
)
SERIES_CANCELLED: Final = _counter(
    "stepwell_query_series_cancelled_total", "Requests for series cancelled because the client disconnected."
)
SCAN_ROWS: Final = _counter("stepwell_query_scan_rows_total", "Rows that scans have sent.")
CONNECTIONS_CLOSED: Final = _counter(
    "stepwell_query_connections_closed_total",
    "Connections closed by the service: `slow` with the head of a request, or `idle` at the limit of connections.",
    ("reason",),
)
HTTP: Final = HttpTelemetry(REQUESTS, REQUEST_SECONDS, IN_PROGRESS, CONNECTIONS_CLOSED)
EVENT_STREAMS: Final = _gauge("stepwell_query_event_streams", "Open event streams.")


def exposition() -> bytes:
    """Return all metrics of this process in the text format of Prometheus."""
    return generate_latest(REGISTRY)
