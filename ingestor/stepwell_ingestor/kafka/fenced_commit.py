"""The fence against overtaken commits: see docs/decisions/0006.

A broker may carry out a commit that its client has given up, as after a lost connection, long after that: behind a
later commit of the same member, which it would undo. So a partition is not committed again under a membership whose
last commit may still be on its way.
"""

from __future__ import annotations

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from stepwell_ingestor import telemetry
from stepwell_ingestor.errors import CommitInDoubtError
from stepwell_ingestor.kafka.client import Committed, Kafka

_log = structlog.get_logger()


async def commit(kafka: Kafka, partition: TopicPartition, offset: int, plan: str, *, again: bool = False) -> None:
    """Commit an offset with its plan. One that is in doubt is found done, or can't be done any more after this raised.

    `again` says that this was committed before: then it can't be seen whether it is done.

    Raises:
        CommitInDoubtError: when it is not known to be done; the member has left the group then, and joins it anew.
        KafkaError: when it was not done.
    """
    try:
        await kafka.commit(partition, offset, plan)
    except CommitInDoubtError as error:
        if not again and await _is_done(kafka, partition, Committed(offset, plan)):
            return
        telemetry.count("stepwell_ingestor_rejoins")
        _log.warning("a commit is in doubt; leaving the group and joining it anew", offset=offset, error=str(error))
        await kafka.rejoin(partition)
        raise


async def _is_done(kafka: Kafka, partition: TopicPartition, wanted: Committed) -> bool:
    # What was committed before differs from it, and a request is carried out once.
    try:
        return (await kafka.committed([partition]))[partition] == wanted
    except KafkaError:
        return False
