"""The order of a flush's effects; a flush ends if the broker refuses a commit."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import pyarrow as pa
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, KafkaError
from structlog.testing import capture_logs

from stepwell_ingestor.errors import (
    CommitInDoubtError,
    OvertakenError,
    PartitionsAddedError,
    PlanError,
    PositionLostError,
)
from stepwell_ingestor.flush.buffer import FlushMessages
from stepwell_ingestor.flush.deadletter_delivery import LetterDelivery
from stepwell_ingestor.flush.flusher import Flusher
from stepwell_ingestor.flush.state_memory import StateMemory
from stepwell_ingestor.kafka.client import Kafka
from stepwell_ingestor.kafka.committed_offsets import CommittedOffset
from stepwell_ingestor.kafka.log_metadata import LogExtent, LogIdentity
from stepwell_ingestor.messages import Message
from stepwell_ingestor.positions.checksums import records_checksum
from stepwell_ingestor.positions.homes import home_partition
from stepwell_ingestor.positions.models import LogPosition, PlanMark
from stepwell_schemas.clickhouse.run_rows import FED
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.errors import StoreUnavailableError
from stepwell_schemas.events.codec import Codec, encode
from stepwell_schemas.events.models import LogEvent
from stepwell_schemas.media_store import MediaStore

pytestmark = pytest.mark.anyio

PARTITION = TopicPartition("events", 0)
AN_EVENT = encode(LogEvent(entity="me", project="p", run_id="r", data={"loss": 1.0}, timestamp=1))
MESSAGE = Message(3, 1, b"key", AN_EVENT)
PLAN = PlanMark(4, records_checksum([MESSAGE]), 2)
POSITION = LogPosition("events", 0, LogIdentity("", "", 1), "begun", epoch=2, end=3)
NOTHING = pa.table({name: pa.array([], pa.string()) for name in ("entity", "project", "run_id", "first_version")})


class Witness(Store):
    """A broker and an empty store that note what they are asked for.

    `refusals` answer the first commits, of which None accepts.
    """

    def __init__(self, *refusals: KafkaError | None) -> None:
        self.asked: list[Any] = []
        self.present = 1
        self.log_begin = 0
        self.missing = 0
        self._refusals = list(refusals)

    def query(self, sql: str, parameters: Any = None) -> Any:
        if "AS landed" in sql:
            return pa.table({"landed": [True]})
        self.asked.append("load")
        return NOTHING

    def insert(self, table: str, rows: pa.Table, token: str | None = None) -> None:
        self.asked.append("position" if table == "log_positions" else "insert")
        if table == "log_positions":
            self.missing = rows.column("missing")[0].as_py()

    async def commit(self, partition: TopicPartition, offset: int, plan: str) -> None:
        self.asked.append((offset, plan))
        refusal = self._refusals.pop(0) if self._refusals else None
        if refusal is not None:
            raise refusal

    async def committed(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, CommittedOffset]:
        return dict.fromkeys(partitions, CommittedOffset(3, PLAN.text))

    async def extents(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, LogExtent]:
        self.asked.append("extents")
        return dict.fromkeys(partitions, LogExtent(self.log_begin, 4))

    async def describe_log(self, topic: str) -> LogIdentity:
        self.asked.append("describe")
        return LogIdentity("", "", self.present)

    async def has_topic(self, topic: str) -> bool:
        return True

    async def rejoin(self, partition: TopicPartition) -> None:
        self.asked.append("rejoin")


def make_flusher(witness: Witness) -> Flusher:
    """Return a flusher whose broker and store are the witness."""
    return Flusher(
        PARTITION, store=witness, media=MediaStore("memory://"), kafka=cast("Kafka", witness),
        letters=LetterDelivery(cast("Kafka", witness), "dead", 0),
        codec=Codec(), states=StateMemory(0).cache(), retry_seconds=0.1,
    )  # fmt: skip


async def flush(witness: Witness, *, plan: PlanMark | None, partitions: int = 1, start: int = 3) -> list[Any]:
    """Flush one event; return what was asked, repetitions left out."""
    flusher = make_flusher(witness)
    try:
        flusher.begin(replace(POSITION, log=LogIdentity("", "", partitions), end=start))
        await flusher.flush(FlushMessages(start, [MESSAGE], 4, plan))
    finally:
        await asyncio.get_running_loop().shutdown_default_executor()
    return without_repetitions(witness.asked)


def without_repetitions(asked: list[Any]) -> list[Any]:
    return [one for place, one in enumerate(asked) if place == 0 or one != asked[place - 1]]


@pytest.mark.parametrize("plan", [None, PLAN], ids=str)
async def test_the_plan_is_committed_between_loading_and_inserting(plan: PlanMark | None) -> None:
    assert await flush(Witness(), plan=plan) == ["load", (3, PLAN.text), "insert", "position", (4, "")]


async def test_a_position_is_stored_before_it_holds() -> None:
    witness = Witness()
    flusher = make_flusher(witness)
    await flusher.store_position(POSITION)
    assert (witness.asked, flusher.position) == (["position"], POSITION)


@pytest.mark.parametrize("plan", [None, PLAN], ids=str)
async def test_who_lost_the_partition_inserts_nothing(plan: PlanMark | None) -> None:
    witness = Witness(CommitFailedError())
    with pytest.raises(CommitFailedError):
        await flush(witness, plan=plan)
    assert without_repetitions(witness.asked) == ["load", (3, PLAN.text)]


async def test_a_plan_without_a_checksum_is_committed_again_as_it_is() -> None:
    assert (3, "4") in await flush(Witness(), plan=PlanMark(4, None, 0))


async def test_nothing_is_inserted_for_a_plan_of_other_records() -> None:
    witness = Witness()
    with pytest.raises(PlanError):
        await flush(witness, plan=PlanMark(4, 7, 2))
    assert witness.asked == []


async def test_a_plan_in_doubt_that_is_found_committed_is_committed() -> None:
    witness = Witness(CommitInDoubtError())
    assert await flush(witness, plan=None) == ["load", (3, PLAN.text), "insert", "position", (4, "")]


async def test_of_a_plan_that_was_there_before_it_cannot_be_seen_whether_it_was_committed_again() -> None:
    witness = Witness(CommitInDoubtError())
    with pytest.raises(CommitInDoubtError):
        await flush(witness, plan=PLAN)
    assert without_repetitions(witness.asked) == ["load", (3, PLAN.text), "rejoin"]


class EmptiedWhileAway(Witness):
    """A store that is emptied while it can't be reached, which is when a table is inserted into."""

    def __init__(self, table: str) -> None:
        super().__init__()
        self._table = table
        self._emptied = False

    def query(self, sql: str, parameters: Any = None) -> Any:
        if "max(version)" in sql:
            return pa.table({"version": [0 if self._emptied else POSITION.version]})
        return super().query(sql, parameters)

    def insert(self, table: str, rows: pa.Table, token: str | None = None) -> None:
        if table == self._table and not self._emptied:
            self._emptied = True
            raise StoreUnavailableError("restarting")
        super().insert(table, rows, token)


