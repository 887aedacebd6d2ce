"""The errors of the ingestor.

StepwellIngestorError
├── PlanError            the offsets of a committed plan are no longer in the topic
├── LandingError         ClickHouse accepts an insert but its rows can't be read
├── ReplayError          a run's log can't be replayed
├── BatchTooLargeError   a decompressed record batch would exceed the memory limit
└── CommitInDoubtError   a commit was not answered, so its outcome is unknown; also a KafkaError
"""

from __future__ import annotations

from aiokafka.errors import KafkaError


class StepwellIngestorError(Exception):
    """Base of the ingestor's own errors."""


class PlanError(StepwellIngestorError):
    """The offsets of a committed plan are no longer in the topic: Kafka's retention is too short."""


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
