"""Load run states from ClickHouse, as of an offset of their partition."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from sys import intern
from typing import Any

import numpy as np

from stepwell_ingestor.planner.arrivals import NO_GAPS
from stepwell_ingestor.planner.arrow import PATH_FIELDS
from stepwell_ingestor.planner.content import NO_CONTENT, content_as_of
from stepwell_ingestor.planner.run_document import RunDocument
from stepwell_ingestor.planner.run_state import (
    DELETION_SCOPE,
    DOCUMENT_SINCE,
    NOTE_SCOPES,
    RUN_SCOPE,
    RunState,
)
from stepwell_ingestor.planner.state_rows import ABSENT, GAP_SCOPE, parse_gap_name
from stepwell_ingestor.planner.totals import NO_COUNTS, counts_as_of, series_totals_as_of
from stepwell_ingestor.positions.models import AsOf
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.limits import VERSION_ROW_BITS
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.json_text import JsonObject, stored_members

_MICROSECONDS = 1_000_000
# A server accepts 128 KiB per parameter (http_max_field_value_size), in which a character may take two bytes.
_PATHS_BYTES = 32_768
_NAME_BYTES = 12
_AMONG = "entity IN {entities:Array(String)} AND project IN {projects:Array(String)} AND run_id IN {runs:Array(String)}"
# Selects the same row as the query service does.
_MEDIA_TYPES = (
    "SELECT sha256, toString(content_type) AS content_type FROM {db}.media_files WHERE sha256 IN {files:Array(String)}"
    " ORDER BY sha256, version LIMIT 1 BY sha256"
)
_FILES_ASKED = 500

_Rows = Callable[[str, str], Iterator[tuple[RunState, dict[str, Any]]]]
"""A function that reads columns of a table, and returns each row with the state of its run."""


def load_states(store: Store, paths: Collection[RunPath], as_of: AsOf) -> dict[RunPath, RunState]:
    """Return the states of runs as of an offset, without the effects of a flush that ended after it or was abandoned.

    At most one flush can have ended after it: the one whose plan is being repeated. Each row about a run has the values
    before its flush next to those after it.

    Raises:
        StoreError: if ClickHouse can't be read.
    """
    states = {path: RunState() for path in paths}
    for part in _fit_parameters(list(states)):
        _load(store, {path: states[path] for path in part}, as_of)
    return states


def _fit_parameters(paths: Sequence[RunPath]) -> Iterator[Sequence[RunPath]]:
    """Split runs into groups whose paths fit into a statement's parameters."""
    ends = np.cumsum([len(str(path).encode()) + _NAME_BYTES for path in paths])
    start = 0
    while start < len(paths):
        before = ends[start - 1] if start else 0
        end = max(int(np.searchsorted(ends, before + _PATHS_BYTES, "right")), start + 1)
        yield paths[start:end]
        start = end


def _load(store: Store, states: Mapping[RunPath, RunState], as_of: AsOf) -> None:
    among = {
        "entities": sorted({path.entity for path in states}),
        "projects": sorted({path.project for path in states}),
        "runs": sorted({path.run_id for path in states}),
    }

    def rows(columns: str, table: str) -> Iterator[tuple[RunState, dict[str, Any]]]:
        sql = f"SELECT entity, project, run_id, {columns} FROM {{db}}.{table} WHERE {_AMONG}"  # noqa: S608
        for row in store.query(sql, among).to_pylist():
            state = states.get(RunPath(row["entity"], row["project"], row["run_id"]))
            if state is not None:
                yield state, row

    without_document = _load_numbers(rows, as_of)
    keys = _load_series(store, among, states, as_of)
    _load_spellings(rows, as_of, keys)
    _load_totals(rows, as_of)
    for state, row in rows("* EXCEPT (entity, project, run_id)", "run_documents FINAL"):
        if id(state) not in without_document and row["version"] >> VERSION_ROW_BITS >= state.begins:
            state.document = _document(row)
    for state in states.values():
        state.measure()


def _load_numbers(rows: _Rows, as_of: AsOf) -> set[int]:
    """Set the numbers of the states; return the identities of those that had no document yet."""
    without_document: set[int] = set()
    found = rows("scope, name, offset, number, previous_number", "run_states FINAL")
    # The deletion comes first: it tells which of the other rows are the run's.
    for state, row in sorted(found, key=lambda one: one[1]["scope"] != DELETION_SCOPE):
        if row["offset"] < state.begins and row["scope"] not in NOTE_SCOPES:
            continue
        holds = as_of.includes(row["offset"])
        number = row["number"] if holds else row["previous_number"]
        if (row["scope"], row["name"]) == (RUN_SCOPE, DOCUMENT_SINCE) and not holds and number != row["number"]:
            without_document.add(id(state))
        if number != ABSENT:
            _set_number(state, row["scope"], row["name"], number)
    return without_document


