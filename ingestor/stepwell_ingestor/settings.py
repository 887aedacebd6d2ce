"""Settings of the ingestor."""

from __future__ import annotations

from pydantic import Field

from stepwell_schemas.limits import MAX_EVENT_BYTES, MIB
from stepwell_schemas.settings import KafkaSettings, MediaSettings, StoreSettings


class IngestorSettings(KafkaSettings, StoreSettings, MediaSettings):
    """The ingestor's settings: consumer group, sizes of flushes and buffers, retries and alarms."""

    ingestor_group: str = Field("stepwell-ingestor", description="The consumer group that the ingestors form.")
    ingestor_session_seconds: float = Field(
        10.0,
        gt=0,
        description="Seconds without a heartbeat after which the group assigns an ingestor's partitions to another. "
        "A shorter time mistakes a pause of the machine for a crash; with a longer one, the events of a crashed "
        "ingestor wait longer. The minimum is the broker's `group.min.session.timeout.ms` (6 s by default).",
    )
    ingestor_metrics_port: int = Field(
        0,
        ge=0,
        le=65_535,
        description="Port on which `stepwell ingest` serves `/metrics`; 0 disables it. `stepwell up` includes these "
        "metrics in the service's `/metrics`.",
    )
    ingestor_metrics_host: str = Field("127.0.0.1", description="Address for that port.")
    ingestor_flush_seconds: float = Field(
        0.5, gt=0, description="Seconds after which a partition's buffer is flushed, however small it is."
    )
    ingestor_flush_bytes: int = Field(
        8 * MIB, ge=MAX_EVENT_BYTES, description="Bytes of events in a partition's buffer that trigger a flush."
    )
    ingestor_buffer_bytes: int = Field(
        64 * MIB,
        ge=2 * MAX_EVENT_BYTES,
        description="Bytes of events held in memory over all partitions; beyond it, partitions are paused.",
    )
    ingestor_state_bytes: int = Field(
        256 * MIB,
        ge=0,
        description="Bytes of run state cached over all partitions, about 0.5 KB for each metric of a run; the state "
        "of other runs is read from ClickHouse when needed.",
    )
    ingestor_retry_seconds: float = Field(
        5.0, gt=0, description="The longest wait, in seconds, between two attempts while ClickHouse can't be reached."
    )
    ingestor_deadletter_seconds: float = Field(
        60.0,
        ge=0,
        description="Seconds that a flush waits for brokers that do not accept its dead letters. After that they are "
        "logged and counted, an alarm rings, and the partition continues.",
    )
    ingestor_deadletter_alarm_share: float = Field(
        0.01,
        ge=0,
        le=1,
        description="The alarm rings when more than this share of the last 1,000 events are dead letters, 20 at least.",
    )
    media_grace_seconds: float = Field(
        86_400.0,
        ge=0,
        description="Seconds after which the media files of deleted runs are removed, if no other run refers to them.",
    )
    retention_interval_seconds: float = Field(
        3_600.0,
        gt=0,
        description="Seconds between two passes over a project that remove what it does not keep.",
    )
    retention_settle_seconds: float = Field(
        120.0,
        ge=0,
        description="Seconds from the time at which it is recorded that rows go until they are deleted. It must be "
        "longer than any statement that reads them.",
    )
    ingestor_stall_seconds: float = Field(
        60.0, gt=0, description="The alarm rings when events have waited for this many seconds and none are stored."
    )
