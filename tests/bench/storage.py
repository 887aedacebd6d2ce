"""Bytes a point, by table and by column: `make bench ARGS=storage`.

Events go through the real ingest path (decoded, planned, inserted with their rollups), without the broker. Each kind of
series has a separate database, so that `system.parts_columns` shows its cost; all are runs of twelve metrics
that log live: a step takes 120 ms, 3 % more or less, and sometimes a second more for a checkpoint; each row is an event
of its own, as the SDK sends it at that pace, and three other runs of other paces write into the same partition. How the
rows arrive matters too, so one kind is measured in other ways as well.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Column, Table

from bench.figure import Figure
from bench.kafka_to_clickhouse import ingest
from stepwell_ingestor.messages import Message
from stepwell_ingestor.planner.run_state import RunState
from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.events.codec import encode
from stepwell_schemas.events.models import Block, LogBatch
from stepwell_schemas.migrations.runner import migrate
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind

Floats = NDArray[np.float64]

_PATH: Final = RunPath("bench", "storage", "2fq8x1kz")
_KEYS: Final = [f"train/metric_{number}" for number in range(12)]
_STEPS: Final = 150_000
_FLUSH_ROWS: Final = 15_000
_JITTER: Final = 0.03
_CHECKPOINT_SHARE: Final = 0.002
_SMALL: Final = 0.004
_POINTS: Final = _STEPS * len(_KEYS)
_FEW_STEPS: Final = 60_000

_COLUMNS: Final = """
SELECT concat(table, '.', column) AS part, sum(column_data_compressed_bytes) AS bytes
FROM system.parts_columns WHERE active AND database = {database:String} AND table IN ('points_number', 'rollups')
GROUP BY table, column ORDER BY table, max(column_position)
"""
_TABLES: Final = """
SELECT if(table IN ('points_number', 'rollups'), table, 'all others') AS part, sum(bytes_on_disk) AS bytes,
    sum(marks_bytes + primary_key_size) AS index_bytes
FROM system.parts WHERE active AND database = {database:String} GROUP BY part ORDER BY part = 'all others', part
"""


def noisy_loss(random: Generator, steps: int = _STEPS) -> Floats:
    """Return a loss that falls from 2.3 towards 0.2, with noise that falls with it."""
    left: Floats = np.exp(-np.arange(steps) / (steps / 3))
    return 0.2 + 2.1 * left + random.normal(0, 0.03, steps) * (1 + 2 * left)


def as_float32(values: Floats) -> Floats:
    """Return values as `float(tensor)` gives them where the tensor is float32."""
    return values.astype(np.float32).astype(np.float64)


def accuracy(random: Generator) -> Floats:
    """Return an accuracy over batches of 256, as float32."""
    share = 0.95 - 0.5 * np.exp(-np.arange(_STEPS) / (_STEPS / 5))
    return as_float32(random.binomial(256, share) / 256)


def schedule(_: Generator) -> Floats:
    """Return a learning rate: warm-up, then a cosine, computed in float64."""
    steps = np.arange(_STEPS)
    return 3e-4 * np.minimum(steps / 2_000, 0.5 * (1 + np.cos(np.pi * steps / _STEPS)))


def nearly_constant(random: Generator) -> Floats:
    """Return a value that changes every few hundred steps, such as a scale or a memory size."""
    return as_float32(random.random(_STEPS // 300 + 1).repeat(300)[:_STEPS])


def counter(_: Generator) -> Floats:
    """Return a number of samples that grows by 512 each step."""
    return np.arange(_STEPS, dtype=np.float64) * 512


KINDS: Final[Mapping[str, Callable[[Generator], Floats]]] = {
    "loss, float32": lambda random: as_float32(noisy_loss(random)),
    "loss, double": noisy_loss,
    "gradient norm, float32": lambda random: as_float32(np.exp(random.normal(0, 0.7, _STEPS))),
    "accuracy": accuracy,
    "learning rate": schedule,
    "nearly constant": nearly_constant,
    "counter": counter,
}


class Pace(NamedTuple):
    """Pace of a run: seconds per step, rows per event, and seconds per step of each other run."""

    step_seconds: float = 0.12
    rows: int = 1
    others: tuple[float, ...] = (0.08, 0.2, 0.45)


_LIVE: Final = Pace()
_OF_OTHER_PACE: Final = "loss, float32"
PACES: Final = {
    "the same, alone in its partition": Pace(others=()),
    "the same, 30 other runs": Pace(others=tuple(0.05 + 0.03 * number for number in range(30))),
    "the same, 500 steps a second": Pace(0.002, 25),
}


class Size(NamedTuple):
    """Bytes on disk of a database: of each table, and of its indexes."""

    columns: dict[str, int]
    tables: dict[str, int]
    indexes: dict[str, int]

    @property
    def total(self) -> int:
        """All bytes on disk."""
        return sum(self.tables.values())


def moments(random: Generator, steps: int, step_seconds: float) -> Floats:
    """Return the times at which a run logs its rows, in seconds."""
    return np.cumsum(step_seconds * random.lognormal(0, _JITTER, steps) + (random.random(steps) < _CHECKPOINT_SHARE))


def messages(random: Generator, of_keys: Floats, pace: Pace) -> list[Message]:
    """Return a run's events with their offsets, between those of other runs that send each row separately."""
    steps = of_keys.shape[1]
    seconds = moments(random, steps, pace.step_seconds)
    others = [moments(random, int(seconds[-1] / step_seconds), step_seconds) for step_seconds in pace.others]
    sent = seconds[:: pace.rows]
    offsets = np.arange(len(sent)) + np.searchsorted(np.sort(np.concatenate([[], *others])), sent)
    times = (1_700_000_000_000_000 + seconds * 1_000_000).astype("<i8")
    found = []
    for number, first in enumerate(range(0, steps, pace.rows)):
        values = of_keys[:, first : first + pace.rows]
        batch = LogBatch(
            **_PATH._asdict(),
            session="s",
            sequence=first,
            rows=values.shape[1],
            timestamps=times[first : first + pace.rows].tobytes(),
            blocks=[Block(kind=Kind.NUMBER, keys=_KEYS, packed=values.tobytes())],
        )
        found.append(Message(int(offsets[number]), 0, None, encode(batch)))
    return found


