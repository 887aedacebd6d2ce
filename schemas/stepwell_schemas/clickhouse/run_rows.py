"""The rows of runs in all tables: count them, and delete those that are older than a run's deletion.

A deletion is idempotent: it deletes the rows of events before an offset, and a repetition finds only those of later
events. The rows of `run_states` stay, in which the ingestor notes the deletion itself.
"""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.clickhouse.tables import POINT_TABLES, PROJECT_CONDITION, PROJECT_RUNS_CONDITION
from stepwell_schemas.limits import VERSION_ROW_BITS
from stepwell_schemas.rules.identifiers import RunPath

_BY_VERSION: Final = f"bitShiftRight(version, {VERSION_ROW_BITS})"

OFFSETS: Final[Mapping[str, str]] = {
    **dict.fromkeys([*POINT_TABLES.values(), "run_documents", "step_conflict_log", "media_files"], _BY_VERSION),
    "key_spellings": f"bitShiftRight(first_version, {VERSION_ROW_BITS})",
    **dict.fromkeys(["series", "run_activity", "session_activity"], "last_offset"),
}
"""By table with rows of runs, the SQL of the logical offset that a row comes from."""

FED: Final[Mapping[str, tuple[str, ...]]] = {"run_documents": ("run_values", "run_texts")}
"""Tables that materialized views fill from another table: a crash may leave rows in one of them only."""

_ROW_OFFSETS: Final[Mapping[str, str]] = {
    **OFFSETS,
    # The end of the flush that computed the row: a deletion in that flush is before it.
    "rollups": "version - 1",
    **dict.fromkeys(["retained_steps", "removed_figures"], "last_offset"),
    **dict.fromkeys([fed for names in FED.values() for fed in names], _BY_VERSION),
}
TABLES: Final = tuple(_ROW_OFFSETS)
"""All tables whose rows go with a run."""

_RUNS_AT_ONCE: Final = 500
_OLDER: Final = (
    "toInt64({offset}) < transform(toString(run_id), {{run_ids:Array(String)}}, {{offsets:Array(Int64)}}, 0)"
)
# A merge may have joined such a row with one of the run that has the name now, which its series show.
_UNUSED_SPELLING: Final = (
    f" AND (toString(run_id), spelling) NOT IN (SELECT toString(run_id), key FROM {{db}}.series"
    f" WHERE {PROJECT_RUNS_CONDITION} AND NOT {_OLDER.format(offset=OFFSETS['series'])})"
)
_DELETED: Final = {
    table: f"{PROJECT_RUNS_CONDITION} AND {_OLDER.format(offset=offset)}"
    + (_UNUSED_SPELLING if table == "key_spellings" else "")
    for table, offset in _ROW_OFFSETS.items()
}
"""By table, the condition of the rows that go with a deletion."""

_OLDER_IN: Final = " UNION ALL ".join(
    f"SELECT '{table}' AS name FROM (SELECT 1 FROM {{db}}.{table} WHERE {condition} LIMIT 1)"
    for table, condition in _DELETED.items()
)
_MIXED: Final = (
    f"SELECT DISTINCT toString(run_id) AS run_id FROM {{db}}.series WHERE {PROJECT_RUNS_CONDITION}"
    # A series has the first version of both, as a spelling has.
    f" AND {_OLDER.format(offset=OFFSETS['key_spellings'])}"
    f" AND NOT {_OLDER.format(offset=OFFSETS['series'])}"
)
_REFERENCES: Final = (
    "INSERT INTO {db}.media_removals (sha256, size, removed_at, stage, version)"
    " SELECT sha256, max(size), now64(3), 'unreferenced', toUnixTimestamp64Micro(now64(6))"
    f" FROM {{db}}.media_files WHERE {_DELETED['media_files']} GROUP BY sha256"
)
_NOTE: Final = (
    "INSERT INTO {db}.media_removals (sha256, size, removed_at, stage, version)"
    " SELECT file.1, file.2, now64(3), 'unreferenced', toUnixTimestamp64Micro(now64(6))"
    " FROM (SELECT arrayJoin(arrayZip({names:Array(String)}, {sizes:Array(UInt64)})) AS file)"
)
_FILES_AT_ONCE: Final = 500
_SIZES: Final = (
    "SELECT table, sum(rows) AS rows, sum(data_compressed_bytes) AS bytes FROM system.parts"
    " WHERE database = {database:String} AND active GROUP BY table"
)


