"""The errors of the ingestor.

StepwellIngestorError
├── RestartError         a partition has to be started again, from another position
│   ├── PlanError            the records of a committed plan are not those in the topic
│   ├── PositionLostError    the tables hold an earlier position of a partition than was stored
│   ├── OvertakenError       the tables hold a later position than the flush would store
│   └── PartitionsAddedError the topic has more partitions than it had when its events were stored
├── SwitchInterruptedError a rebuild was interrupted while it replaced tables
├── LandingError         ClickHouse accepts an insert but its rows can't be read
├── ReplayError          a run's log can't be replayed
├── BatchTooLargeError   a decompressed record batch would exceed the memory limit
└── CommitInDoubtError   a commit was not answered, so its outcome is unknown; also a KafkaError
"""

from __future__ import annotations

from aiokafka.errors import KafkaError


class StepwellIngestorError(Exception):
    """Base of the ingestor's own errors."""


class RestartError(StepwellIngestorError):
    """A partition has to be started again: where to continue must be decided from what is stored and logged now."""


class PlanError(RestartError):
    """The records of a committed plan are not those in the topic: Kafka has lost or replaced them."""


class PositionLostError(RestartError):
    """The tables hold an earlier position of a partition than was stored: they were emptied or restored."""


class OvertakenError(RestartError):
    """The tables hold a position after the end of the flush: another ingestor owns the partition and has stored it."""


class PartitionsAddedError(RestartError):
    """The topic has more partitions than it had when its events were stored: nothing of it may be stored."""

    def __init__(self, topic: str, stored: int, present: int) -> None:
        self.topic = topic
        self.stored = stored
        self.present = present
        super().__init__(
            f"the topic {topic} has {present} partitions and had {stored} when its events were stored: a run's later "
            "events may be in another partition than its earlier ones. Stop the producers, copy what is not stored to "
            "a new topic with `stepwell move-events`, and set STEPWELL_EVENTS_TOPIC to that one everywhere"
        )


class SwitchInterruptedError(StepwellIngestorError):
    """A rebuild was interrupted while it replaced tables: rows and states of runs are missing until it is completed."""


class LandingError(StepwellIngestorError):
    """ClickHouse accepted an insert, but its rows can't be read."""


class ReplayError(StepwellIngestorError):
    """A run's log can't be read, or is not sufficient for a replay."""


class CommitInDoubtError(StepwellIngestorError, KafkaError):  # type: ignore[misc]
    """A commit was sent and not answered: the broker may have applied it, may apply it later, or never received it."""


class BatchTooLargeError(StepwellIngestorError):
    """A record batch exceeds `limit` bytes when decompressed."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"more than {limit:,} bytes once decompressed")
