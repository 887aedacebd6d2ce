"""Long series made by the engine itself, points and rollups, quickly enough for 10^8 steps: for benchmarks.

Values are noisy, falling losses; nothing of them has to be told again, so the rollups are computed without regard for
what is written twice.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from stepwell_query.catalog.conditions import OF_RUN
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rollups.sql import LEVEL_BITS, LEVELS, closed, computed, level_below, storing
from stepwell_schemas.rules.identifiers import RunPath

_FLUSH_ROWS: Final = 5_000_000
_POLL_SECONDS: Final = 0.2

_POINTS: Final = """
INSERT INTO {db}.points_number (entity, project, run_id, key, step, timestamp, bits, version)
SELECT {entity:String}, {project:String}, {run_id:String}, key, step,
    fromUnixTimestamp64Milli(toInt64(1700000000000 + step * 10)),
    reinterpretAsUInt64(1 / (1 + step / {length:Int64}) + randNormal(0, 0.05, number)),
    bitShiftLeft({begin:UInt64} + 1, 20) + number
FROM
(
    SELECT key, number, toInt64({begin:UInt64} + number) AS step
    FROM (SELECT arrayJoin({keys:Array(String)}) AS key) AS k CROSS JOIN numbers({rows:UInt64}) AS n
)
"""

_LOWEST: Final = f"""
INSERT INTO {{db}}.rollups
SELECT entity, project, run_id, key, {LEVELS[0]} AS level, intDiv(step, {1 << LEVELS[0]}) AS bucket,
    min(step), argMin(value, step), max(step), argMax(value, step), argMax(timestamp, step),
    argMin(step, value), min(value), argMax(step, value), max(value), sum(value), count(), 0, count(), max(version)
FROM {{db}}.points_number WHERE {OF_RUN} AND step < {{end:Int64}}
GROUP BY entity, project, run_id, key, bucket SETTINGS optimize_aggregation_in_order = 1
"""

# A row for each bucket of 4,096 steps, as if there were points below.
_ROLLUPS_ALONE: Final = """
INSERT INTO {db}.rollups
SELECT {entity:String}, {project:String}, {run_id:String}, {key:String}, {level:UInt8}, number,
    number * {width:Int64}, 1, (number + 1) * {width:Int64} - 1, 1 / (1 + number / {rows:UInt64}),
    fromUnixTimestamp64Milli(toInt64(1700000000000 + number)), number * {width:Int64}, 0, number * {width:Int64} + 1, 2,
    {width:Int64}, {width:Int64}, 0, {width:Int64}, 1
FROM numbers({rows:UInt64})
"""

_SERIES: Final = """
INSERT INTO {db}.series
(entity, project, run_id, key, kind, first_step, last_step, points, rewritten, first_version, last_offset)
SELECT {entity:String}, {project:String}, {run_id:String}, arrayJoin({keys:Array(String)}), 'number',
    0, {length:Int64} - 1, {length:UInt64}, 0, 1, {length:Int64}
"""

_RUN: Final = """
INSERT INTO {db}.run_activity
(entity, project, run_id, first_timestamp, last_timestamp, last_step, log_rows, points, last_offset)
SELECT {entity:String}, {project:String}, {run_id:String}, fromUnixTimestamp64Milli(toInt64(1700000000000)),
    fromUnixTimestamp64Milli(toInt64(1700000000000 + {length:Int64} * 10)), {length:Int64} - 1, {length:UInt64},
    {length:UInt64}, {length:Int64}
"""

_DOCUMENT: Final = """
INSERT INTO {db}.run_documents (entity, project, run_id, config, metric_definitions, created_at, started_at, version)
SELECT {entity:String}, {project:String}, {run_id:String}, {config:String}, '[]', t, t, 1
FROM (SELECT fromUnixTimestamp64Milli(toInt64(1700000000000)) AS t)
"""


@dataclass(frozen=True)
class Scale:
    """Fills a store with runs of one project."""

    store: Store
    project: str = "scale"

    def run(self, name: str, keys: Sequence[str], length: int, config: str = "{}") -> RunPath:
        """Write a run that logged every key at each of `length` steps."""
        run = RunPath("bench", self.project, name)
        flush = max(_FLUSH_ROWS // len(keys), 1)
        for begin in range(0, length, flush):
            self._command(_POINTS, run, keys=keys, length=length, begin=begin, rows=min(flush, length - begin))
        self._command(_LOWEST, run, end=closed(LEVELS[0], length - 1) << LEVELS[0])
        self._higher(run, length, LEVELS[1:])
        self._known(run, keys, length, config)
        return run

    def rollups_alone(self, name: str, key: str, length: int) -> RunPath:
        """Write a run of which there are rollups alone, from the second level on: its last steps are not there."""
        run = RunPath("bench", self.project, name)
        level, width = LEVELS[1], 1 << LEVELS[1]
        self._command(_ROLLUPS_ALONE, run, key=key, level=level, width=width, rows=closed(level, length - 1))
        self._higher(run, length, LEVELS[2:])
        self._known(run, [key], length, "{}")
        return run

    def settle(self) -> None:
        """Wait until the engine merges no parts, which it does for a while behind large inserts."""
        while self.store.query("SELECT count() AS merges FROM system.merges")["merges"][0].as_py():
            time.sleep(_POLL_SECONDS)

    def _higher(self, run: RunPath, length: int, levels: Sequence[int]) -> None:
        for level in levels:
            end = closed(level, length - 1) << LEVEL_BITS
            chosen = f"{OF_RUN} AND bucket < {{end:Int64}}"
            rows = computed(level, level_below(level), chosen)
            self._command(storing(rows, "{version:UInt64}"), run, end=end, version=length)

    def _known(self, run: RunPath, keys: Sequence[str], length: int, config: str) -> None:
        self._command(_SERIES, run, keys=keys, length=length)
        self._command(_DOCUMENT, run, config=config)
        self._command(_RUN, run, length=length)

    def _command(self, sql: str, run: RunPath, **parameters: object) -> None:
        self.store.command(sql, run._asdict() | parameters)
