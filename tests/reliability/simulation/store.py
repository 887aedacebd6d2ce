"""A simulated ClickHouse with tables in memory: deduplication tokens, rows in insertion order, and queries."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from operator import itemgetter
from typing import Any, Final

import pyarrow as pa

from reliability.simulation.rollups import closed_before, computed
from reliability.simulation.rows import Row, deletions, newest_totals, python_rows, row_offset, run_of
from reliability.simulation.world import World
from stepwell_ingestor.positions import stored
from stepwell_schemas.clickhouse import run_rows
from stepwell_schemas.clickhouse.store import Parameters, Store
from stepwell_schemas.errors import StoreRejectedError, StoreUnavailableError
from stepwell_schemas.rules.identifiers import RunPath

TOKEN_WINDOW: Final = 1_000
"""Deduplication window: the number of remembered tokens of a table."""

_NO_SUCH_TABLE: Final = 60

# Ten kills in a row at exactly this moment are left out: the ingestor ends with an error then.
_LAST_TRY: Final = ":10"

_STATE_QUERY: Final = re.compile(r"SELECT entity, project, run_id, .* FROM \{db\}\.(\w+)( FINAL|) WHERE entity IN ")
_LANDED_QUERY: Final = re.compile(r"SELECT count\(\) > 0 OR .* AS landed FROM \{db\}\.(\w+) WHERE ")
_DELETION: Final = re.compile(r"DELETE FROM \{db\}\.(\w+) WHERE ")
# Rows of a materialized view are visible together with their source rows.
_SOURCES: Final = {fed: table for table, tables in run_rows.FED.items() for fed in tables}
_RUN: Final = ("entity", "project", "run_id")
_KEYS: Final = {
    "run_states": (*_RUN, "scope", "name"),
    "key_spellings": (*_RUN, "folded", "spelling"),
    "series": (*_RUN, "key", "kind", "writer"),
    "run_activity": _RUN,
    "session_activity": (*_RUN, "session"),
    "run_documents": _RUN,
}
# FINAL by table: the column by which a row replaces others of its key, or those that are merged.
_NEWEST: Final = {"run_states": "offset", "run_documents": "version"}
_MERGED: Final[Mapping[str, Mapping[str, Callable[[Iterable[Any]], Any]]]] = {
    "key_spellings": {"first_version": min},
    "series": {"totals": newest_totals},
    "run_activity": {"totals": newest_totals},
    "session_activity": {"totals": newest_totals, "content": newest_totals},
}


class Memory(Enum):
    """The share of its tokens that a store remembers."""

    ALL = 1.0
    SOME = 0.5
    NONE = 0.0


class Answer:
    """Rows with the part of an Arrow table's interface that the ingestor uses."""

    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows

    def to_pylist(self) -> list[Row]:
        """Return the rows."""
        return self._rows

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return len(self._rows)

    def column(self, name: str) -> pa.ChunkedArray:
        """Return one column."""
        return pa.chunked_array([pa.array([row[name] for row in self._rows])])


