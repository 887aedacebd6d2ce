"""Ingest: how fast events become rows, beside the same Arrow tables inserted straight into the same tables.

Events are decoded, planned and inserted as a flush does it, without the broker's part, so that the ratio says what
Stepwell's own work costs. Both sides run in one process, one after the other, in turns.
"""

from __future__ import annotations

import tempfile
import time

import numpy as np

from stepwell_ingestor.messages import Message, receive_all
from stepwell_ingestor.plan import plan_flush
from stepwell_ingestor.state import RunState
from stepwell_schemas.clickhouse import Store, connect
from stepwell_schemas.codec import Codec, encode
from stepwell_schemas.events import Block, LogBatch
from stepwell_schemas.identifiers import RunPath
from stepwell_schemas.kinds import Kind
from stepwell_schemas.migrate import migrate

_PATH = RunPath("bench", "ingest", "run")
_KEYS = [f"train/metric_{number:02d}" for number in range(50)]
_ROWS = 2_500
_EVENTS_A_FLUSH = 8
_FLUSHES = 5


def events() -> list[bytes]:
    """Return the events of all flushes, encoded."""
    random = np.random.default_rng(0)
    encoded = []
    for number in range(_FLUSHES * _EVENTS_A_FLUSH):
        start = number * _ROWS
        batch = LogBatch(
            **_PATH._asdict(),
            session="s",
            sequence=start,
            rows=_ROWS,
            timestamps=(1_700_000_000_000_000 + np.arange(start, start + _ROWS) * 2_000).astype("<i8").tobytes(),
            blocks=[Block(kind=Kind.NUMBER, keys=_KEYS, packed=random.normal(size=_ROWS * len(_KEYS)).tobytes())],
        )
        encoded.append(encode(batch))
    return encoded


def ingest(store: Store, encoded: list[bytes]) -> tuple[float, float]:
    """Store all events flush by flush; return seconds with our own work, and of the same inserts alone."""
    states = {_PATH: RunState()}
    whole = straight = 0.0
    for flush in range(_FLUSHES):
        first = flush * _EVENTS_A_FLUSH
        messages = [Message(first + n, 0, None, encoded[first + n]) for n in range(_EVENTS_A_FLUSH)]
        began = time.perf_counter()
        received, dead = receive_all(Codec(), messages)
        plan = plan_flush(received, dead, states, first + _EVENTS_A_FLUSH)
        for table, rows in plan.tables.items():
            store.insert(table, rows, f"{flush}:{table}")
        whole += time.perf_counter() - began
        states = plan.states
        began = time.perf_counter()
        store.insert("points_number", plan.tables["points_number"], f"straight:{flush}")
        straight += time.perf_counter() - began
    return whole, straight


def main() -> None:
    """Print points a second, and the ratio to straight inserts."""
    encoded = events()
    points = _FLUSHES * _EVENTS_A_FLUSH * _ROWS * len(_KEYS)
    with tempfile.TemporaryDirectory() as folder:
        store = connect(f"chdb://{folder}", "bench")
        migrate(store)
        # The first flush of a process pays for imports.
        plan_flush(receive_all(Codec(), [Message(0, 0, None, encoded[0])])[0], [], {_PATH: RunState()}, 1)
        whole, straight = ingest(store, encoded)
        store.close()
    print(f"{points:,} points in flushes of {points // _FLUSHES:,}")
    print(f"decode, plan, insert  {points / whole / 1e6:5.2f} M points/s")
    print(f"same rows, straight   {points / straight / 1e6:5.2f} M points/s")
    print(f"ratio                 {straight / whole:5.2f}  (to reach: 0.5)")
