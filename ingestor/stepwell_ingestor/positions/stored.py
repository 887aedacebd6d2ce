"""The table of positions: read what is stored, and build the row of a position."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import pyarrow as pa
from aiokafka import TopicPartition

from stepwell_ingestor.kafka.log_metadata import LogIdentity
from stepwell_ingestor.planner.arrow import MILLISECONDS, build_table, row_type
from stepwell_ingestor.positions.models import Boundary, LogPosition, VoidRange
from stepwell_schemas.clickhouse.store import Store

TABLE: Final = "log_positions"
_NO_TOPIC: Final = ""
_POSITIONS: Final = (
    "SELECT topic, partition, cluster_id, topic_id, partitions, epoch, toString(reason) AS reason,"
    " toUnixTimestamp64Milli(begun_at) AS begun_at, base, first_offset, end_offset, holds_rows, missing, boundaries,"
    " voided FROM {db}.log_positions FINAL"
)
_HELD: Final = (
    # If all runs were deleted, the states still say so.
    "SELECT (SELECT count() FROM (SELECT 1 FROM {db}.run_documents LIMIT 1))"
    " + (SELECT count() FROM (SELECT 1 FROM {db}.run_states LIMIT 1)) AS runs,"
    " (SELECT max(offset) FROM {db}.run_states) AS reached"
)
# Kafka's clients choose the partition of a key so, the run's path.
_REACHED: Final = (
    "SELECT kafkaMurmurHash(concat(entity, '/', project, '/', run_id)) % {partitions:UInt32} AS partition,"
    " max(offset) AS reached FROM {db}.run_states GROUP BY partition"
)
_VERSION: Final = (
    "SELECT if(count() = 0, -1, toInt64(max(version))) AS version FROM {db}.log_positions"
    " WHERE topic = {topic:String} AND partition = {partition:Int32}"
)
_I64: Final = pa.int64()
_BOUNDARY: Final = pa.struct([("end_offset", _I64), ("timestamp", _I64), ("checksum", pa.uint32())])
_VOID: Final = pa.struct([("offset_from", _I64), ("offset_to", _I64)])
_ROW: Final = row_type(
    {
        "topic": pa.string(),
        "partition": pa.int32(),
        "cluster_id": pa.string(),
        "topic_id": pa.string(),
        "partitions": pa.int32(),
        "epoch": pa.uint32(),
        "reason": pa.string(),
        "begun_at": MILLISECONDS,
        "base": _I64,
        "first_offset": _I64,
        "end_offset": _I64,
        "holds_rows": pa.bool_(),
        "missing": pa.uint64(),
        "boundaries": pa.list_(_BOUNDARY),
        "voided": pa.list_(_VOID),
        "version": pa.uint64(),
    }
)


class StoredPositions(NamedTuple):
    """The stored positions by partition, and what else the tables tell.

    `holds_runs`: there is a run, or was one that was deleted. `reached`: the highest logical offset that a state was
    written for. `adopts`: the tables were filled before positions were stored.
    """

    positions: Mapping[TopicPartition, LogPosition]
    holds_runs: bool
    reached: int
    adopts: bool


def read_positions(store: Store) -> StoredPositions:
    """Read the stored positions of all partitions. Raises: StoreError."""
    rows: list[dict[str, Any]] = store.query(_POSITIONS).to_pylist()
    (held,) = store.query(_HELD).to_pylist()
    positions = _by_partition(rows)
    return StoredPositions(positions, bool(held["runs"]), held["reached"] or 0, len(positions) < len(rows))


def positions_by_partition(store: Store) -> dict[TopicPartition, LogPosition]:
    """Return the stored positions alone. Raises: StoreError."""
    return _by_partition(store.query(_POSITIONS).to_pylist())


def read_reached(store: Store, partitions: int) -> dict[int, int]:
    """Return by partition the highest logical offset that a state of its runs was written for. Raises: StoreError."""
    rows = store.query(_REACHED, {"partitions": partitions}).to_pylist()
    return {row["partition"]: row["reached"] for row in rows}


def read_version(store: Store, partition: TopicPartition) -> int:
    """Return the version of a partition's stored position, -1 if there is none. Raises: StoreError."""
    rows = store.query(_VERSION, {"topic": partition.topic, "partition": partition.partition})
    return int(rows.column("version")[0].as_py())


def position_row(position: LogPosition) -> pa.Table:
    """Build the row of a position."""
    log = position.log
    row = (
        position.topic, position.partition, log.cluster_id, log.topic_id, log.partitions, position.epoch,
        position.reason, position.begun_at, position.base, position.first, position.end, position.holds_rows,
        position.missing, list(position.boundaries), list(position.voided), position.version,
    )  # fmt: skip
    return build_table([row], _ROW)


def _by_partition(rows: Iterable[Mapping[str, Any]]) -> dict[TopicPartition, LogPosition]:
    return {TopicPartition(row["topic"], row["partition"]): _position(row) for row in rows if row["topic"] != _NO_TOPIC}


def _position(row: Mapping[str, Any]) -> LogPosition:
    return LogPosition(
        topic=row["topic"],
        partition=row["partition"],
        log=LogIdentity(row["cluster_id"], row["topic_id"], row["partitions"]),
        reason=row["reason"],
        epoch=row["epoch"],
        base=row["base"],
        first=row["first_offset"],
        end=row["end_offset"],
        holds_rows=row["holds_rows"],
        missing=row["missing"],
        boundaries=tuple(Boundary(*one.values()) for one in row["boundaries"]),
        voided=tuple(VoidRange(*void.values()) for void in row["voided"]),
        begun_at=row["begun_at"],
    )