@pytest.mark.parametrize("table", ["points_number", "run_states", "log_positions"])
async def test_nothing_more_is_inserted_into_tables_that_were_emptied_during_a_flush(table: str) -> None:
    witness = EmptiedWhileAway(table)
    with pytest.raises(PositionLostError):
        await flush(witness, plan=None)
    before = [] if table == "points_number" else ["insert"]
    assert without_repetitions(witness.asked) == ["load", (3, PLAN.text), *before]


class RestoredWhileAway(Witness):
    """A store that is restored to a copy with its last position while it can't be reached, during an insert."""

    def __init__(self, table: str, *refusals: KafkaError | None) -> None:
        super().__init__(*refusals)
        self.held: set[str] = set()
        self.lost: set[str] = set()
        self._table = table

    def query(self, sql: str, parameters: Any = None) -> Any:
        if "max(version)" in sql:
            return pa.table({"version": [POSITION.version]})
        if "AS landed" in sql:
            name = sql.split("{db}.")[1].split()[0]
            sources = {fed: table for table, tables in FED.items() for fed in tables}
            return pa.table({"landed": [sources.get(name, name) in self.held]})
        return super().query(sql, parameters)

    def insert(self, table: str, rows: pa.Table, token: str | None = None) -> None:
        if table == self._table and not self.lost:
            self.lost, self.held = self.held, set()
            raise StoreUnavailableError("restarting")
        self.held.add(table)
        super().insert(table, rows, token)


