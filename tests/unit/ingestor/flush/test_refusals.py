"""Rows that ClickHouse refuses for their data: those of one event are left out, all others are stored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, cast

import pyarrow as pa
import pytest
from aiokafka import TopicPartition

from stepwell_ingestor.flush.buffer import FlushMessages
from stepwell_ingestor.flush.deadletter_delivery import LetterDelivery
from stepwell_ingestor.flush.flusher import Flusher
from stepwell_ingestor.flush.state_memory import StateMemory
from stepwell_ingestor.kafka.client import Kafka
from stepwell_ingestor.kafka.log_metadata import LogIdentity
from stepwell_ingestor.messages import Message
from stepwell_ingestor.positions.models import LogPosition
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.errors import StoreRejectedError
from stepwell_schemas.events.codec import Codec, encode
from stepwell_schemas.events.models import Event, LogEvent, RunStarted, RunUpdated
from stepwell_schemas.media_store import MediaStore
from stepwell_schemas.rules.identifiers import RunPath

pytestmark = pytest.mark.anyio

PARTITION = TopicPartition("events", 0)
PATH = RunPath("e", "p", "r")
OTHER = RunPath("e", "p", "other")
DATA_CODE, UNKNOWN_CODE, OUR_CODE = 6, 123_456, 60
Refuses = Callable[[str, dict[str, Any]], bool]


class Picky(Store):
    """A broker, and a store that refuses a block with a row that `refuses` says so of."""

    def __init__(self, refuses: Refuses, code: int) -> None:
        self.tables: dict[str, list[dict[str, Any]]] = {}
        self.tokens: set[str] = set()
        self.letters: dict[int, dict[str, str]] = {}
        self.committed_offset = -1
        self._refuses = refuses
        self._code = code

    def query(self, sql: str, parameters: Any = None) -> Any:
        return pa.table({name: pa.array([], pa.string()) for name in ("entity", "project", "run_id", "first_version")})

    def insert(self, table: str, rows: pa.Table, token: str | None = None) -> None:
        found = rows.to_pylist()
        if any(self._refuses(table, row) for row in found):
            raise StoreRejectedError("refused", self._code)
        if token not in self.tokens:
            self.tables.setdefault(table, []).extend(found)
        self.tokens |= {token} if token else set()

    async def commit(self, partition: TopicPartition, offset: int, plan: str) -> None:
        self.committed_offset = offset

    async def has_topic(self, topic: str) -> bool:
        return True

    async def send(self, topic: str, value: bytes, key: bytes, headers: Sequence[tuple[str, bytes]]) -> Any:
        letter = {name: text.decode() for name, text in headers}
        self.letters[int(letter["offset"])] = letter
        return asyncio.sleep(0)


async def flush(store: Picky, events: Sequence[Event]) -> None:
    """Flush events at offsets from 0."""
    flusher = Flusher(
        PARTITION, store=store, media=MediaStore("memory://"), kafka=cast("Kafka", store),
        letters=LetterDelivery(cast("Kafka", store), "dead", 0),
        codec=Codec(), states=StateMemory(0).cache(), retry_seconds=0.1,
    )  # fmt: skip
    messages = [Message(at, 1, b"key", encode(event)) for at, event in enumerate(events)]
    flusher.begin(LogPosition("events", 0, LogIdentity("", "", 1), "begun"))
    await flusher.flush(FlushMessages(0, messages, len(messages)))


@pytest.fixture(autouse=True)
async def no_threads_left() -> AsyncIterator[None]:
    yield
    await asyncio.get_running_loop().shutdown_default_executor()


def texts(*bad: int, count: int = 9) -> list[Event]:
    """Return calls with a number and a text each, of which some are `bad`."""
    return [
        LogEvent(**PATH._asdict(), session="s", sequence=at, data={"n": float(at), "t": "bad" if at in bad else "good"})
        for at in range(count)
    ]


def is_bad(table: str, row: dict[str, Any]) -> bool:
    """Refuse the texts that are bad."""
    return table == "points_string" and row["value"] == "bad"


@pytest.mark.parametrize("code", [DATA_CODE, UNKNOWN_CODE])
@pytest.mark.parametrize("bad", [{0}, {8}, {2, 3, 7}])
async def test_the_values_of_one_event_are_left_out_and_the_tables_agree(code: int, bad: set[int]) -> None:
    store = Picky(is_bad, code)
    await flush(store, texts(*bad))
    assert store.committed_offset == 9
    assert sorted(row["step"] for row in store.tables["points_number"]) == list(range(9))
    assert sorted(row["step"] for row in store.tables["points_string"]) == sorted({*range(9)} - bad)
    assert {row["key"]: row["totals"]["points"] for row in store.tables["series"]} == {"n": 9, "t": 9 - len(bad)}
    (session,) = store.tables["session_activity"]
    assert (session["totals"]["points"], session["totals"]["dead_letters"]) == (18 - len(bad), len(bad))
    assert set(store.letters) == bad
    assert {(letter["reason"], letter["stored"]) for letter in store.letters.values()} == {("unusable", "partly")}
    assert all(str(code) in letter["detail"] for letter in store.letters.values())


async def test_a_key_keeps_the_spelling_of_an_event_that_is_left_out() -> None:
    first = LogEvent(**PATH._asdict(), data={"Loss": "bad"})
    store = Picky(is_bad, DATA_CODE)
    await flush(store, [first, LogEvent(**PATH._asdict(), data={"loss": "good", "LOSS": 1.0})])
    assert {row["key"] for table in ("points_string", "points_number", "series") for row in store.tables[table]} == {
        "Loss"
    }


async def test_a_document_is_left_out_and_no_other_run_s() -> None:
    def refuses(table: str, row: dict[str, Any]) -> bool:
        return table == "run_documents" and "bad" in row["config"]

    store = Picky(refuses, DATA_CODE)
    events: list[Event] = [
        RunUpdated(**PATH._asdict(), config='{"bad": 1}'),
        RunStarted(**OTHER._asdict(), config='{"good": 1}'),
        LogEvent(**PATH._asdict(), data={"n": 1.0}),
    ]
    await flush(store, events)
    assert [row["run_id"] for row in store.tables["run_documents"]] == ["other"]
    assert [row["run_id"] for row in store.tables["points_number"]] == ["r"]
    assert {at: letter["reason"] for at, letter in store.letters.items()} == {0: "unusable"}


@pytest.mark.parametrize(
    ("code", "table"), [(OUR_CODE, "points_string"), (UNKNOWN_CODE, "points_string"), (DATA_CODE, "series")]
)
async def test_a_refusal_that_is_no_matter_of_single_events_stops_loudly(code: int, table: str) -> None:
    store = Picky(lambda name, row: name == table, code)
    with pytest.raises(StoreRejectedError):
        await flush(store, texts(count=40))
    assert store.committed_offset == 0
    assert store.letters == {}


async def test_a_flush_that_is_repeated_divides_alike() -> None:
    store = Picky(is_bad, DATA_CODE)
    await flush(store, texts(4))
    kept = {table: {repr(row) for row in rows} for table, rows in store.tables.items()}
    sums = {table: list(store.tables[table]) for table in ("series", "session_activity", "run_activity")}
    await flush(store, texts(4))
    assert {table: {repr(row) for row in rows} for table, rows in store.tables.items()} == kept
    assert {table: store.tables[table] for table in sums} == sums
