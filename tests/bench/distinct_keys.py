"""CPU time per point of decoding and planning, by number of distinct keys, key sets, runs and sessions.

Each shape is measured in steady state: every key, run and session was seen before, as in an active run. All shapes have
rows with the same number and form of points, and differ in the number of names.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from stepwell_ingestor.messages import Message, receive_all
from stepwell_ingestor.planner.isolation import plan_usable
from stepwell_ingestor.planner.run_state import RunState
from stepwell_schemas.events.codec import Codec, encode
from stepwell_schemas.events.models import Block, LogBatch, LogEvent, RunUpdated
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind

_PATH: Final = RunPath("me", "bench", "keys")
_POINTS: Final = 100_000
_FLUSH_EVENTS: Final = 20_000
_BATCH_ROWS: Final = 1_000
_WIDE: Final = 100
_TIMES: Final = np.full(_BATCH_ROWS, 1_700_000_000_000_000, "<i8").tobytes()


def plain_calls(first: int, points: int, keys: int) -> Iterator[bytes]:
    """Yield `log({key: value})` calls as plain events, each with the next key."""
    for number in range(first, first + points):
        yield encode(LogEvent(**_PATH._asdict(), data={f"metric_{number % keys}": float(number)}))


def wide_rows(first: int, points: int, keys: int) -> Iterator[bytes]:
    """Yield calls that log 100 values each, with a total number of keys."""
    for start in range(first, first + points, _WIDE):
        data = {f"metric_{number % keys}": float(number) for number in range(start, start + _WIDE)}
        yield encode(LogEvent(**_PATH._asdict(), data=data))


def key_sets(first: int, points: int, sets: int) -> Iterator[bytes]:
    """Yield the SDK's batches of 1,000 rows, each row with the next of some sets of keys: a block for each set."""
    for start in range(first, first + points, _BATCH_ROWS):
        blocks = []
        for name in dict.fromkeys(number % sets for number in range(start, start + _BATCH_ROWS)):
            rows = np.arange((name - start) % sets, _BATCH_ROWS, sets, dtype="<u4")
            packed = np.arange(len(rows), dtype="<f8").tobytes()
            blocks.append(Block(kind=Kind.NUMBER, keys=[f"metric_{name}"], rows=rows.tobytes(), packed=packed))
        yield encode(LogBatch(**_PATH._asdict(), rows=_BATCH_ROWS, timestamps=_TIMES, blocks=blocks))


def runs(first: int, points: int, count: int) -> Iterator[bytes]:
    """Yield calls of many runs in turn."""
    for number in range(first, first + points):
        path = _PATH._replace(run_id=f"run {number % count}")
        yield encode(LogEvent(**path._asdict(), data={"loss": float(number)}))


def sessions(first: int, points: int, count: int) -> Iterator[bytes]:
    """Yield calls of many sessions of one run in turn."""
    for number in range(first, first + points):
        session = f"session {number % count}"
        yield encode(LogEvent(**_PATH._asdict(), session=session, sequence=number // count, data={"loss": 1.0}))


def configs(first: int, points: int, entries: int) -> Iterator[bytes]:
    """Yield changes of the config, each with a number of entries."""
    for start in range(0, points, entries):
        members = ", ".join(f'"key_{number}": {first}' for number in range(start, start + entries))
        yield encode(RunUpdated(**_PATH._asdict(), config=f"{{{members}}}"))


Make = Callable[[int, int, int], Iterator[bytes]]
SHAPES: Final[dict[str, tuple[Make, tuple[int, ...]]]] = {
    "plain log() calls, by keys": (plain_calls, (1, 10, 100, 1_000, 10_000, 100_000)),
    "rows of 100 values, by keys": (wide_rows, (100, 1_000, 10_000, 100_000)),
    "batches of 1,000 rows, by key sets": (key_sets, (1_000, 10_000, 100_000)),
    "plain log() calls, by runs": (runs, (1_000, 10_000, 100_000)),
    "plain log() calls, by sessions": (sessions, (1, 10, 100, 1_000, 10_000, 100_000)),
    "config, by entries of an event": (configs, (100, 1_000, 10_000, 100_000)),
}


def cost(make: Make, points: int, names: int) -> float:
    """Return the CPU seconds of decoding and planning for each flush, after a round that creates the names."""
    states: dict[RunPath, RunState] = {}
    seconds = 0.0
    rounds = [list(make(0, max(points, names), names)), list(make(max(points, names), points, names))]
    offset = 0
    for values in rounds:
        messages = [Message(offset + at, 1_700_000_000_000, None, value) for at, value in enumerate(values)]
        offset += len(messages)
        began = time.process_time()
        for first in range(0, len(messages), _FLUSH_EVENTS):
            received, dead = receive_all(Codec(), messages[first : first + _FLUSH_EVENTS])
            before = {path: states.get(path, RunState()) for path in dict.fromkeys(item.path for item in received)}
            plan = plan_usable(received, dead, before, messages[-1].offset + 1)
            assert not plan.dead
            states |= {path: state.settle() for path, state in plan.states.items()}
        seconds = time.process_time() - began
    return seconds


def main() -> None:
    """Print the cost of a point in each shape, and its ratio to the lowest one."""
    points = int(os.environ.get("POINTS", _POINTS))
    cost(plain_calls, 1_000, 10)
    for shape, (make, numbers) in SHAPES.items():
        print(shape, flush=True)
        costs = {names: cost(make, points, names) / points * 1e6 for names in numbers if names <= points}
        least = min(costs.values())
        for names, each in costs.items():
            print(f"  {names:>9,}  {each:8.1f} µs a point  {each / least:5.2f} ×", flush=True)


if __name__ == "__main__":
    main()
