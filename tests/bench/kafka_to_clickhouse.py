"""Rate of ingestion from events to rows and rollups, compared with the same without rollups, and with plain inserts.

Events are decoded, planned and inserted as by a flush, but without a broker, so that the ratios show the cost of
Stepwell's own work. All sides run in one process, flush by flush in turns.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from unittest.mock import patch

import numpy as np

import stepwell_ingestor.planner.plan
from bench.figure import Figure, Measure
from stepwell_ingestor.messages import Message, receive_all
from stepwell_ingestor.planner.plan import FlushPlan, plan_flush
from stepwell_ingestor.planner.rollups.plan import RollupPlan
from stepwell_ingestor.planner.run_state import RunState
from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.events.codec import Codec, encode
from stepwell_schemas.events.models import Block, LogBatch
from stepwell_schemas.migrations.runner import migrate
from stepwell_schemas.rollups.sql import LEVELS, TABLE
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind

_PATH = RunPath("bench", "ingest", "run")
_KEYS = [f"train/metric_{number:02d}" for number in range(50)]
_ROWS = 2_500
_EVENTS_A_FLUSH = 8
_POINTS_A_FLUSH = _ROWS * _EVENTS_A_FLUSH * len(_KEYS)
_WHOLE = "with rollups"
_ALONE = "points alone"
_INGESTION = "ingestion, flushes of 10^6 points of 50 metrics"
_STRAIGHT = "the same Arrow batches into ClickHouse"
_FLUSHES = 20
_FEW_FLUSHES = 7


def events(flushes: int = _FLUSHES) -> list[bytes]:
    """Return the events of some flushes, encoded."""
    random = np.random.default_rng(0)
    encoded = []
    for number in range(flushes * _EVENTS_A_FLUSH):
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


def ingest(store: Store, messages: list[Message], states: dict[RunPath, RunState], rolled: bool) -> FlushPlan:
    """Store the events of a flush as the ingestor does, with rollups or without."""
    received, dead = receive_all(Codec(), messages)
    end = messages[-1].offset + 1
    if rolled:
        plan = plan_flush(received, dead, states, end)
    else:
        with patch.object(stepwell_ingestor.planner.plan, "plan_rollups", lambda *_: RollupPlan(LEVELS)):
            plan = plan_flush(received, dead, states, end)
    rollup_rows = plan.rollup_plan.table(end)
    for table, rows in plan.tables.items():
        store.insert(table, rows, f"{end}:{table}")
    if rollup_rows is not None:
        store.insert(TABLE, rollup_rows)
    for statement in plan.rollup_plan.statements(end, plan.begins):
        store.command(statement.sql, statement.parameters)
    return plan


def settled(plan: FlushPlan) -> dict[RunPath, RunState]:
    """Return the states after a flush, as the ingestor keeps them."""
    return {path: state.settle() for path, state in plan.states.items()}


class Spent:
    """Wall and CPU seconds of each flush, including the engine's threads."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.processor: list[float] = []

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Add the seconds of the block."""
        wall, processor = time.perf_counter(), time.process_time()
        yield
        self.wall.append(time.perf_counter() - wall)
        self.processor.append(time.process_time() - processor)


def compare(rolled: Store, plain: Store, encoded: list[bytes]) -> dict[str, Spent]:
    """Store all events three ways, flush by flush in turns."""
    spent = {_WHOLE: Spent(), "without": Spent(), _ALONE: Spent()}
    states, plain_states = {_PATH: RunState()}, {_PATH: RunState()}
    for first in range(0, len(encoded), _EVENTS_A_FLUSH):
        messages = [Message(first + n, 0, None, encoded[first + n]) for n in range(_EVENTS_A_FLUSH)]
        with spent[_WHOLE].measured():
            plan = ingest(rolled, messages, states, True)
        states = settled(plan)
        with spent["without"].measured():
            plain_states = settled(ingest(plain, messages, plain_states, False))
        with spent[_ALONE].measured():
            plain.insert("points_number", plan.tables["points_number"], f"straight:{first}")
    return spent


def measure(encoded: list[bytes]) -> dict[str, Spent]:
    """Store all events three ways in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        rolled, plain = (connect(f"chdb://{folder}", name) for name in ("rolled", "plain"))
        migrate(rolled)
        migrate(plain)
        # The first flush of a process includes imports.
        plan_flush(receive_all(Codec(), [Message(0, 0, None, encoded[0])])[0], [], {_PATH: RunState()}, 1)
        spent = compare(rolled, plain, encoded)
        rolled.close()
        plain.close()
    return spent


def figures() -> Iterator[Figure]:
    """Measure flushes of a million points, by the clock and by processor time."""
    spent = measure(events(_FEW_FLUSHES))
    sources: dict[Measure, str] = {"clock": _INGESTION, "processor": f"{_INGESTION}, a second of processor time"}
    for by, name in sources.items():
        sides = (spent[side].wall if by == "clock" else spent[side].processor for side in (_WHOLE, _ALONE))
        whole, alone = (_POINTS_A_FLUSH / median(seconds[1:]) / 1e6 for seconds in sides)
        yield Figure(name, "M points/s", whole, _STRAIGHT, alone, by, rate=True)


def main() -> None:
    """Print points a second, and the ratios."""
    encoded = events()
    points = len(encoded) * _ROWS * len(_KEYS)
    spent = measure(encoded)
    print(f"{points:,} points of {len(_KEYS)} metrics in flushes of {_EVENTS_A_FLUSH * _ROWS * len(_KEYS):,}")
    for name, one in spent.items():
        wall, processor = (points / len(one.wall) / median(seconds) / 1e6 for seconds in (one.wall, one.processor))
        print(f"{name:14} {wall:5.2f} M points/s, {processor:5.2f} M a second of processor time")
    whole, without, alone = spent.values()
    print(f"with rollups / without       {ratio(without.wall, whole.wall):5.2f}  (to reach: 0.85)")
    print(f"  the same, processor time   {ratio(without.processor, whole.processor):5.2f}")
    print(f"with rollups / points alone  {ratio(alone.wall, whole.wall):5.2f}  (to reach: 0.5)")


def ratio(one: list[float], other: list[float]) -> float:
    """Return the median ratio of alternating measurements."""
    return median(a / b for a, b in zip(one, other, strict=True))
