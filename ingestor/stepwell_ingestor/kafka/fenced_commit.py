"""Fence against overtaken commits: see docs/decisions/0006.

A broker may apply a commit long after its client has given up on it, for example after a lost connection. If the same
member has committed again in the meantime, the late commit would undo the newer one. Therefore a partition is not
committed again under a membership whose last commit may still be in flight.
"""

from __future__ import annotations

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from stepwell_ingestor import telemetry
from stepwell_ingestor.errors import CommitInDoubtError
from stepwell_ingestor.kafka.client import Kafka
from stepwell_ingestor.kafka.committed_offsets import CommittedOffset

_log = structlog.get_logger()


async def commit(kafka: Kafka, partition: TopicPartition, offset: int, plan: str, *, again: bool = False) -> None:
    """Commit an offset with its plan. If the outcome is in doubt, verify it, or ensure that it can't be applied later.

    With `again`, the same commit was made before, so that its outcome can't be verified.

    Raises:
        CommitInDoubtError: if it could not be verified; the member has left the group and rejoins it.
        KafkaError: if it was not applied.
    """
    try:
        await kafka.commit(partition, offset, plan)
    except CommitInDoubtError as error:
        if not again and await _is_done(kafka, partition, CommittedOffset(offset, plan)):
            return
        telemetry.count("stepwell_ingestor_rejoins")
        _log.warning("commit_in_doubt", partition=partition.partition, offset=offset, error=str(error))
        await kafka.rejoin(partition)
        raise


async def _is_done(kafka: Kafka, partition: TopicPartition, expected: CommittedOffset) -> bool:
    # The previous commit differs from this one, and the broker applies a request once.
    try:
        return (await kafka.committed([partition]))[partition] == expected
    except KafkaError:
        return False
