"""Decoding and planning of a flush, its rows and the state that it leaves, by the number of runs and of their metrics.

Each shape has about 10,000 points, one row an event. The anchor is Python's own JSON of the same points, written and
read: work of the same interpreter, and none of Stepwell's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Final

import numpy as np
import pyarrow as pa
from rich.console import Console

from bench.figure import Figure, make_table
from bench.turns import lower_quartiles, processor_seconds
from stepwell_ingestor.garbage import collect_rarely
from stepwell_ingestor.messages import Message, receive_all
from stepwell_ingestor.planner.plan import plan_flush
from stepwell_ingestor.planner.run_state import RunState
from stepwell_schemas.events.codec import Codec, encode
from stepwell_schemas.events.models import Block, LogBatch
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind

_SHAPES: Final = ((10, 1_000), (200, 50), (2_000, 5), (1, 10_000))
_ROUNDS: Final = 25
_GOAL_BYTES: Final = 300
_VALUE_BYTES: Final = 8
_MICROSECONDS: Final = 1e6


class Shape:
    """A number of runs with a number of metrics each, which log a row a flush."""

    def __init__(self, runs: int, metrics: int) -> None:
        self.name = f"{runs:,} run{'s' * (runs > 1)} of {metrics:,} metrics"
        self.points = runs * metrics
        self._runs = [RunPath("bench", "shapes", f"run-{number}") for number in range(runs)]
        self._keys = [f"train/metric_{number:06d}" for number in range(metrics)]
        self._states = {run: RunState() for run in self._runs}
        for state in self._states.values():
            state.measure()
        self._flushes = 0
        self._tables: Iterable[pa.Table] = ()

    @property
    def state_bytes(self) -> int:
        """The bytes of the state of all runs, as the ingestor counts them."""
        return sum(state.bytes for state in self._states.values())

    @property
    def inserted_bytes(self) -> int:
        """The bytes, as Arrow, of all rows that the last flush inserts."""
        return sum(table.nbytes for table in self._tables)

    def flush(self) -> float:
        """Decode and plan the next flush; return its processor time in seconds."""
        messages = self._messages()
        cost = processor_seconds(partial(self._plan, messages))
        self._flushes += 1
        return cost

    def _plan(self, messages: list[Message]) -> None:
        received, dead = receive_all(Codec(), messages)
        plan = plan_flush(received, dead, self._states, messages[-1].offset + 1)
        self._states = {path: state.settle() for path, state in plan.states.items()}
        self._tables = plan.tables.values()

    def _messages(self) -> list[Message]:
        step = np.array([self._flushes], "<i8").tobytes()
        first = self._flushes * len(self._runs)
        return [Message(first + number, 0, None, self._event(run, step)) for number, run in enumerate(self._runs)]

    def _event(self, run: RunPath, step: bytes) -> bytes:
        values = np.random.default_rng(self._flushes).normal(size=len(self._keys))
        block = Block(kind=Kind.NUMBER, keys=self._keys, packed=values.tobytes())
        return encode(
            LogBatch(
                **run._asdict(),
                session="s",
                sequence=self._flushes,
                rows=1,
                timestamps=step,
                steps=step,
                blocks=[block],
            )
        )

    def through_json(self) -> float:
        """Write and read the points of a flush as JSON; return the processor time in seconds."""
        values = np.random.default_rng(self._flushes).normal(size=len(self._keys)).tolist()
        rows = [dict(zip(self._keys, values, strict=True)) for _ in self._runs]
        return processor_seconds(lambda: [json.loads(json.dumps(row)) for row in rows])


def stable_figures() -> Iterator[Figure]:
    """Measure all shapes in turns."""
    collect_rarely()
    shapes = [Shape(*shape) for shape in _SHAPES]
    costs = lower_quartiles([cost for shape in shapes for cost in (shape.flush, shape.through_json)], _ROUNDS)
    for shape, cost, anchor in zip(shapes, costs[::2], costs[1::2], strict=True):
        points = shape.points / _MICROSECONDS
        name = f"planning a point, {shape.name}"
        yield Figure(name, "µs", cost / points, "the point through JSON", anchor / points, "processor")
    for shape in shapes:
        size = shape.state_bytes / shape.points
        yield Figure(f"state of a series, {shape.name}", "bytes", size, "the aim", _GOAL_BYTES, "bytes")
    for shape in shapes:
        size = shape.inserted_bytes / shape.points
        yield Figure(f"Arrow rows of a point, {shape.name}", "bytes", size, "the value alone", _VALUE_BYTES, "bytes")


figures = stable_figures


def main() -> None:
    """Print the figures."""
    Console(width=170).print(make_table(list(figures())))


if __name__ == "__main__":
    main()
