"""Settings of the local runner and the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from stepwell_schemas.limits import MIB
from stepwell_schemas.settings import ENVIRONMENT, LogSettings
from stepwell_schemas.topics import TopicOptions


class DeploySettings(LogSettings):
    """Settings of `stepwell up` on one machine, and of the commands that read from a service."""

    model_config = ENVIRONMENT

    base_url: str = Field("http://127.0.0.1:8420", description="URL of the query service for the commands and the SDK.")
    api_key: SecretStr = Field(
        SecretStr(""), description="Key sent to the service. Default: the one that `stepwell login` kept for it."
    )
    credentials_file: Path | None = Field(
        None,
        description="File in which `stepwell login` keeps keys, for the user alone. Default:"
        " `stepwell/credentials.json` in `$XDG_CONFIG_HOME` or `~/.config`.",
    )
    ca_file: Path | None = Field(
        None,
        description="PEM file with certificate authorities to trust in addition to the usual ones, for a service with"
        " a certificate of your own.",
    )
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
    events_partitions: int = Field(
        4,
        ge=1,
        description="Partitions of the events topic when `setup` or `up` creates it. If set, an existing topic must "
        "have as many.",
    )
    events_retention_days: int = Field(
        0, ge=0, description="Days for which the events topic keeps events when it is created; 0: without limit."
    )
    deadletters_partitions: int = Field(1, ge=1, description="Partitions of the dead-letter topic when it is created.")
    deadletters_retention_days: int = Field(
        0, ge=0, description="Days for which the dead-letter topic keeps letters when it is created; 0: without limit."
    )
    topic_replication_factor: int = Field(
        0, ge=0, description="Replicas of both topics when they are created; 0: three, or as many as there are brokers."
    )
    topic_min_insync_replicas: int = Field(
        0,
        ge=0,
        description="`min.insync.replicas` of both topics when they are created; 0: 2 with three replicas, otherwise "
        "1. With fewer replicas in sync, brokers accept no events, which wait in the journals.",
    )

    def required_partitions(self) -> int | None:
        """Return the partitions that an existing events topic must have: those that are set explicitly, if any."""
        return self.events_partitions if "events_partitions" in self.model_fields_set else None

    def topic_options(self) -> TopicOptions:
        """Return the options of the topics."""
        return TopicOptions(
            self.topic_replication_factor,
            self.topic_min_insync_replicas,
            self.events_retention_days,
            self.deadletters_partitions,
            self.deadletters_retention_days,
        )
