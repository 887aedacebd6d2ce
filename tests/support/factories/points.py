"""Rows inserted directly into the physical tables, as by a flush of the ingestor, for tests of readers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self, cast

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from stepwell_ingestor.planner.totals import (
    NO_COUNTS,
    NO_TOTALS,
    RUN_TOTALS,
    SERIES_TOTALS,
    Counts,
    SeriesTotals,
    add_counts,
)
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.limits import VERSION_ROW_BITS
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.keys import fold_key
from stepwell_schemas.rules.kinds import MEDIA_KINDS, Kind, exact_text
from stepwell_schemas.rules.streams import DEFAULT
from support.factories.numbers import float_bits
from support.readers.rollups import fill_rollups

BEGIN_MS: Final = 1_700_000_000_000
"""Start of every run of the tests, in milliseconds since the epoch."""

STEP_MS: Final = 10
"""Milliseconds from one step to the next."""

# Steps beyond it have the same timestamp: DateTime64 ends in the year 2299.
_LAST_TIMED_STEP: Final = 10**9

_TIME: Final = pa.timestamp("ms", "UTC")


class _Gathering:
    """Collects the inserts of writers, and combines them to one insert for each table."""

    def __init__(self) -> None:
        self.tables: dict[str, list[pa.Table]] = {}

    def insert(self, table: str, rows: pa.Table) -> None:
        """Collect rows for a later insert."""
        self.tables.setdefault(table, []).append(rows)


@contextmanager
def gathered(store: Store) -> Iterator[Store]:
    """Yield a store to write many runs to: all inserts of the block are combined and executed at its end."""
    gathering = _Gathering()
    yield cast("Store", gathering)
    for table, parts in gathering.tables.items():
        whole = pa.concat_tables(parts, promote_options="default")
        store.insert(table, whole.unify_dictionaries())


def attach_tables(store: Store, database: str, tables: Sequence[str]) -> None:
    """Put the rows of another database into a store's tables, with the same files."""
    for table in tables:
        store.command(f"ALTER TABLE {{db}}.{table} ATTACH PARTITION ALL FROM {database}.{table}")


