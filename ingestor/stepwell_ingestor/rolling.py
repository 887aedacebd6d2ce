"""What a flush does to rollups: the rows it can tell itself, and the buckets to compute from what is stored. Pure.

A flush closes buckets: the one of a series' last step before it, and those of its own rows, up to the first that stays
open. And it changes closed ones, where its rows come late or overwrite a value. Both are one rule: of the buckets that
hold the last step before or a row of the flush, those that are closed behind it get a new row, level by level.

A series that goes on behind its last step, as nearly all do, needs no reading: what its open buckets have come to is
kept from flush to flush (`RunState.open_buckets`), and its rows are told from the flush's own points. All else is
computed from what is stored: the buckets of a series whose rows come late, and, after the state was loaded, those that
were open then. Both ways give the same row, to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa

from stepwell_ingestor.buckets import ROW, UNKNOWN, keep_rows, open_rows
from stepwell_ingestor.points import Columns, Int64s, Names
from stepwell_ingestor.series_points import Marks, series_of
from stepwell_ingestor.state import RunState
from stepwell_ingestor.telling import NEVER, Told, tell
from stepwell_schemas.identifiers import RunPath
from stepwell_schemas.kinds import Kind
from stepwell_schemas.rollups import VALUES, Buckets, Statement, computing, level_below

# A server takes 128 KiB as one parameter (http_max_field_value_size), in which a character may be written as two.
_KEYS_BYTES: Final = 32_768
_KEY_BYTES: Final = 4
_BUCKETS: Final = 1_500
_PARTS: Final = 16


@dataclass
class Rolling:
    """What a flush does to rollups.

    `told`: rows to insert first. `chosen`: by level, the buckets to compute from what is stored then.
    """

    levels: Sequence[int]
    told: list[Told] = field(default_factory=list)
    chosen: dict[int, list[Buckets]] = field(default_factory=dict)

    def choose(self, level: int, chosen: Buckets) -> None:
        """Note buckets to compute."""
        self.chosen.setdefault(level, []).append(chosen)

    def statements(self, version: int) -> Iterator[Statement]:
        """Yield the statements that compute what is chosen, in the order in which they must run; of bounded size."""
        for level in self.levels:
            pieces = [piece for one in self.chosen.get(level, ()) for piece in _pieces(one)]
            for start in range(0, len(pieces), _PARTS):
                yield computing(level, level_below(level, self.levels), pieces[start : start + _PARTS], version)

    def table(self, version: int) -> pa.Table | None:
        """Return what is told as rows of the table `rollups`, None where nothing is."""
        return _table(self.told, version) if self.told else None


def roll(
    columns: Sequence[Columns],
    before: Mapping[RunPath, RunState],
    after: Mapping[RunPath, RunState],
    levels: Sequence[int],
) -> Rolling:
    """Return what it does to rollups when a flush stores these columns.

    Args:
        columns: of numbers, and others.
        before: the state of each run before the flush; not changed.
        after: the state of each run after it, which learns what its open buckets have come to.
        levels: the levels, ascending.
    """
    rolling, kind = Rolling(levels), str(Kind.NUMBER)
    for series in series_of(columns):
        last_steps, state = before[series.path].last_steps, after[series.path]
        prior = np.array([last_steps.get((key, kind), NEVER) for key in series.keys])
        points = series.points()
        known = open_rows(state.open_buckets, series.keys, len(levels))
        late = prior >= points.steps[0]
        if late.any():
            _choose_touched(rolling, series.path, _where(series.keys, late), points.steps, prior[late])
            known[late] = np.zeros((), ROW)
            known["bucket"][late] = UNKNOWN
        if not late.all():
            ahead = ~late
            told = tell(series.path, _where(series.keys, ahead), points.of(ahead), prior[ahead], known[ahead], levels)
            rolling.told += told.rows
            for level, chosen in told.unknown:
                rolling.choose(level, chosen)
            known[ahead] = told.open
        keep_rows(state.open_buckets, series.keys, known)
    return rolling


def _choose_touched(rolling: Rolling, path: RunPath, keys: list[str], steps: Int64s, prior: Int64s) -> None:
    """Choose the closed buckets that hold the last step before, or a row of the flush."""
    last = np.maximum(prior, steps[-1])
    for level in rolling.levels:
        buckets, ends, of_prior = np.unique(steps >> level), last >> level, prior >> level
        for end in np.unique(ends):
            if len(shut := buckets[buckets < end]):
                rolling.choose(level, Buckets(path, _where(keys, ends == end), shut.tolist()))
        apart = (of_prior < ends) & ~np.isin(of_prior, buckets)
        for bucket in np.unique(of_prior[apart]):
            rolling.choose(level, Buckets(path, _where(keys, apart & (of_prior == bucket)), [int(bucket)]))


def _where(keys: list[str], chosen: Marks) -> list[str]:
    return keys if chosen.all() else [keys[place] for place in np.flatnonzero(chosen).tolist()]


def _pieces(one: Buckets) -> Iterator[Buckets]:
    for keys in _portions(one.keys):
        for start in range(0, len(one.buckets), _BUCKETS):
            yield Buckets(one.path, keys, one.buckets[start : start + _BUCKETS])


def _portions(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    ends = np.cumsum([len(key.encode()) + _KEY_BYTES for key in keys])
    start = 0
    while start < len(keys):
        before = ends[start - 1] if start else 0
        end = max(int(np.searchsorted(ends, before + _KEYS_BYTES, "right")), start + 1)
        yield keys[start:end]
        start = end


def _table(told: Sequence[Told], version: int) -> pa.Table:
    sizes = [len(part.rows) for part in told]
    rows = np.concatenate([part.rows for part in told])
    columns: dict[str, Any] = {}
    for name in ("entity", "project", "run_id"):
        names = Names()
        codes = names.codes(getattr(part.path, name) for part in told)
        columns[name] = names.column(np.repeat(codes, sizes))
    keys = Names()
    columns["key"] = keys.column(np.concatenate([keys.codes(part.keys)[part.places] for part in told]))
    columns["level"] = np.repeat(np.array([part.level for part in told], np.uint8), sizes)
    for name in ("bucket", *VALUES):
        columns[name] = np.ascontiguousarray(rows[name])
    columns["last_timestamp"] = pa.array(columns["last_timestamp"]).cast(pa.timestamp("ms", "UTC"))
    columns["version"] = np.full(len(rows), version, np.uint64)
    return pa.table(columns)
