"""Rollups under any sequence of flushes, crashes and repetitions, compared with a plain computation from the points."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
from hypothesis import event, given
from hypothesis import strategies as st

from stepwell_ingestor.messages import Message, Received, receive_all
from stepwell_ingestor.planner.plan import FlushPlan, plan_flush
from stepwell_ingestor.planner.run_state import RunState
from stepwell_ingestor.planner.series_ledger import SeriesLedger
from stepwell_ingestor.planner.totals import SeriesTotals
from stepwell_schemas.events.codec import Codec, encode
from stepwell_schemas.events.models import Block, LogBatch
from stepwell_schemas.rollups.sql import Buckets, level_below
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind
from support.factories.numbers import with_values
from support.readers.rollups import (
    Place,
    Point,
    Row,
    comparable,
    expected_rollups,
    point_row,
    row_together,
    series_name,
)

PATH = RunPath("e", "p", "r")
LEVELS = (1, 3, 5)
VALUES = (0.0, -0.0, 1.0, 0.1, -3.3, 1e308, -1e308, 5e-324, float("nan"), float("inf"), -float("inf"))
Effect = Callable[[], None]


class Batch(NamedTuple):
    """Calls of a writer: the steps between them, the keys of each, and where its values begin among all values."""

    writer: str
    gaps: list[int]
    keys: list[list[str]]
    first_value: int


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """Draw a batch: most calls one step on, some at the same step, few far away."""
    gaps = draw(st.lists(st.sampled_from([1, 1, 1, 1, 0, 2, 7, 40]), min_size=1, max_size=20))
    sets = st.sampled_from([["a", "b", "c"], ["a", "b", "c"], ["a"], ["b", "c"]])
    keys = draw(st.lists(sets, min_size=len(gaps), max_size=len(gaps)))
    return Batch(draw(st.sampled_from(["", "", "", "w"])), gaps, keys, draw(st.integers(0, 100)))


class Flush(NamedTuple):
    """Batches that are stored at once, after so many effects of a first try, by one that knows the open buckets or not.

    `held_up`: an owner before does the first try's next effect only once the flush after this one is done.
    """

    batches: list[Batch]
    tried: int | None
    forgets: bool
    held_up: bool


flushes = st.lists(
    st.builds(
        Flush, st.lists(batches(), min_size=1, max_size=3), st.none() | st.integers(0, 8), st.booleans(), st.booleans()
    ),
    min_size=1,
    max_size=6,
)


@dataclass
class Tables:
    """Stored rows by series (see `name_of`); each effect of a flush is applied completely."""

    points: dict[tuple[str, int], tuple[int, Point]] = field(default_factory=dict)
    rollups: dict[Place, tuple[int, Row]] = field(default_factory=dict)
    last_steps: dict[str, int] = field(default_factory=dict)

    def effects(self, plan: FlushPlan, end: int) -> Iterator[Effect]:
        """Yield what a flush does, in its order."""
        yield partial(self._store_points, plan)
        rollup_rows = plan.rollup_plan.table(end)
        if rollup_rows is not None:
            yield partial(self._store_rollups, rollup_rows.to_pylist())
        for level in LEVELS:
            for chosen in plan.rollup_plan.chosen.get(level, ()):
                yield partial(self._compute, level, chosen, end)
        yield partial(self._reach, plan)

    def _store_points(self, plan: FlushPlan) -> None:
        for row in with_values(plan.tables["points_number"]).to_pylist():
            place = name_of(row), row["step"]
            point = Point(row["value"], round(row["timestamp"].timestamp() * 1_000))
            if row["version"] >= self.points.get(place, (0, point))[0]:
                self.points[place] = row["version"], point

    def _store_rollups(self, rows: list[Row]) -> None:
        for row in rows:
            place = name_of(row), row["level"], row["bucket"]
            if row["version"] >= self.rollups.get(place, (-1, row))[0]:
                self.rollups[place] = row["version"], row

    def _compute(self, level: int, chosen: Buckets, version: int) -> None:
        below = level_below(level, LEVELS)
        for key in chosen.keys:
            series = {"key": key, "writer": chosen.writer}
            name = name_of(series)
            parts = self._rows(name) if below is None else self._rolled(name, below)
            for bucket in chosen.buckets:
                inside = [row for row in parts if row["first_step"] >> level == bucket]
                if inside:
                    row = row_together(inside)
                    self._store_rollups([row | series | {"level": level, "bucket": bucket, "version": version}])

    def _rows(self, key: str) -> list[Row]:
        return [point_row(step, point) for step, point in sorted(self.shown(key).items())]

    def _rolled(self, key: str, level: int) -> list[Row]:
        return [self.rollups[place][1] for place in sorted(self.rollups) if place[:2] == (key, level)]

    def _reach(self, plan: FlushPlan) -> None:
        for row in plan.tables["series"].to_pylist():
            self.last_steps[name_of(row)] = max(self.last_steps.get(name_of(row), -1), row["last_step"])
        for key, reached in self.last_steps.items():
            there = {place[1:] for place in self.rollups if place[0] == key}
            points = self.shown(key)
            for level in LEVELS:
                closed = {step >> level for step in points if step >> level < reached >> level}
                assert {(level, bucket) for bucket in closed} <= there, "closed before it has its row"

    def shown(self, key: str) -> dict[int, Point]:
        """Return a series' points by step."""
        return {step: point for (name, step), (_, point) in self.points.items() if name == key}

    def check(self) -> None:
        """Compare the rollups of closed buckets with the points."""
        for key, reached in self.last_steps.items():
            found = {place: row for place, (_, row) in self.rollups.items() if place[0] == key}
            assert all(bucket < reached >> level for _, level, bucket in found), "a bucket that is open has a row"
            assert comparable(found) == comparable(expected_rollups(key, self.shown(key), LEVELS))


