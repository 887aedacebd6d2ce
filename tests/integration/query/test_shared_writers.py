"""A writer's name that two processes use at the same time is in the accounts of their sessions."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from stepwell_ingestor.flush.state_loader import load_states
from stepwell_ingestor.messages import Message, receive_all
from stepwell_ingestor.planner.plan import plan_flush
from stepwell_ingestor.planner.run_state import RunState
from stepwell_ingestor.planner.shared_writers import CLOCKS_DIFFER_US
from stepwell_ingestor.positions.models import AsOf
from stepwell_query.runs.sessions import read_sessions
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.events.codec import Codec, encode
from stepwell_schemas.events.models import Block, Event, LogBatch, RunStarted
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind
from support.servers.query import Service, service_over

pytestmark = pytest.mark.one_dsn
RUN = RunPath("me", "p", "shared")
AT = 1_700_000_000_000_000


def started(session: str, at: int, writer: str) -> RunStarted:
    return RunStarted(**RUN._asdict(), session=session, sequence=0, writer=writer, timestamp=AT + at)


def row(session: str, sequence: int, at: int, writer: str) -> LogBatch:
    return LogBatch(
        **RUN._asdict(),
        session=session,
        sequence=sequence,
        writer=writer,
        rows=1,
        timestamps=np.array([AT + at], "<i8").tobytes(),
        blocks=[Block(kind=Kind.NUMBER, keys=["loss"], packed=np.array([float(sequence)]).tobytes())],
    )


def store_events(store: Store, events: list[Event], first: int) -> None:
    """Plan events from an offset on, with the state that is stored, and store them."""
    messages = [Message(first + place, 0, RUN.kafka_key, encode(event)) for place, event in enumerate(events)]
    received, _ = receive_all(Codec(), messages)
    states = load_states(store, [RUN], AsOf(first)) if first else {RUN: RunState()}
    for table, rows in plan_flush(received, [], states, first + len(events)).tables.items():
        store.insert(table, rows)


def accounts(store: Store) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return `writer_shared` by session: from the list of all sessions, and from their own accounts."""

    async def read(service: Service) -> tuple[dict[str, Any], dict[str, Any]]:
        listed = (await service.json(RUN, "sessions"))["sessions"]
        own = {one["session"]: await service.json(RUN, f"sessions/{one['session']}") for one in listed}
        shared = {name: one["writer_shared"] for name, one in own.items()}
        return {one["session"]: one["writer_shared"] for one in listed}, shared

    with service_over(store) as service:
        return asyncio.run(read(service))


def writers(store: Store) -> dict[str, str]:
    """Return the writer of each session."""
    return {one["session"]: one["writer"] for one in read_sessions(store, RUN)}


def test_sessions_of_a_shared_writer_say_so_until_the_writer_is_started_again(chdb_store: Store) -> None:
    late = 2 * CLOCKS_DIFFER_US
    store_events(chdb_store, [started("a", 0, "rank0"), started("b", 1, "rank0"), started("c", 0, "rank1")], 0)
    assert accounts(chdb_store) == 2 * (dict.fromkeys("abc", False),)
    store_events(chdb_store, [row("a", 1, late, "rank0"), row("c", 1, late, "rank1")], 3)
    assert accounts(chdb_store) == 2 * ({"a": True, "b": True, "c": False},)
    assert writers(chdb_store) == {"a": "rank0.2", "b": "rank0", "c": "rank1"}
    store_events(chdb_store, [started("d", 3 * late, "rank0"), row("d", 1, 4 * late, "rank0")], 5)
    # What the first one logged from then on is still stored under another name.
    assert accounts(chdb_store) == 2 * ({"a": True, "b": False, "c": False, "d": False},)
