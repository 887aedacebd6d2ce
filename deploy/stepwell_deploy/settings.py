"""Settings of the local runner and the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from stepwell_schemas.limits import MIB
from stepwell_schemas.settings import ENVIRONMENT, LogSettings


class DeploySettings(LogSettings):
    """Settings of `stepwell up` on one machine, and of the commands that read from a service."""

    model_config = ENVIRONMENT

    base_url: str = Field("http://127.0.0.1:8420", description="URL of the query service for the commands and the SDK.")
    api_key: SecretStr = Field(SecretStr(""), description="Key sent to the query service; empty: none.")
    host: str = Field(
        "127.0.0.1",
        description="Address that `up` and `query` listen on; for `query`, `STEPWELL_QUERY_HOST` has precedence.",
    )
    port: int = Field(
        8420,
        ge=0,
        le=65535,
        description="Port that `up` and `query` listen on; 0: a free one; for `query`, `STEPWELL_QUERY_PORT` has "
        "precedence.",
    )
    server_dir: Path = Field(
        Path("~/.stepwell/server"),
        description="Data folder of `up`: the broker's log, the engine's tables and the media files.",
    )
    kafka_port: int = Field(0, ge=0, le=65535, description="Port of the broker that `up` starts; 0: a free one.")
    kafka_heap_mb: int = Field(512, ge=128, description="Heap of the broker that `up` starts, in MiB.")
    clickhouse_port: Annotated[int, Field(ge=0, le=65535)] | Literal["auto"] = Field(
        0,
        description="Port on which `up` serves ClickHouse's HTTP protocol to SQL tools; 0: off; `auto`: a free one.",
    )
    disk_alert_bytes: int = Field(
        2_048 * MIB,
        ge=0,
        description="Free bytes on the disk of the data folder below which an alarm is raised; 0: never.",
    )
    disk_reserve_bytes: int = Field(
        512 * MIB,
        ge=0,
        description="Free bytes on the disk of the data folder below which ingestion stops, and events wait in Kafka. "
        "Below half of it the broker stops too, and events wait in the producers' journals. 0: never.",
    )
    events_partitions: int = Field(4, ge=1, description="Partitions of the events topic when `setup` creates it.")
