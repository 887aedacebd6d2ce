"""Settings of the ingestor."""

from __future__ import annotations

from pydantic import Field

from stepwell_schemas.limits import MAX_EVENT_BYTES, MIB
from stepwell_schemas.settings import KafkaSettings, MediaSettings, StoreSettings


class IngestorSettings(KafkaSettings, StoreSettings, MediaSettings):
    """The ingestor's settings: its consumer group, how much it takes at once and how long it waits."""

    ingestor_group: str = Field("stepwell-ingestor", description="The consumer group that the ingestors form.")
    ingestor_session_seconds: float = Field(
        10.0,
        gt=0,
        description="Seconds without a sign of life after which the group gives an ingestor's partitions to another. "
        "Shorter, a pause of the machine looks like a death; longer, a dead ingestor's events wait longer. "
        "The broker's `group.min.session.timeout.ms` (6 s unless set) is the least.",
    )
    ingestor_metrics_port: int = Field(
        0,
        ge=0,
        le=65_535,
        description="Port on which `stepwell ingest` serves its own `/metrics`; 0: none. `stepwell up` has them at the "
        "service's `/metrics`.",
    )
    ingestor_metrics_host: str = Field("127.0.0.1", description="Address for that port.")
    ingestor_flush_seconds: float = Field(
        0.5, gt=0, description="Seconds after which what a partition's buffer holds is stored, however little it is."
    )
    ingestor_flush_bytes: int = Field(
        8 * MIB, ge=MAX_EVENT_BYTES, description="Bytes of events in a partition's buffer that are stored at once."
    )
    ingestor_buffer_bytes: int = Field(
        64 * MIB,
        ge=2 * MAX_EVENT_BYTES,
        description="Bytes of events held in memory over all partitions; beyond it, partitions are paused.",
    )
    ingestor_state_bytes: int = Field(
        256 * MIB,
        ge=0,
        description="Bytes of run state kept in memory over all partitions, about 1.5 KB for each metric of a run; "
        "that of other runs is read back when needed.",
    )
    ingestor_retry_seconds: float = Field(
        5.0, gt=0, description="The longest wait between two tries while ClickHouse can't be reached."
    )
    ingestor_deadletter_seconds: float = Field(
        60.0,
        ge=0,
        description="Seconds that a flush waits for brokers that do not take its dead letters. Then they are logged "
        "and counted, an alarm rings, and the partition continues.",
    )
    ingestor_deadletter_alarm_share: float = Field(
        0.01,
        ge=0,
        le=1,
        description="The alarm rings when more than this share of the last 1,000 events are dead letters, 20 at least.",
    )
    ingestor_stall_seconds: float = Field(
        60.0, gt=0, description="The alarm rings when events wait for so many seconds and none are stored."
    )
