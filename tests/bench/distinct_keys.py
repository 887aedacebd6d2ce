"""Ingest by number of distinct keys and of key sets: what decoding and planning cost a point, in CPU time.

    python -m bench distinct-keys [POINTS]

Each row has the same number of points of the same shape; only how many keys (or key sets) they are spread over differs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from stepwell_ingestor.isolation import plan_usable
from stepwell_ingestor.messages import Message, receive_all
from stepwell_ingestor.state import RunState
from stepwell_schemas.codec import Codec, encode
from stepwell_schemas.events import Block, LogBatch, LogEvent, RunUpdated
from stepwell_schemas.identifiers import RunPath
from stepwell_schemas.kinds import Kind

_PATH: Final = RunPath("me", "bench", "keys")
_POINTS: Final = 100_000
_FLUSH_EVENTS: Final = 20_000
_BATCH_ROWS: Final = 1_000
_TIMES: Final = np.full(_BATCH_ROWS, 1_700_000_000_000_000, "<i8").tobytes()


def plain_calls(points: int, keys: int) -> Iterator[bytes]:
    """Yield `log({key: value})` calls as plain events, each with the next key."""
    for number in range(points):
        yield encode(LogEvent(**_PATH._asdict(), data={f"metric_{number % keys}": float(number)}))


def batches(points: int, keys: int) -> Iterator[bytes]:
    """Yield the same calls as the SDK's batches: a block for each key set, of as many rows as logged it."""
    for first in range(0, points, _BATCH_ROWS):
        blocks = []
        for key in dict.fromkeys(number % keys for number in range(first, first + _BATCH_ROWS)):
            rows = np.arange((key - first) % keys, _BATCH_ROWS, keys, dtype="<u4")
            packed = np.arange(len(rows), dtype="<f8").tobytes()
            blocks.append(Block(kind=Kind.NUMBER, keys=[f"metric_{key}"], rows=rows.tobytes(), packed=packed))
        yield encode(LogBatch(**_PATH._asdict(), rows=_BATCH_ROWS, timestamps=_TIMES, blocks=blocks))


def wide_rows(points: int, keys: int) -> Iterator[bytes]:
    """Yield calls that log 100 values each, of as many keys in all as are asked for."""
    for first in range(0, points, 100):
        data = {f"metric_{number % keys}": float(number) for number in range(first, first + min(100, keys))}
        yield encode(LogEvent(**_PATH._asdict(), data=data))


def configs(points: int, keys: int) -> Iterator[bytes]:
    """Yield changes of the config, each with as many entries as are asked for."""
    for first in range(0, points, keys):
        entries = ", ".join(f'"key_{number}": {number}' for number in range(first, first + keys))
        yield encode(RunUpdated(**_PATH._asdict(), config=f"{{{entries}}}"))


SHAPES: Final[dict[str, tuple[Callable[[int, int], Iterator[bytes]], tuple[int, ...]]]] = {
    "plain log() calls, by keys": (plain_calls, (1, 10, 100, 1_000, 10_000, 100_000)),
    "batches of 1,000 rows, by key sets": (batches, (1_000, 10_000, 100_000)),
    "rows of 100 values, by keys": (wide_rows, (100, 1_000, 10_000, 100_000)),
    "config, by entries of an event": (configs, (10, 100, 1_000, 10_000, 100_000)),
}


def cost(values: list[bytes]) -> float:
    """Return the CPU seconds that decoding and planning message values take, flush by flush."""
    messages = [Message(offset, 1_700_000_000_000, None, value) for offset, value in enumerate(values)]
    state = RunState()
    began = time.process_time()
    for first in range(0, len(messages), _FLUSH_EVENTS):
        received, dead = receive_all(Codec(), messages[first : first + _FLUSH_EVENTS])
        plan = plan_usable(received, dead, {_PATH: state}, messages[-1].offset + 1)
        assert not plan.dead
        state = plan.states[_PATH].settle()
    return time.process_time() - began


def main() -> None:
    """Print what a point costs in each shape, and how that compares with the cheapest number of keys."""
    points = int(sys.argv[1]) if len(sys.argv) > 1 else _POINTS
    cost(list(plain_calls(1_000, 10)))
    for shape, (make, numbers) in SHAPES.items():
        print(shape)
        costs = {keys: cost(list(make(points, keys))) / points * 1e6 for keys in numbers if keys <= points}
        least = min(costs.values())
        for keys, each in costs.items():
            print(f"  {keys:>9,}  {each:8.1f} µs a point  {each / least:5.2f} ×")


if __name__ == "__main__":
    main()
