"""Rollups of the real ingestor on the real engine, compared with a plain computation from the points."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.events.codec import encode
from stepwell_schemas.events.models import Block, LogBatch
from stepwell_schemas.rollups.sql import Buckets, computing
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind
from support.factories.points import RunWriter
from support.readers.rollups import comparable, stored_rollups, wanted_rollups
from support.servers.ingest import PATH, a_batch, counted, ingesting, make_ingestor_settings, send, until
from support.servers.stack import Topics

pytestmark = pytest.mark.anyio
RUN = RunPath("e", "p", "r")

ODD = (float("nan"), float("inf"), -float("inf"), -0.0, 0.0, 5e-324, 1e308, -1e308)
KEYS = ["loss", "it's \\ 'a' \"key\"", "größe/🚀"]


def batch(sequence: int, steps: Any, values: np.ndarray, keys: list[str] = KEYS, **changes: Any) -> LogBatch:
    """Return a batch of numbers at steps; `values` has a row for each key."""
    at = np.asarray(steps, "<i8")
    fields: dict[str, Any] = {
        "steps": at.tobytes(),
        "timestamps": (1_700_000_000_000_000 + at * 1_500).astype("<i8").tobytes(),
        "blocks": [Block(kind=Kind.NUMBER, keys=keys, packed=values.astype("<f8").tobytes())],
    }
    return a_batch(sequence, len(at), **fields | changes)


def noise(rows: int, seed: int) -> np.ndarray:
    """Return values for all keys, some of them odd."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(len(KEYS), rows)) * np.exp(rng.normal(0, 5, (len(KEYS), rows)))
    odd = rng.random(values.shape) < 0.05
    values[odd] = rng.choice(ODD, odd.sum())
    values[0, :200] = np.nan
    return values


async def test_rollups_are_what_the_points_give(broker: str, topics: Topics, store: Store) -> None:
    steps = np.concatenate([np.arange(0, 9_000), np.arange(10**9, 10**9 + 300, 3), [10**13]])
    pieces = np.array_split(np.arange(len(steps)), 6)
    values = noise(len(steps), 0)
    events, sequence = [], 0
    for piece in pieces:
        events.append(batch(sequence, steps[piece], values[:, piece]))
        sequence += len(piece)
    # A session that counts its own steps comes late, overwrites some, and fills others.
    late = np.array([0, 5, 127, 128, 4_095, 8_999, 9_500, 10**9 + 1])
    events.append(batch(0, late, noise(len(late), 1), session="late", current_step=0))
    async with ingesting(make_ingestor_settings(broker, topics), store):
        for event in events:
            await send(broker, topics.events, [encode(event)])
        await until(counted(store, "numbers"), 3 * (len(steps) + 2))
        await until(lambda: state_of(store), len(late))
    wanted = wanted_rollups(store, PATH.run_id)
    assert {level for _, level, _ in wanted} == {7, 12, 17, 22, 27}
    assert comparable(stored_rollups(store, PATH.run_id)) == comparable(wanted)


def state_of(store: Store) -> int:
    """Return how far the late session is settled: its flush is done then."""
    sql = "SELECT max(next_sequence) AS n FROM {db}.session_activity WHERE session = 'late'"
    return int(store.query(sql).column("n")[0].as_py())


def test_rows_of_a_deleted_run_are_in_no_rollup(chdb_store: Store) -> None:
    """Such rows are there if an ingestor that was frozen has inserted them after the deletion."""
    RunWriter(chdb_store, RUN, rolled=False).numbers("loss", range(300), np.ones(300))
    RunWriter(chdb_store, RUN, rolled=False, offset=1_000).numbers("loss", range(100), np.ones(100))
    counts = []
    for begins, end in (({}, 900), ({RUN: 1_000}, 2_000)):
        for level, below, version in ((7, None, end), (12, 7, end + 1)):
            chosen = [Buckets(RUN, "", ["loss"], [0, 1] if below is None else [0])]
            chdb_store.command(*computing(level, below, chosen, version, begins))
        sql = "SELECT sum(count) AS n FROM {db}.rollups FINAL WHERE run_id = 'r' AND level = 12"
        counts.append(chdb_store.query(sql)["n"][0].as_py())
    assert counts == [256, 100]