def _load_spellings(rows: _Rows, as_of: AsOf, keys: Collection[tuple[int, str]]) -> None:
    # A merge keeps the version of the deleted run's row. The key of a series is a spelling of its run in any case.
    for state, row in sorted(
        rows("folded, spelling, first_version", "key_spellings"), key=lambda one: one[1]["first_version"]
    ):
        offset = row["first_version"] >> VERSION_ROW_BITS
        if offset < as_of.offset and (offset >= state.begins or (id(state), row["spelling"]) in keys):
            # As the planner keeps them (see `RunState.stored_key`).
            spelling, folded = intern(row["spelling"]), intern(row["folded"])
            state.stored_as[spelling] = state.spellings.setdefault(folded, spelling)


def _set_number(state: RunState, scope: str, name: str, number: int) -> None:
    if scope == GAP_SCOPE:
        session, end = parse_gap_name(name)
        state.gaps[session] = tuple(sorted((*state.gaps.get(session, NO_GAPS), (number, end))))
    else:
        state.numbers()[scope][name] = number


def _load_series(
    store: Store, among: dict[str, list[str]], states: Mapping[RunPath, RunState], as_of: AsOf
) -> set[tuple[int, str]]:
    """Set the totals of series; return the keys of runs after a deletion, each with the identity of its state."""
    sql = f"SELECT entity, project, run_id, key, kind, writer, totals FROM {{db}}.series FINAL WHERE {_AMONG}"  # noqa: S608
    table = store.query(sql, among)
    keys: set[tuple[int, str]] = set()
    if not table.num_rows:
        return keys
    totals = table.column("totals").combine_chunks()
    values, there = series_totals_as_of(totals, as_of.includes)
    ends = totals.field("end").to_numpy()
    names = [table.column(name).to_pylist() for name in (*PATH_FIELDS, "key", "kind", "writer")]
    places: dict[RunPath, list[int]] = {}
    ids: dict[RunPath, list[int]] = {}
    for place, (entity, project, run_id, *series) in enumerate(zip(*names, strict=True)):
        path = RunPath(entity, project, run_id)
        if there[place] and path in states and ends[place] >= states[path].begins:
            places.setdefault(path, []).append(place)
            ids.setdefault(path, []).append(states[path].series.id_of(*series))
            if states[path].begins:
                keys.add((id(states[path]), series[0]))
    for path, own in places.items():
        states[path].series.load(np.array(ids[path], np.int64), values[own])
    return keys


def _load_totals(rows: _Rows, as_of: AsOf) -> None:
    for state, row in rows("totals", "run_activity FINAL"):
        if row["totals"]["end"] >= state.begins:
            state.counts = counts_as_of(row["totals"], as_of.includes)
    for state, row in rows("session, totals, content", "session_activity FINAL"):
        if row["totals"]["end"] < state.begins:
            continue
        if (content := content_as_of(row["content"], as_of.includes)) != NO_CONTENT:
            state.contents[row["session"]] = content
        if (counts := counts_as_of(row["totals"], as_of.includes)) != NO_COUNTS:
            state.session_counts[row["session"]] = counts


def load_media_types(store: Store, files: Collection[str]) -> dict[str, str]:
    """Return the content types of known files, by SHA-256. Raises: StoreError."""
    found: dict[str, str] = {}
    names = sorted(set(files))
    for first in range(0, len(names), _FILES_ASKED):
        asked = {"files": names[first : first + _FILES_ASKED]}
        found |= {row["sha256"]: row["content_type"] for row in store.query(_MEDIA_TYPES, asked).to_pylist()}
    return found


def _document(row: dict[str, Any]) -> RunDocument:
    return RunDocument(
        display_name=row["display_name"],
        created_at=_microseconds(row["created_at"]),
        started_at=_microseconds(row["started_at"]),
        state=row["state"],
        exit_code=row["exit_code"],
        config=JsonObject(stored_members(row["config"])),
        summary=JsonObject(stored_members(row["summary"])),
        tags=tuple(row["tags"]),
        notes=row["notes"],
        run_group=row["run_group"],
        job_type=row["job_type"],
        metric_definitions=JsonObject(
            {one["name"]: json.dumps(one) for one in json.loads(row["metric_definitions"]) if "name" in one}
        ),
        client=row["client"],
        host=row["host"],
        finished_at=None if row["finished_at"] is None else _microseconds(row["finished_at"]),
        program=row["program"],
        git_commit=row["git_commit"],
        git_dirty=row["git_dirty"],
        stop_requested=row["stop_requested"],
    )


def _microseconds(at: datetime) -> int:
    return round(at.timestamp() * _MICROSECONDS)