@dataclass
class RunWriter:
    """Writes the points of one run; each call is a separate flush, with a version above all earlier ones.

    `rolled`: with the rollups that the ingestor would have stored. Without `activity`, flushes end before their
    last insert, as one does that is still landing.
    """

    store: Store
    run: RunPath
    rolled: bool = field(default=True, kw_only=True)
    offset: int = 0
    last_steps: dict[tuple[str, Kind, str], int] = field(default_factory=dict)
    series_totals: dict[tuple[str, Kind, str], SeriesTotals] = field(default_factory=dict)
    counts: Counts = NO_COUNTS
    current_stream: str = DEFAULT
    activity: bool = True
    writer: str = ""

    def document(self, **columns: Any) -> Self:
        """Write the run's metadata; `config`, `summary` and `metric_definitions` are plain values here."""
        self.offset += 1
        texts = {
            name: json.dumps(columns.pop(name, empty))
            for name, empty in (("config", {}), ("summary", {}), ("metric_definitions", []))
        }
        created = columns.pop("created_ms", BEGIN_MS)
        finished = columns.pop("finished_ms", None)
        row = {"display_name": "", "state": "running", "tags": [], **texts, **columns}
        table = pa.Table.from_pylist([{**self.run._asdict(), **row}])
        table = table.set_column(
            table.column_names.index("tags"), "tags", pa.array([row["tags"]], pa.list_(pa.string()))
        )
        for name, value in (("created_at", created), ("started_at", created), ("finished_at", finished)):
            table = table.append_column(name, pa.array([value], _TIME))
        self.store.insert("run_documents", table.append_column("version", self._versions(1)))
        return self

    def numbers(self, key: str, steps: ArrayLike, values: ArrayLike, exact: Sequence[str] | None = None) -> Self:
        """Write float64 values of a key at ascending steps."""
        at, numbers = np.asarray(steps, np.int64), np.asarray(values, np.float64)
        more = {} if exact is None else {"exact": pa.array(exact, pa.string())}
        versions = self._points("points_number", key, at, {"bits": float_bits(numbers)} | more)
        if self.rolled:
            before = self.last_steps.get((key, Kind.NUMBER, self.writer), -1)
            steps_of = int(at.min()), int(at.max())
            fill_rollups(self.store, self.run, key, self.writer, before, *steps_of, self.offset + 1)
        there = numbers[~np.isnan(numbers)]
        low, high = (float(there.min()), float(there.max())) if len(there) else (math.inf, -math.inf)
        with np.errstate(invalid="ignore", over="ignore"):
            total = float(there.sum())
        last = (int(at[-1]), versions[-1].as_py(), float(numbers[-1]))
        self._series(key, Kind.NUMBER, at, (low, high, total, len(there)), last, "" if exact is None else exact[-1])
        return self

    def integers(self, key: str, steps: ArrayLike, values: Sequence[int]) -> Self:
        """Write integers of any size."""
        return self.numbers(key, steps, [float(value) for value in values], [exact_text(value) for value in values])

    def texts(self, key: str, kind: Kind, steps: ArrayLike, values: Sequence[str]) -> Self:
        """Write values of a kind that is stored as text: strings as they are, the others as JSON."""
        at = np.asarray(steps, np.int64)
        table = {Kind.STRING: "points_string", Kind.OTHER: "points_other"}.get(kind, "points_media")
        more = {"kind": pa.array([str(kind)] * len(at))} if kind in MEDIA_KINDS else {}
        versions = self._points(table, key, at, {"value": pa.array(values, pa.string())} | more)
        self._series(key, kind, at, last=(int(at[-1]), versions[-1].as_py(), values[-1]))
        return self

    def strings(self, key: str, steps: ArrayLike, values: Sequence[str]) -> Self:
        """Write texts."""
        return self.texts(key, Kind.STRING, steps, values)

    def bools(self, key: str, steps: ArrayLike, values: Sequence[bool]) -> Self:
        """Write booleans."""
        at = np.asarray(steps, np.int64)
        versions = self._points("points_bool", key, at, {"value": pa.array(values, pa.bool_())})
        text = "true" if values[-1] else "false"
        self._series(key, Kind.BOOL, at, last=(int(at[-1]), versions[-1].as_py(), text))
        return self

    def spelling(self, *spellings: str) -> Self:
        """Record spellings of a key, the first one first."""
        for spelling in spellings:
            self.offset += 1
            row = {**self.run._asdict(), "folded": fold_key(spelling), "spelling": spelling}
            table = pa.Table.from_pylist([row]).append_column("first_version", self._versions(1))
            self.store.insert("key_spellings", table)
        return self

    def _versions(self, count: int) -> pa.Array:
        return pa.array(np.uint64(self.offset << VERSION_ROW_BITS) + np.arange(count, dtype=np.uint64))

    def _points(self, table: str, key: str, steps: NDArray[np.int64], more: Mapping[str, pa.Array]) -> pa.Array:
        self.offset += 1
        versions = self._versions(len(steps))
        columns = {
            **_repeated({**self.run._asdict(), "key": key, "writer": self.writer}, len(steps)),
            "step": pa.array(steps),
            "timestamp": _times(steps),
            "version": versions,
            **more,
        }
        self.store.insert(table, pa.table(columns))
        self._activity(steps, len(steps))
        return versions

    def _activity(self, steps: NDArray[np.int64], points: int) -> None:
        if self.current_stream or not self.activity:
            return
        row = self.run._asdict()
        table = pa.Table.from_pylist([row])
        before = self.counts
        after, _ = add_counts(before, Counts(points, points, 0, 0, 0))
        self.counts = after
        columns = {
            "first_timestamp": _times(steps[:1]),
            "last_timestamp": _times(steps[-1:]),
            "last_step": pa.array([int(steps[-1])], pa.int64()),
            "totals": pa.array([(self.offset + 1, *after[:-1], *before[:-1])], RUN_TOTALS),
            "last_offset": pa.array([self.offset], pa.int64()),
        }
        for name, column in columns.items():
            table = table.append_column(name, column)
        self.store.insert("run_activity", table)

    def stream(self, name: str) -> Self:
        """Write all further series to a stream that is separate from the run's own rows."""
        self.current_stream = name
        return self

    def moved_to(self, store: Store) -> Self:
        """Return a writer that continues in a store with the same rows; this one is left as it is."""
        return replace(self, store=store, last_steps={**self.last_steps}, series_totals={**self.series_totals})

    def as_writer(self, name: str) -> Self:
        """Write all further values as a writer of this name."""
        self.writer = name
        return self

    def _series(
        self,
        key: str,
        kind: Kind,
        steps: NDArray[np.int64],
        figures: tuple[float, float, float, int] = (math.inf, -math.inf, 0.0, 0),
        last: tuple[int, int, float | str] = (0, 0, ""),
        exact: str = "",
    ) -> None:
        series = key, kind, self.writer
        before = self.last_steps.get(series, -1)
        rewritten = int(steps[0]) <= before or bool((np.diff(steps) <= 0).any())
        self.last_steps[series] = max(before, int(steps[-1]))
        number, text = (last[2], exact) if isinstance(last[2], float) else (0.0, last[2])
        low, high, total, not_nan = figures
        earlier = self.series_totals.get(series, NO_TOTALS)
        points, numbers = earlier.points + len(steps), earlier.not_nan + not_nan
        after = SeriesTotals(self.last_steps[series], points, numbers, earlier.value_sum + total)
        self.series_totals[series] = after
        columns = {
            **_repeated({**self.run._asdict(), "key": key, "kind": str(kind), "writer": self.writer}, 1),
            "first_step": pa.array([int(steps[0])], pa.int64()),
            "last_step": pa.array([int(steps[-1])], pa.int64()),
            "rewritten": pa.array([int(rewritten)], pa.uint8()),
            "first_version": pa.array([self.offset << VERSION_ROW_BITS], pa.uint64()),
            "value_min": pa.array([low]),
            "value_max": pa.array([high]),
            "totals": pa.array([(self.offset + 1, *after, *earlier)], SERIES_TOTALS),
            "last_number": _last(last[0], last[1], pa.array([number], pa.float64())),
            "last_text": _last(last[0], last[1], pa.array([text], pa.string())),
        }
        columns["stream"] = pa.array([self.current_stream])
        columns["last_offset"] = pa.array([self.offset], pa.int64())
        self.store.insert("series", pa.table(columns))


def _times(steps: NDArray[np.int64]) -> pa.Array:
    return pa.array(BEGIN_MS + np.minimum(steps, _LAST_TIMED_STEP) * STEP_MS).cast(_TIME)


def _repeated(values: Mapping[str, str], count: int) -> dict[str, pa.Array]:
    indices = pa.array(np.zeros(count, np.int32))
    return {name: pa.DictionaryArray.from_arrays(indices, pa.array([value])) for name, value in values.items()}


def _last(step: int, version: int, value: pa.Array) -> pa.StructArray:
    columns = [pa.array([step], pa.int64()), pa.array([version], pa.uint64()), value]
    return pa.StructArray.from_arrays(columns, ["step", "version", "value"])