class SimulatedStore(Store):
    """Tables without merges. Like a slow read, a read may see the state at the start of its thread.

    Attributes:
        tables: rows by table, in the order of insertion. levels: the levels of rollups.
        closed_early: buckets that a series claimed to be closed before they had a row.
    """

    def __init__(self, world: World, levels: Sequence[int]) -> None:
        # The deduplication window may be shorter than an outage.
        self.memory = world.rng.choice(list(Memory))
        self.tables: dict[str, list[Row]] = defaultdict(list)
        self.closed_early: list[str] = []
        self.away_until = 0.0
        self._world = world
        self.levels = levels
        self._tokens: dict[str, list[str]] = defaultdict(list)
        self._backup: dict[str, list[Row]] = {}
        self._lengths: Mapping[str, int] = {}
        self._past: Mapping[str, int] = {}
        self._reads_of_past = 0
        self._deletions = 0
        world.snapshot = self._snapshot

    def go_away(self, seconds: float) -> None:
        """Answer no request for some seconds."""
        self.away_until = max(self.away_until, self._world.loop.time() + seconds)

    def save(self) -> None:
        """Make a backup."""
        self._backup = {table: list(rows) for table, rows in self.tables.items()}

    def restore(self) -> None:
        """Replace the tables by the backup, which was empty before the first one was made; no token is remembered."""
        for table in self.tables:
            self.tables[table] = list(self._backup.get(table, ()))
        self._lengths = {table: len(rows) for table, rows in self.tables.items()}
        self.forget_tokens(1.0)

    def empty(self) -> None:
        """Lose all tables."""
        self._backup = {}
        self.restore()

    def forget_tokens(self, share: float) -> None:
        """Forget each token with a probability."""
        for table, tokens in self._tokens.items():
            self._tokens[table] = [token for token in tokens if self._world.rng.random() >= share]

    def query(self, sql: str, parameters: Parameters | None = None) -> Any:
        """Answer the queries of `load_states`, `insert_is_visible` and `positions.stored`."""
        self._reached(self._world.faults.query)
        asked = parameters or {}
        if sql == stored._POSITIONS:
            return Answer(_newest_positions(self._visible(stored.TABLE)))
        if sql == stored._HELD:
            reached = max((row["offset"] for row in self._visible("run_states")), default=None)
            runs = len(self._visible("run_documents")) + len(self._visible("run_states"))
            return Answer([{"runs": runs, "reached": reached}])
        if sql == stored._REACHED:
            return Answer(_reached_by_partition(self._visible("run_states"), self._world.homes))
        if sql == stored._VERSION:
            rows = [row for row in self._visible(stored.TABLE) if all(row[name] == asked[name] for name in asked)]
            return Answer([{"version": max((row["version"] for row in rows), default=-1)}])
        if found := _STATE_QUERY.match(sql):
            rows = _of_runs(self._visible(found[1]), asked)
            return Answer(_final(found[1], rows) if found[2] else rows)
        if found := _LANDED_QUERY.match(sql):
            return Answer([{"landed": _landed(self._visible(_SOURCES.get(found[1], found[1])), asked)}])
        if sql == run_rows._OLDER_IN:
            return Answer([{"name": table} for table in run_rows.TABLES if self._has_deleted(table, asked)])
        raise AssertionError(f"the simulated store does not know this query; teach it: {sql}")

    def _has_deleted(self, table: str, asked: Mapping[str, Any]) -> bool:
        return any(_is_deleted(row, table, asked) for row in self._visible(_SOURCES.get(table, table)))

    def insert(self, table: str, rows: pa.Table, token: str | None = None) -> None:
        """Insert a block, once for each token; or fail, before or after it."""
        faults, chance = self._world.faults, self._world.chance
        self._reached(faults.insert_before)
        if chance(faults.insert_refused):
            raise StoreRejectedError("refused", _NO_SUCH_TABLE)
        known = self._tokens[table]
        if token in known and self._world.rng.random() >= self.memory.value:
            known.remove(token)
            self._world.counts["tokens forgotten"] += 1
            self._world.note(f"forget {token}")
        if token in known:
            self._world.counts["inserts dropped"] += 1
            self._world.note(f"drop {token}")
        else:
            if token is not None:
                known.append(token)
                del known[:-TOKEN_WINDOW]
            if token is not None and not token.endswith(_LAST_TRY) and chance(faults.insert_lost):
                self._world.counts["blocks lost by ClickHouse"] += 1
                self._world.note(f"lose {token}")
                raise StoreUnavailableError("killed between the note of the token and the rows")
            new = python_rows(table, rows)
            if table == "series":
                self.closed_early += self._closed_before(new)
            self._add(table, new)
            self._world.note(f"insert {token} {len(rows)}")
        if chance(faults.insert_after):
            raise StoreUnavailableError("the answer was lost")

    def command(self, sql: str, parameters: Parameters | None = None) -> None:
        """Compute buckets of rollups; or fail, before or after it."""
        faults, chance = self._world.faults, self._world.chance
        self._reached(faults.insert_before)
        if chance(faults.insert_refused):
            raise StoreRejectedError("refused", _NO_SUCH_TABLE)
        if found := _DELETION.match(sql):
            self._delete(found[1], parameters or {})
            return
        rows = computed(sql, parameters or {}, self._visible)
        self._add("rollups", rows)
        self._world.counts["rollups"] += len(rows)
        self._world.note(f"compute {len(rows)}")
        if chance(faults.insert_after):
            raise StoreUnavailableError("the answer was lost")

    def _closed_before(self, series: list[Row]) -> list[str]:
        points, rollups = self.tables["points_number"], self.tables["rollups"]
        if not closed_before(series, points, rollups, self.levels):
            return []
        # A deletion has removed the rollups of points that a frozen ingestor inserts after it. They are swept later.
        deleted = deletions(self.tables["run_states"])
        own = [row for row in points if row_offset(row) > deleted.get(run_of(row), -1)]
        return closed_before(series, own, rollups, self.levels)

    def _delete(self, table: str, asked: Parameters) -> None:
        # Rows of a materialized view are those of its source.
        if table not in _SOURCES:
            self.tables[table] = [row for row in self.tables[table] if not _is_deleted(row, table, asked)]
            self._lengths, self._reads_of_past = {**self._lengths, table: len(self.tables[table])}, 0
            self._deletions += 1
            self._world.counts["deletions"] += 1

    def _add(self, table: str, rows: list[Row]) -> None:
        self.tables[table] += rows
        self._lengths = {**self._lengths, table: len(self.tables[table])}

    def _reached(self, fails: float) -> None:
        if self._world.loop.time() < self.away_until or self._world.chance(fails):
            raise StoreUnavailableError("not there")

    def _snapshot(self) -> Callable[[], None]:
        # Replaced by each insert, since there are many more snapshots than inserts.
        past, reads, deletions = self._lengths, self._world.rng.randint(0, 5), self._deletions

        def see_past() -> None:
            # Lengths of tables from before a deletion would hide other rows.
            self._past, self._reads_of_past = past, reads if deletions == self._deletions else 0

        return see_past

    def _visible(self, table: str) -> list[Row]:
        rows = self.tables[table]
        if not self._reads_of_past:
            return rows
        self._reads_of_past -= 1
        return rows[: self._past.get(table, 0)]