def fill(store: Store, of_keys: Floats, pace: Pace = _LIVE) -> None:
    """Store a run as the ingestor does."""
    states = {_PATH: RunState()}
    events = messages(np.random.default_rng(1), of_keys, pace)
    flush = _FLUSH_ROWS // pace.rows
    for first in range(0, len(events), flush):
        states = ingest(store, events[first : first + flush], states, rolled=True).states


def merge(store: Store) -> None:
    """Merge all parts of each table into one."""
    tables = "SELECT name FROM system.tables WHERE database = {database:String} AND engine LIKE '%MergeTree'"
    for name in store.query(tables, {"database": store.database}).column("name").to_pylist():
        store.command(f"OPTIMIZE TABLE {{db}}.`{name}` FINAL")


def stored_size(store: Store) -> Size:
    """Return the size of the store's database."""
    tables = store.query(_TABLES, {"database": store.database}).to_pylist()
    return Size(
        {},
        {row["part"]: row["bytes"] for row in tables},
        {row["part"]: row["index_bytes"] for row in tables},
    )


def column_sizes(store: Store) -> dict[str, int]:
    """Return the bytes of each column, including the small rollups, whose columns usually share one file."""
    store.command("ALTER TABLE {db}.rollups MODIFY SETTING min_bytes_for_wide_part = 0")
    store.command("OPTIMIZE TABLE {db}.rollups FINAL")
    return {row["part"]: row["bytes"] for row in store.query(_COLUMNS, {"database": store.database}).to_pylist()}


def stable_figures() -> Iterator[Figure]:
    """Measure runs of 60,000 steps after merges; the bytes differ from run to run by less than a hundredth."""
    with tempfile.TemporaryDirectory() as folder:
        for name, size in (("float32", 4), ("double", 8)):
            with connect(f"chdb://{folder}", name) as store:
                migrate(store)
                random = np.random.default_rng(0)
                series = np.stack([noisy_loss(random, _FEW_STEPS) for _ in _KEYS])
                fill(store, as_float32(series) if name == "float32" else series)
                merge(store)
                stored = stored_size(store).total / series.size
            yield Figure(f"storage of a point, noisy loss, {name}", "bytes", stored, "the value alone", size, "bytes")


figures = stable_figures


def main() -> None:
    """Print the bytes per point. Goal: at most 4 for float32 losses, everything included."""
    flushed, merged = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        names = [*KINDS, *PACES]
        stores = {name: connect(f"chdb://{folder}", f"kind_{number}") for number, name in enumerate(names)}
        for name, store in stores.items():
            migrate(store)
            random = np.random.default_rng(0)
            values_of = KINDS.get(name, KINDS[_OF_OTHER_PACE])
            fill(store, np.stack([values_of(random) for _ in _KEYS]), PACES.get(name, _LIVE))
            flushed[name] = stored_size(store)
            merge(store)
            merged[name] = stored_size(store)._replace(columns=column_sizes(store))
        for store in stores.values():
            store.close()
    Console(width=190).print(_table(flushed, merged))


def _table(flushed: Mapping[str, Size], merged: Mapping[str, Size]) -> Table:
    title = f"Bytes a point, {_POINTS:,} points of {len(_KEYS)} metrics each"
    table = Table(Column("", no_wrap=True), *merged, title=title)

    def add(name: str, numbers: list[int], style: str = "") -> None:
        table.add_row(name, *(f"{number / _POINTS:.3f}" for number in numbers), style=style)

    first = next(iter(merged.values()))
    for place in first.tables:
        small = [0] * len(merged)
        for column in first.columns:
            if column.startswith(f"{place}."):
                sizes = [size.columns[column] for size in merged.values()]
                if max(sizes) >= _SMALL * _POINTS:
                    add(f"  {column}", sizes)
                else:
                    small = [one + more for one, more in zip(small, sizes, strict=True)]
        if any(small):
            add("  smaller columns", small)
        add(f"  {place}: marks and primary key", [size.indexes[place] for size in merged.values()])
        add(place, [size.tables[place] for size in merged.values()], "bold")
        table.add_section()
    add("all, merged", [size.total for size in merged.values()], "bold")
    add("all, as the flushes left it", [size.total for size in flushed.values()])
    return table


if __name__ == "__main__":
    main()
