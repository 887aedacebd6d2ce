"""The errors of the ingestor.

StepwellIngestorError
├── PlanError            a committed plan names offsets that the topic no longer holds
├── LandingError         ClickHouse takes an insert and does not show its rows
├── ReplayError          a run's log can't be replayed
├── BatchTooLargeError   a record batch would take more memory, once decompressed, than is let pass
└── CommitInDoubtError   whether the broker has carried out a commit, or will, is not known; a KafkaError too
"""

from __future__ import annotations

from aiokafka.errors import KafkaError


class StepwellIngestorError(Exception):
    """Base of every error that the ingestor raises of its own."""


class PlanError(StepwellIngestorError):
    """A committed plan names offsets that the topic no longer holds: Kafka's retention is too short."""


class LandingError(StepwellIngestorError):
    """ClickHouse says that it took an insert, and does not show its rows."""


class ReplayError(StepwellIngestorError):
    """A run's log can't be read, or says too little for a replay."""


class CommitInDoubtError(StepwellIngestorError, KafkaError):  # type: ignore[misc]
    """A commit was sent and not answered: the broker has carried it out, will do so later, or never heard of it."""


class BatchTooLargeError(StepwellIngestorError):
    """A record batch becomes larger than `limit` bytes when it is decompressed."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"more than {limit:,} bytes once decompressed")
