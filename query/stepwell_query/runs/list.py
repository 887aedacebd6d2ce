"""Lists of projects and of a project's runs, page by page."""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from stepwell_query.catalog.conditions import OF_PROJECT
from stepwell_query.encoding import NotFinite
from stepwell_query.errors import ProjectNotFoundError, RequestError
from stepwell_query.runs.columns import COLUMNS_MAX, most_common_columns
from stepwell_query.runs.fields import iso_time
from stepwell_query.runs.filters.ast import FilterError, Node, Ref, Source, terms
from stepwell_query.runs.filters.parser import quoted_ref
from stepwell_query.runs.filters.summary_paths import Facts, keys_of
from stepwell_query.runs.filters.to_sql import condition
from stepwell_query.runs.list_query import RunStatement, read_facts
from stepwell_query.runs.metadata import read_documents
from stepwell_query.runs.ordering import Order, Place, read_cursor, write_cursor
from stepwell_query.runs.paths import MISSING, select_paths, value_at_path
from stepwell_query.runs.run_info import run_infos
from stepwell_query.runs.summary import stored_value
from stepwell_query.stored_json import json_object
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.errors import StoreRejectedError
from stepwell_schemas.rules.keys import fold_key

_REGEX_CODE: Final = 427

_PROJECTS: Final = """
SELECT
    entity, project, sum(documents) AS runs,
    toUnixTimestamp64Milli(max(last_activity)) AS last_activity
FROM
(
    SELECT entity, project, uniqExact(run_id) AS documents, max(started_at) AS last_activity
    FROM {db}.run_documents GROUP BY entity, project
    UNION ALL
    SELECT entity, project, 0 AS documents, max(last_timestamp) AS last_activity
    FROM {db}.run_activity GROUP BY entity, project
)
GROUP BY entity, project HAVING runs > 0 ORDER BY last_activity DESC, entity, project
"""

_ANY: Final = f"SELECT 1 AS found FROM {{db}}.run_documents WHERE {OF_PROJECT} LIMIT 1"


@dataclass(frozen=True, slots=True)
class RunsRequest:
    """Which runs of a project, in which order, and what of their config and summary.

    `columns`: None, whatever they have, COLUMNS_MAX at most; else these, and no others.
    """

    filter: Node | None
    order: Order
    limit: int
    cursor: str | None = None
    columns: tuple[Ref, ...] | None = None
    odd: NotFinite = NotFinite.TEXT


@dataclass(frozen=True, slots=True)
class FoundRuns:
    """The places of a page's runs, how many runs pass the filter in all, and whether there are more behind."""

    places: list[Place]
    total: int
    more: bool


def read_projects(store: Store) -> list[dict[str, Any]]:
    """Return every project that has a run, the latest active first. Raises: StoreError."""
    rows = store.query(_PROJECTS).to_pylist()
    return [{**row, "last_activity": iso_time(row["last_activity"])} for row in rows]


def check_project(store: Store, entity: str, project: str) -> None:
    """Raise ProjectNotFoundError when a project has no runs. Raises: StoreError."""
    if not store.query(_ANY, {"entity": entity, "project": project}).num_rows:
        raise ProjectNotFoundError(entity, project)


def read_runs(store: Store, entity: str, project: str, asked: RunsRequest) -> dict[str, Any]:
    """Return one page of a project's runs.

    Raises:
        ProjectNotFoundError: when the project has no runs.
        RequestError: when the cursor is not of this list, or a regular expression is none.
        StoreError: when ClickHouse does not answer.
    """
    place = None if asked.cursor is None else read_cursor(asked.cursor, asked.order)
    refs = [term.ref for term in terms(asked.filter)] if asked.filter is not None else []
    facts = read_facts(store, entity, project, [*refs, asked.order.by, *(asked.columns or ())])
    found = find_runs(store, entity, project, asked, place, facts)
    if not found.places:
        check_project(store, entity, project)
    documents = read_documents(store, entity, project, [place.run_id for place in found.places])
    infos = run_infos(store, documents, asked.odd, _keys(asked.columns, facts))
    if asked.columns is None:
        columns, total = _cut(infos, documents)
    else:
        columns, total = [quoted_ref(ref) for ref in asked.columns], len(asked.columns)
        for info, document in zip(infos, documents, strict=True):
            _choose(info, document, asked.columns, asked.odd)
    following = write_cursor(asked.order, found.places[-1]) if found.more else None
    shown = {"shown": columns, "total": total}
    return {"runs": infos, "next": following, "total": found.total, "columns": shown}


