"""Settings of the query service: `STEPWELL_*` environment variables."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from stepwell_schemas.access.oidc_settings import SignInSettings
from stepwell_schemas.limits import CRASHED_AFTER_SECONDS, MIB, SIGN_OF_LIFE_SECONDS
from stepwell_schemas.settings import (
    AuditSettings,
    HttpSettings,
    KafkaSettings,
    LogLevel,
    MediaSettings,
    StoreSettings,
)


class QuerySettings(KafkaSettings, StoreSettings, MediaSettings, HttpSettings, SignInSettings, AuditSettings):
    """Settings of the query service: its address, and the limits of requests."""

    query_host: str = Field("127.0.0.1", description="Address the query service listens on.")
    query_port: int = Field(8420, ge=0, le=65_535, description="Port the query service listens on; 0: any free port.")
    query_log_level: LogLevel | None = Field(
        None, description="Log level of `stepwell query`; default: `STEPWELL_LOG_LEVEL`."
    )
    base_url: str = Field("http://127.0.0.1:8420", description="URL of the service for browsers and the SDK.")
    advised_transports: Annotated[tuple[Literal["kafka", "http"], ...], NoDecode] = Field(
        ("kafka",),
        description="Transports that the SDK uses with STEPWELL_TRANSPORT=auto, in the order of preference, separated "
        "by commas: `kafka`, `http`, or both. `up` advises `kafka,http`.",
    )
    gateway_url: str = Field(
        "",
        description="URL of the gateway for the SDK; empty: that of the service, if both have one address.",
    )
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
        8,
        ge=1,
        le=256,
        description="Maximum requests that read from ClickHouse concurrently; further requests wait, short ones first.",
    )
    query_max_seconds: float = Field(
        30.0, gt=0, description="Maximum seconds of one statement of a series, history or scan request."
    )
    query_max_series: int = Field(1_000, ge=1, description="Maximum series (runs × keys) of one request.")
    query_max_cells: int = Field(
        2_000_000, ge=1, description="Maximum values of one answer: series × points, or samples × keys."
    )
    query_cache_bytes: int = Field(
        128 * MIB,
        ge=0,
        description="Memory for what recent requests have read, in bytes: three eighths of it for answers with series, "
        "an eighth for lists of runs, the rest for rows of series and what is known of runs; 0: nothing is kept.",
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

    @field_validator("advised_transports", mode="before")
    @classmethod
    def _split_transports(cls, names: object) -> object:
        if isinstance(names, str):
            return tuple(name.strip().lower() for name in names.split(",") if name.strip())
        return names
