"""What the query service can be told from outside, as `STEPWELL_*` environment variables."""

from __future__ import annotations

from pydantic import Field

from stepwell_schemas.limits import MIB
from stepwell_schemas.settings import HttpSettings, KafkaSettings, LogLevel, MediaSettings, StoreSettings


class QuerySettings(KafkaSettings, StoreSettings, MediaSettings, HttpSettings):
    """The query service's settings: where it listens, and how much one request may ask for."""

    query_host: str = Field("127.0.0.1", description="Address the query service listens on.")
    query_port: int = Field(8420, ge=0, le=65_535, description="Port the query service listens on; 0: any free one.")
    query_log_level: LogLevel | None = Field(
        None, description="The same as `STEPWELL_LOG_LEVEL`, of `stepwell query` alone; unset: as that says."
    )
    base_url: str = Field(
        "http://127.0.0.1:8420", description="The service's own address, as browsers and the SDK name it."
    )
    query_max_connections: int = Field(
        1_000, ge=1, description="Connections to the query service; where all are taken, idle ones give way."
    )
    query_max_streams: int = Field(500, ge=0, description="Streams of events that are open at one time.")
    query_max_streams_per_client: int = Field(
        100, ge=0, description="The same of one client's address; clients behind a proxy may share one."
    )
    query_max_body_bytes: int = Field(4 * MIB, ge=1, description="Bytes that the body of a request may have.")
    query_concurrency: int = Field(
        8, ge=1, le=256, description="Requests that read from ClickHouse at once; further ones wait for their turn."
    )
    query_max_seconds: float = Field(
        30.0, gt=0, description="Seconds that one statement of a series, history or scan request may run."
    )
    query_max_series: int = Field(1_000, ge=1, description="Series (runs × keys) that one request may ask for.")
    query_max_cells: int = Field(
        2_000_000, ge=1, description="Values that one answer may hold: series × points, or samples × keys."
    )
    query_cache_bytes: int = Field(
        64 * MIB, ge=0, description="Bytes of answers about series kept for viewers who ask the same; 0: none."
    )
    query_scan_values: int = Field(
        2_000_000, ge=1_000, description="Values that a scan holds in memory at a time, at most: some 100 bytes each."
    )
    query_max_bytes: int = Field(
        256 * MIB, ge=MIB, description="Bytes of values that a history request, or a window of a scan, may hold."
    )
    sql_concurrency: int = Field(
        3,
        ge=1,
        le=64,
        description="Statements sent to /api/v1/sql that run at the same time, all but one of them from one address; "
        "keep it below the pool's size, which they share with what the page reads.",
    )
    sql_max_seconds: float = Field(30.0, gt=0, description="Seconds that a statement sent to /api/v1/sql may run.")
    sql_max_rows: int = Field(1_000_000, ge=1, description="Rows that the answer of /api/v1/sql may have.")
    sql_max_bytes: int = Field(256 * MIB, ge=1, description="Bytes that the answer of /api/v1/sql may have.")
    sql_max_memory_bytes: int = Field(
        2_048 * MIB, ge=1, description="Memory that ClickHouse may use for a statement sent to /api/v1/sql."
    )