def find_runs(
    store: Store, entity: str, project: str, asked: RunsRequest, place: Place | None, facts: Facts
) -> FoundRuns:
    """Return the runs of one page, those behind `place`. Raises: FilterError, StoreError."""
    refs = [term.ref for term in terms(asked.filter)] if asked.filter is not None else []
    statement = RunStatement(entity, project, [*refs, asked.order.by], facts)
    passing = "" if asked.filter is None else f"WHERE {condition(asked.filter, statement.of, statement.bound)}"
    matching = (
        f"SELECT run_id, {asked.order.columns(statement.of(asked.order.by))}, count() OVER () AS total"
        f" FROM ({statement.source()}) {passing}"
    )
    behind = "" if place is None else f"WHERE {asked.order.behind(place, statement.bound)}"
    sql = f"SELECT * FROM ({matching}) {behind} ORDER BY {asked.order.clause()} LIMIT {asked.limit + 1:d}"
    try:
        rows = store.query(sql, statement.bound.values).to_pylist()
    except StoreRejectedError as error:
        if error.code != _REGEX_CODE:
            raise
        rule, remedy = "a regular expression can't be read by RE2", "correct it; RE2 knows no look-around"
        raise FilterError("", f"{rule}: {_reason(error)}", remedy) from error
    if not rows and place is not None:
        first = RunsRequest(asked.filter, asked.order, limit=1)
        return FoundRuns([], find_runs(store, entity, project, first, None, facts).total, more=False)
    places = [Place(row["rank"], row["number"], row["text"], row["run_id"]) for row in rows[: asked.limit]]
    return FoundRuns(places, rows[0]["total"] if rows else 0, more=len(rows) > asked.limit)


def check_columns(refs: Sequence[Ref]) -> tuple[Ref, ...]:
    """Return columns as they may be asked for. Raises: RequestError."""
    for ref in refs:
        if ref.source is Source.FIELD:
            raise RequestError("columns", ref.name, "is a field, which every run comes with", "leave it out")
    if len(refs) > COLUMNS_MAX:
        rule = f"{len(refs):,} columns are more than {COLUMNS_MAX}"
        raise RequestError("columns", len(refs), rule, "ask for fewer, or for one run whole")
    return tuple(dict.fromkeys(refs))


def _keys(columns: Sequence[Ref] | None, facts: Facts) -> list[str] | None:
    """Return the stored keys of the metrics that columns are about; None: all."""
    if columns is None:
        return None
    paths = [ref.name for ref in columns if ref.source is Source.SUMMARY]
    return list(dict.fromkeys(spelling for path in paths for key in keys_of(path) for spelling in facts.spelled(key)))


def _choose(info: dict[str, Any], document: Mapping[str, Any], columns: Collection[Ref], odd: NotFinite) -> None:
    """Put the values of columns in the place of a run's config and summary."""
    config, by_hand = json_object(document["config"]), json_object(document["summary"])
    del info["config"]
    # The keys of metrics are the same whatever their case.
    metrics = {fold_key(key): value for key, value in info.pop("summary").items()}
    values = info["values"] = {}
    for ref in columns:
        found = value_at_path(config if ref.source is Source.CONFIG else by_hand, ref.name)
        if found is not MISSING:
            values[quoted_ref(ref)] = stored_value(found, odd)
        elif ref.source is Source.SUMMARY and (found := value_at_path(metrics, fold_key(ref.name))) is not MISSING:
            values[quoted_ref(ref)] = found


def _cut(infos: list[dict[str, Any]], documents: Sequence[Mapping[str, Any]]) -> tuple[list[str], int]:
    """Leave COLUMNS_MAX columns in the runs' config and summary; return their names, and how many there are."""
    configs = [json_object(document["config"]) for document in documents]
    contents = [
        {Source.CONFIG: config, Source.SUMMARY: info["summary"]} for config, info in zip(configs, infos, strict=True)
    ]
    columns, total = most_common_columns(contents)
    if total > len(columns):
        kept = {source: {path for of, path in columns if of is source} for source in (Source.CONFIG, Source.SUMMARY)}
        for info, config in zip(infos, configs, strict=True):
            left = select_paths(config, kept[Source.CONFIG]), select_paths(info["summary"], kept[Source.SUMMARY])
            info["partial"] = left != (config, info["summary"])
            # Integers of any size, which orjson does not know.
            info["config"], info["summary"] = orjson.Fragment(json.dumps(left[0])), left[1]
    return [quoted_ref(Ref(source, path)) for source, path in columns], total


def _reason(error: StoreRejectedError) -> str:
    text = str(error)
    return text.split("DB::Exception: ")[-1].split(" (CANNOT_COMPILE_REGEXP)")[0][:300]