class TableRows(NamedTuple):
    """The rows of runs in a table, and the bytes that they take on disk, estimated by the table's bytes a row."""

    table: str
    rows: int
    bytes: int


def delete_rows(store: Store, offsets: Mapping[RunPath, int]) -> int:
    """Delete the rows of runs that come from events before an offset; return the number of statements that it took.

    Media files that the rows name are noted in `media_removals` before. Returns when the rows are gone for all readers.

    Args:
        offsets: by run, the logical offset of its deletion.

    Raises:
        StoreError: if ClickHouse can't be reached or refuses. The call may be repeated.
    """
    statements = 0
    for parameters in _by_project(offsets):
        # A deletion adds a version to each part of its table, so tables without such rows are left alone.
        found = set(store.query(_OLDER_IN, parameters).column("name").to_pylist())
        for table, condition in _DELETED.items():
            if table not in found:
                continue
            if table == "media_files":
                store.command(_REFERENCES, parameters)
            store.command(f"DELETE FROM {{db}}.{table} WHERE {condition}", parameters)
            statements += 1
    return statements


def find_mixed_runs(store: Store, offsets: Mapping[RunPath, int]) -> list[RunPath]:
    """Return the runs with a series that a merge has joined with one of the deleted run. Raises: StoreError.

    Args:
        offsets: by run, the logical offset of the deletion of the run that had its name.
    """
    return [
        RunPath(parameters["entity"], parameters["project"], row["run_id"])
        for parameters in _by_project(offsets)
        for row in store.query(_MIXED, parameters).to_pylist()
    ]


def note_unreferenced(store: Store, files: Mapping[str, int]) -> None:
    """Note media files, by SHA-256 and size, that may have lost their last reference. Raises: StoreError."""
    names = sorted(files)
    for start in range(0, len(names), _FILES_AT_ONCE):
        some = names[start : start + _FILES_AT_ONCE]
        store.command(_NOTE, {"names": some, "sizes": [files[name] for name in some]})


def count_rows(store: Store, entity: str, project: str, run_ids: Sequence[str] | None = None) -> list[TableRows]:
    """Return the rows that go with some runs of a project, or with all of them, by table. Raises: StoreError."""
    condition = PROJECT_CONDITION if run_ids is None else PROJECT_RUNS_CONDITION
    parameters = {"entity": entity, "project": project, "run_ids": list(run_ids or ())}
    sizes = read_sizes(store)
    counts = [f"SELECT '{table}' AS name, count() AS n FROM {{db}}.{table} WHERE {condition}" for table in TABLES]
    found = store.query(" UNION ALL ".join(counts), parameters).to_pylist()
    rows = {row["name"]: int(row["n"]) for row in found}
    return [TableRows(name, rows[name], share_of_bytes(sizes, name, rows[name])) for name in TABLES if rows[name]]


def read_sizes(store: Store) -> dict[str, tuple[int, int]]:
    """Return the rows and the compressed bytes of each table. Raises: StoreError."""
    rows = store.query(_SIZES, {"database": store.database}).to_pylist()
    return {row["table"]: (int(row["rows"]), int(row["bytes"])) for row in rows}


def share_of_bytes(sizes: Mapping[str, tuple[int, int]], table: str, rows: int) -> int:
    """Return the bytes that some rows of a table take, by its bytes a row."""
    all_rows, size = sizes.get(table, (0, 0))
    return rows * size // max(all_rows, 1)


def _by_project(offsets: Mapping[RunPath, int]) -> Iterator[dict[str, Any]]:
    """Yield the parameters of statements about some runs of a project each."""
    projects: dict[tuple[str, str], list[RunPath]] = {}
    for path in offsets:
        projects.setdefault((path.entity, path.project), []).append(path)
    for (entity, project), paths in projects.items():
        for some in _slices(paths):
            yield {
                "entity": entity,
                "project": project,
                "run_ids": [path.run_id for path in some],
                "offsets": [offsets[path] for path in some],
            }


def _slices(paths: Sequence[RunPath]) -> Iterator[Sequence[RunPath]]:
    for start in range(0, len(paths), _RUNS_AT_ONCE):
        yield paths[start : start + _RUNS_AT_ONCE]