def _newest_positions(rows: list[Row]) -> list[Row]:
    """Return the newest row of each partition; of equal versions, the one that was inserted last."""
    newest: dict[tuple[str, int], Row] = {}
    for row in rows:
        key = row["topic"], row["partition"]
        if key not in newest or row["version"] >= newest[key]["version"]:
            newest[key] = row
    return [row | {"begun_at": round(row["begun_at"].timestamp() * 1_000)} for row in newest.values()]


def _reached_by_partition(rows: list[Row], homes: Mapping[bytes, int]) -> list[Row]:
    """Return the highest offset of the states of each partition's runs."""
    reached: dict[int, int] = {}
    for row in rows:
        home = homes[RunPath(row["entity"], row["project"], row["run_id"]).kafka_key]
        reached[home] = max(reached.get(home, 0), row["offset"])
    return [{"partition": home, "reached": offset} for home, offset in reached.items()]


def _of_runs(rows: list[Row], asked: Mapping[str, Any]) -> list[Row]:
    runs, entities, projects = set(asked["runs"]), set(asked["entities"]), set(asked["projects"])
    return [row for row in rows if row["run_id"] in runs and row["entity"] in entities and row["project"] in projects]


def _final(table: str, rows: list[Row]) -> list[Row]:
    """Return rows merged as by FINAL."""
    read_key, newest = itemgetter(*_KEYS[table]), _NEWEST.get(table)
    merged = _MERGED.get(table, {})
    final: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        key = read_key(row)
        known = final.get(key)
        if known is None:
            final[key] = row
        elif newest is not None:
            if row[newest] >= known[newest]:
                final[key] = row
        else:
            final[key] = known | {name: merge((known[name], row[name])) for name, merge in merged.items()}
    return list(final.values())


def _landed(rows: list[Row], asked: Mapping[str, Any]) -> bool:
    among = [name for name in (*_RUN, "key") if name in asked]
    return any(all(row[name] == asked[name] for name in among) and row_offset(row) >= asked["first"] for row in rows)


def _is_deleted(row: Row, table: str, asked: Mapping[str, Any]) -> bool:
    if row["entity"] != asked["entity"] or row["project"] != asked["project"] or row["run_id"] not in asked["run_ids"]:
        return False
    return row_offset(row, table) < int(asked["offsets"][asked["run_ids"].index(row["run_id"])])
