"""Prometheus metrics of the gateway."""

from __future__ import annotations

from typing import Final

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, generate_latest

from stepwell_schemas.http.request_metrics import HttpTelemetry

_SECONDS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)

HTTP: Final = HttpTelemetry(
    Counter(
        "stepwell_gateway_requests_total",
        "Requests answered, by route, method and status.",
        ("route", "method", "status"),
    ),
    Histogram(
        "stepwell_gateway_request_seconds",
        "Seconds from a request to the end of its answer, by route.",
        ("route",),
        buckets=_SECONDS,
    ),
    Gauge("stepwell_gateway_requests_in_progress", "Requests in progress."),
    Counter(
        "stepwell_gateway_connections_closed_total",
        "Connections closed by the gateway: `slow` with the head of a request, or `idle` at the limit of connections.",
        ("reason",),
    ),
)
EVENTS: Final = Counter("stepwell_gateway_events_total", "Events that the brokers have acknowledged.")
EVENT_BYTES: Final = Counter("stepwell_gateway_event_bytes_total", "Bytes of the events that the brokers acknowledged.")
BUFFERED_BYTES: Final = Gauge(
    "stepwell_gateway_buffered_bytes", "Bytes of events that the brokers have not acknowledged."
)
KAFKA_UP: Final = Gauge("stepwell_gateway_kafka_up", "1 while the gateway is connected to the brokers, otherwise 0.")


def exposition() -> bytes:
    """Return all metrics of this process in the text format of Prometheus."""
    return generate_latest(REGISTRY)