def name_of(row: Row) -> str:
    """Return the name of a row's series, from its key and writer."""
    return series_name(row["key"], row.get("writer", ""))


def received_of(flush: Flush, current: dict[str, int], first: int) -> list[Received]:
    """Return the batches as they come from Kafka; `current` holds the writers' steps and moves on."""
    messages = []
    for offset, batch in enumerate(flush.batches, first):
        steps = current.get(batch.writer, 0) + np.cumsum(batch.gaps)
        current[batch.writer] = int(steps[-1])
        messages.append(Message(offset, 0, PATH.kafka_key, encode(as_event(batch, steps))))
    good, dead = receive_all(Codec(), messages)
    assert not dead
    return good


def as_event(batch: Batch, steps: np.ndarray) -> LogBatch:
    """Return a batch as an event: a block for each set of keys, as the SDK makes them."""
    blocks = []
    for keys in {tuple(keys): None for keys in batch.keys}:
        rows = [row for row, named in enumerate(batch.keys) if tuple(named) == keys]
        numbers = [batch.first_value + 7 * row + place for place in range(len(keys)) for row in rows]
        values = [VALUES[number % len(VALUES)] for number in numbers]
        packed = np.array(values, "<f8").tobytes()
        blocks.append(Block(kind=Kind.NUMBER, keys=list(keys), rows=np.array(rows, "<u4").tobytes(), packed=packed))
    return LogBatch(
        **PATH._asdict(),
        writer=batch.writer,
        rows=len(steps),
        timestamps=(steps * 1_000_000).astype("<i8").tobytes(),
        steps=steps.astype("<i8").tobytes(),
        blocks=blocks,
    )


@given(flushes)
def test_rollups_are_what_the_points_give_whatever_dies_in_between(drawn: list[Flush]) -> None:
    tables, state, current, end = Tables(), RunState(), dict[str, int](), 0
    held_up: list[Effect] = []
    for flush in drawn:
        received = received_of(flush, current, end)
        end += len(received)
        late, held_up = held_up, []
        if flush.tried is not None:
            effects = list(tables.effects(plan_flush(received, [], {PATH: state}, end, None, LEVELS), end))
            for effect in effects[: flush.tried]:
                effect()
            held_up = effects[flush.tried :] if flush.held_up else []
            state = loaded(state, tables)
            event("tried before")
        elif flush.forgets:
            state = loaded(state, tables)
        plan = plan_flush(received, [], {PATH: state}, end, None, LEVELS)
        for effect in tables.effects(plan, end):
            effect()
        for effect in late:
            effect()
            event("held up")
        tables.check()
        state = plan.states[PATH]


def loaded(state: RunState, tables: Tables) -> RunState:
    """Return a state as it is read back: how far series have come as of now, and nothing of open buckets."""
    series = {
        (key, "number", writer): SeriesTotals(step, 1, 1, 0.0)
        for (key, _, writer), step in ((name.partition("@"), step) for name, step in tables.last_steps.items())
    }
    ledger = SeriesLedger.from_totals(series)
    return RunState(dict(state.writers), dict(state.sessions), dict(state.spellings), dict(state.stored_as), ledger)