@pytest.mark.parametrize("table", ["run_activity", "log_positions"])
async def test_a_flush_whose_first_inserts_are_in_no_restored_table_is_stored_again(table: str) -> None:
    witness = RestoredWhileAway(table)
    asked = await flush(witness, plan=None)
    assert {"points_number", "series", "run_states"} <= witness.lost <= witness.held
    assert asked[:2] == ["load", (3, PLAN.text)]
    assert asked[-1] == (4, "")


async def test_missing_rows_are_not_stored_again_by_an_ingestor_that_has_lost_the_partition() -> None:
    witness = RestoredWhileAway("run_activity", None, CommitFailedError())
    with pytest.raises(CommitFailedError):
        await flush(witness, plan=None)
    assert witness.held.isdisjoint({"points_number", "series", "run_states"})


class DeletedWhileAway(Witness):
    """A store that can't be reached at first; `version` is that of the position that it has then, and no row is there.

    An insert that it has made has the row's table and token in `inserted`.
    """

    def __init__(self, version: int, *refusals: KafkaError | None) -> None:
        super().__init__(*refusals)
        self.inserted: list[tuple[str, str | None]] = []
        self._version = version
        self._away = True

    def query(self, sql: str, parameters: Any = None) -> Any:
        if "max(version)" in sql:
            return pa.table({"version": [self._version]})
        if "AS landed" in sql:
            return pa.table({"landed": [False]})
        return super().query(sql, parameters)

    def insert(self, table: str, rows: pa.Table, token: str | None = None) -> None:
        if self._away:
            self._away = False
            raise StoreUnavailableError("frozen")
        self.inserted.append((table, token))


async def test_who_lost_the_partition_inserts_missing_rows_under_no_other_token() -> None:
    witness = DeletedWhileAway(POSITION.version, None, CommitFailedError())
    with pytest.raises(CommitFailedError):
        await flush(witness, plan=None)
    assert len(witness.inserted) == 1


@pytest.mark.parametrize(("end", "inserts"), [(3, 1), (4, 1), (5, 0)])
async def test_a_flush_that_another_ingestor_has_passed_inserts_nothing_more(end: int, inserts: int) -> None:
    witness = DeletedWhileAway(replace(POSITION, end=end).version, None, CommitFailedError())
    with pytest.raises(CommitFailedError if inserts else OvertakenError):
        await flush(witness, plan=None)
    assert len(witness.inserted) == inserts


HERE = 1
# Of so many partitions, the message's key does not belong to the first one.
ELSEWHERE = next(count for count in range(2, 100) if home_partition(b"key", count) != 0)


async def test_an_event_of_a_run_that_moved_is_not_stored() -> None:
    witness = Witness()
    witness.present = ELSEWHERE + 1
    with pytest.raises(PartitionsAddedError):
        await flush(witness, plan=None, partitions=ELSEWHERE)
    assert witness.asked == ["describe"]


async def test_producers_with_another_rule_for_keys_are_stored_if_no_partition_was_added() -> None:
    witness = Witness()
    witness.present = ELSEWHERE
    asked = await flush(witness, plan=None, partitions=ELSEWHERE)
    assert asked == ["describe", "load", (3, PLAN.text), "insert", "position", (4, "")]


@pytest.mark.parametrize(("plan", "partitions"), [(None, HERE), (PLAN, ELSEWHERE)], ids=["here", "planned before"])
async def test_events_of_runs_that_did_not_move_are_stored_whatever_was_added(
    plan: PlanMark | None, partitions: int
) -> None:
    witness = Witness()
    witness.present = 1_000
    assert await flush(witness, plan=plan, partitions=partitions) == [
        "load", (3, PLAN.text), "insert", "position", (4, ""),
    ]  # fmt: skip


@pytest.mark.parametrize(("log_begin", "missing"), [(3, 2), (2, 1), (1, 0), (0, 0)])
async def test_what_retention_removed_from_under_the_consumer_is_counted(log_begin: int, missing: int) -> None:
    witness = Witness()
    witness.log_begin = log_begin
    with capture_logs() as logs:
        await flush(witness, plan=None, start=1)
    assert witness.missing == missing
    reported = [(line["start"], line["missing"]) for line in logs if line["event"] == "records_missing"]
    assert reported == ([(1, missing)] if missing else [])


async def test_a_flush_without_a_gap_does_not_look_at_the_log() -> None:
    assert "extents" not in await flush(Witness(), plan=None)
