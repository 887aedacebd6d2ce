"""Ingestion of a run of 512 ranks that log 200 metrics a second each, compared with the same values of one rank.

A flush has the records of a second. It is decoded, planned and inserted without a broker, as in `kafka_to_clickhouse`.
One ingestor keeps up if a flush takes less than a second.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from statistics import median
from typing import Final

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.figure import Figure
from bench.kafka_to_clickhouse import Spent, ingest, ratio, settled
from stepwell_ingestor.messages import Message
from stepwell_ingestor.planner.run_state import RunState
from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.events.codec import encode
from stepwell_schemas.events.models import Block, LogBatch
from stepwell_schemas.logs import configure_logging
from stepwell_schemas.migrations.runner import migrate
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind

_PATH: Final = RunPath("bench", "ranks", "run")
_WRITERS: Final = 512
_KEYS: Final = [f"train/metric_{number:03d}" for number in range(200)]
_SECONDS: Final = 20
# The first flush creates the series, and is not what a second costs later.
_SKIPPED: Final = 1
_FLUSHES: Final = 12


def _second(number: int, writers: int, rows: int) -> list[bytes]:
    """Return the events of a second: one of each writer, with `rows` rows."""
    random = np.random.default_rng(number)
    begin = number * rows
    steps = np.arange(begin, begin + rows)
    stamps = (1_700_000_000_000_000 + steps * (1_000_000 // rows)).astype("<i8").tobytes()
    return [
        encode(
            LogBatch(
                **_PATH._asdict(),
                session=f"s{writer}",
                writer=f"rank{writer}",
                sequence=begin,
                rows=rows,
                timestamps=stamps,
                blocks=[Block(kind=Kind.NUMBER, keys=_KEYS, packed=random.normal(size=rows * len(_KEYS)).tobytes())],
            )
        )
        for writer in range(writers)
    ]


class Ingestor:
    """A store, and the state of the run in it."""

    def __init__(self, store: Store, writers: int) -> None:
        migrate(store)
        self._store = store
        self._writers = writers
        self._states = {_PATH: RunState()}
        self._offset = 0
        self.spent = Spent()

    def flush(self, number: int) -> None:
        """Store the records of a second, and measure it."""
        events = _second(number, self._writers, _WRITERS // self._writers)
        messages = [Message(self._offset + index, 0, None, event) for index, event in enumerate(events)]
        self._offset += len(events)
        with self.spent.measured():
            self._states = settled(ingest(self._store, messages, self._states, True))

    def rows(self) -> int:
        """Return the number of stored values."""
        return int(self._store.query("SELECT count() AS n FROM {db}.numbers")["n"][0].as_py())


def _lines(sides: dict[str, Ingestor], spent: dict[str, Spent]) -> Iterator[tuple[str, ...]]:
    one = list(spent.values())[-1]
    for name, own in spent.items():
        wall, processor = median(own.wall[_SKIPPED:]), median(own.processor[_SKIPPED:])
        slowest = max(own.wall[_SKIPPED:])
        times = ratio(own.processor[_SKIPPED:], one.processor[_SKIPPED:])
        yield name, f"{wall:.2f}", f"{slowest:.2f}", f"{processor:.2f}", f"{times:.2f}", f"{sides[name].rows():,}"


def figures() -> Iterator[Figure]:
    """Measure some flushes of both sides in turns, without merges, which would run during the other side's flushes."""
    with (
        tempfile.TemporaryDirectory() as folder,
        connect(f"chdb://{folder}", "ranks") as ranks,
        connect(f"chdb://{folder}", "one") as one,
    ):
        sides = [Ingestor(ranks, _WRITERS), Ingestor(one, 1)]
        ranks.command("SYSTEM STOP MERGES")
        for number in range(_FLUSHES):
            for side in sides:
                side.flush(number)
    cost, anchor = (median(side.spent.processor[_SKIPPED:]) / _WRITERS / len(_KEYS) * 1e6 for side in sides)
    name = f"a series of {_WRITERS} ranks × {len(_KEYS)} metrics, a flush with all inserts"
    yield Figure(name, "µs", cost, "a value that one rank logs", anchor, "processor")


def main() -> None:
    """Print the seconds of a flush of one second."""
    configure_logging("warning")
    with (
        tempfile.TemporaryDirectory() as folder,
        connect(f"chdb://{folder}", "ranks") as ranks,
        connect(f"chdb://{folder}", "one") as one,
    ):
        sides = {f"{_WRITERS} ranks": Ingestor(ranks, _WRITERS), "one rank": Ingestor(one, 1)}
        for number in range(_SECONDS):
            for side in sides.values():
                side.flush(number)
        title = f"A flush of {_WRITERS * len(_KEYS):,} points, one second of {_WRITERS} ranks; {_SECONDS} flushes"
        table = Table("logged by", "median s", "slowest s", "processor s", "× one rank", "values", title=title)
        for line in _lines(sides, {name: side.spent for name, side in sides.items()}):
            table.add_row(*line)
        Console(width=110).print(table)


if __name__ == "__main__":
    main()
