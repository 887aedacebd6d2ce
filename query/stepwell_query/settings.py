"""Settings of the query service: `STEPWELL_*` environment variables."""

from __future__ import annotations

from pydantic import Field

from stepwell_schemas.limits import CRASHED_AFTER_SECONDS, MIB, SIGN_OF_LIFE_SECONDS
from stepwell_schemas.settings import HttpSettings, KafkaSettings, LogLevel, MediaSettings, StoreSettings


class QuerySettings(KafkaSettings, StoreSettings, MediaSettings, HttpSettings):
    """Settings of the query service: its address, and the limits of requests."""

    query_host: str = Field("127.0.0.1", description="Address the query service listens on.")
    query_port: int = Field(8420, ge=0, le=65_535, description="Port the query service listens on; 0: any free port.")
    query_log_level: LogLevel | None = Field(
        None, description="Log level of `stepwell query`; default: `STEPWELL_LOG_LEVEL`."
    )
    base_url: str = Field("http://127.0.0.1:8420", description="URL of the service for browsers and the SDK.")
    crashed_after_seconds: float = Field(
        CRASHED_AFTER_SECONDS,
        gt=0,
        le=1e9,
        description="Seconds without a sign of life after which a running run is shown as crashed. The SDK sends one"
        f" after {SIGN_OF_LIFE_SECONDS:g} s of silence; a time below a few of them shows living runs as crashed.",
    )
    query_max_connections: int = Field(
        1_000, ge=1, description="Maximum connections to the query service; above it, idle connections are closed."
    )
    query_max_streams: int = Field(500, ge=0, description="Maximum open event streams.")
    query_max_streams_per_client: int = Field(
        100,
        ge=0,
        description="Maximum open event streams of one client address; clients behind a proxy may share an address.",
    )
    query_max_body_bytes: int = Field(4 * MIB, ge=1, description="Maximum bytes of the body of a request.")
    query_concurrency: int = Field(
        8, ge=1, le=256, description="Maximum requests that read from ClickHouse concurrently; further requests wait."
    )
    query_max_seconds: float = Field(
        30.0, gt=0, description="Maximum seconds of one statement of a series, history or scan request."
    )
    query_max_series: int = Field(1_000, ge=1, description="Maximum series (runs × keys) of one request.")
    query_max_cells: int = Field(
        2_000_000, ge=1, description="Maximum values of one answer: series × points, or samples × keys."
    )
    query_cache_bytes: int = Field(
        64 * MIB, ge=0, description="Size of the cache of answers with series, in bytes; 0: no cache."
    )
    query_scan_values: int = Field(
        2_000_000, ge=1_000, description="Maximum values that a scan holds in memory, of about 100 bytes each."
    )
    query_max_bytes: int = Field(
        256 * MIB, ge=MIB, description="Maximum bytes of values of a history request, or of a window of a scan."
    )
    sql_concurrency: int = Field(
        3,
        ge=1,
        le=64,
        description="Maximum statements of /api/v1/sql that run concurrently, all but one of them of the same address; "
        "keep it below the pool's size, because they share the pool with other requests.",
    )
    sql_max_seconds: float = Field(30.0, gt=0, description="Maximum seconds of a statement of /api/v1/sql.")
    sql_max_rows: int = Field(1_000_000, ge=1, description="Maximum rows of an answer of /api/v1/sql.")
    sql_max_bytes: int = Field(256 * MIB, ge=1, description="Maximum bytes of an answer of /api/v1/sql.")
    sql_max_memory_bytes: int = Field(
        2_048 * MIB, ge=1, description="Maximum memory of ClickHouse for a statement of /api/v1/sql, in bytes."
    )
