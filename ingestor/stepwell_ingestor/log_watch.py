"""Watch for logs and tables that are replaced while an ingestor runs, also if no event arrives.

A topic that was deleted and created again does not end the assignment of its partitions, a log that lost its end may
have grown again beyond what was read of it, and tables that were emptied or restored fail no statement. Partitions to
which this happened are started again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Final

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from stepwell_ingestor.kafka.client import Kafka
from stepwell_ingestor.kafka.log_metadata import LogExtent, LogIdentity
from stepwell_ingestor.partitions import AssignedPartitions
from stepwell_ingestor.positions.cuts import is_cut, last_boundary
from stepwell_ingestor.positions.models import LogPosition
from stepwell_ingestor.positions.stored import read_positions
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.errors import StoreUnavailableError

_LOOK_SECONDS: Final = 5.0
# Of a replicated table, a replica may be read that does not have the newest position yet.
_LOOKS: Final = 2
_log = structlog.get_logger()


def is_replaced(log: LogIdentity, present: LogIdentity) -> bool:
    """Return True if a log is another one by now, or has more partitions."""
    same_topic = log.topic_id == present.topic_id and (bool(log.topic_id) or log.cluster_id == present.cluster_id)
    return not same_topic or present.partitions > log.partitions


def is_overtaken(position: LogPosition | None, extent: LogExtent) -> bool:
    """Return True if retention has removed records that are not stored."""
    return position is not None and extent.begin > position.end


class LogWatch:
    """Compares the positions in memory with the broker and with ClickHouse from time to time."""

    def __init__(self, kafka: Kafka, store: Store, topic: str, owned: AssignedPartitions) -> None:
        self._kafka = kafka
        self._store = store
        self._topic = topic
        self._owned = owned
        self._earlier: Counter[TopicPartition] = Counter()
        self._positions: dict[TopicPartition, LogPosition] = {}
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch in the background."""
        self._watching = asyncio.create_task(self._watch())

    def close(self) -> None:
        """Stop watching."""
        if self._watching is not None:
            self._watching.cancel()

    def check(self) -> None:
        """Raise the error that ended the watch, if any."""
        if self._watching is not None and self._watching.done():
            self._watching.result()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                await self._look()
            except (KafkaError, StoreUnavailableError) as error:
                _log.debug("watch_failed", error=str(error))

    async def _look(self) -> None:
        known = {
            partition: (owned, owned.flusher.position)
            for partition, owned in self._owned.partitions.items()
            if owned.ready and not owned.stale and owned.flusher.position is not None
        }
        earlier, self._positions = self._positions, {partition: position for partition, (_, position) in known.items()}
        if not known:
            return
        present = await self._kafka.describe_log(self._topic)
        extents = await self._kafka.extents(list(known))
        # Of a partition that advances, the next record shows whether the log was cut.
        resting = {partition: at for partition, at in self._positions.items() if earlier.get(partition) == at}
        cut = await self._find_cut(resting, extents)
        stored = (await asyncio.to_thread(read_positions, self._store)).positions
        for partition, (owned, position) in known.items():
            if self._owned.partitions.get(partition) is not owned:
                continue
            # Retention took what nothing has been read after: no flush will find the gap.
            overtaken = owned.is_idle and is_overtaken(owned.flusher.position, extents[partition])
            outdated = self._is_outdated(partition, position, present, stored.get(partition))
            if overtaken or outdated or partition in cut:
                owned.stale = True

    async def _find_cut(
        self, positions: Mapping[TopicPartition, LogPosition], extents: Mapping[TopicPartition, LogExtent]
    ) -> set[TopicPartition]:
        """Return the partitions whose log no longer has the last record that is stored of it."""
        ends = {
            partition: boundary.end
            for partition, position in positions.items()
            if (boundary := last_boundary(position, extents[partition])) is not None
        }
        records = await self._kafka.records({partition: end - 1 for partition, end in ends.items()}) if ends else {}
        cut = {
            partition
            for partition, position in positions.items()
            if is_cut(position, extents[partition], records.get(partition))
        }
        for partition in sorted(cut):
            _log.warning("log_end_lost", partition=partition.partition, end=positions[partition].end)
        return cut

    def _is_outdated(
        self, partition: TopicPartition, position: LogPosition, present: LogIdentity, stored: LogPosition | None
    ) -> bool:
        if is_replaced(position.log, present):
            _log.warning("log_changed", partition=partition.partition, topic_id=present.topic_id)
            return True
        if stored is not None and stored.version >= position.version:
            self._earlier.pop(partition, None)
            return False
        self._earlier[partition] += 1
        if self._earlier[partition] < _LOOKS:
            return False
        self._earlier.pop(partition)
        _log.warning("stored_position_lost", partition=partition.partition, end=position.end)
        return True
