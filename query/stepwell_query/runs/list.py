"""Lists of projects and of a project's runs, page by page."""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import orjson

from stepwell_query.catalog.conditions import OF_PROJECT
from stepwell_query.encoding import NotFinite
from stepwell_query.errors import ProjectNotFoundError, RequestError
from stepwell_query.runs.columns import COLUMNS_MAX, most_common_columns
from stepwell_query.runs.fields import iso_time
from stepwell_query.runs.filters.ast import FilterError, Node, Ref, Source, terms
from stepwell_query.runs.filters.parser import format_ref
from stepwell_query.runs.filters.summary_paths import Facts, metric_keys
from stepwell_query.runs.filters.to_sql import condition
from stepwell_query.runs.filters.validation import without_value
from stepwell_query.runs.known_details import KnownDetails, RunDetails
from stepwell_query.runs.list_facts import choose_known, find_unknown, read_facts
from stepwell_query.runs.list_query import RunStatement
from stepwell_query.runs.ordering import Order, SortKey, read_cursor, write_cursor
from stepwell_query.runs.paths import MISSING, select_paths, value_at_path
from stepwell_query.runs.run_info import build_run_info
from stepwell_query.runs.summary import stored_value
from stepwell_query.stored_json import json_object
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.errors import StoreRejectedError
from stepwell_schemas.rules.keys import fold_key

_REGEX_CODE: Final = 427
_NOTHING_KNOWN: Final = KnownDetails(0)

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
    """A request for a page of a project's runs.

    `columns`: the columns of config and summary to return; None: all that the runs have, COLUMNS_MAX at most.
    `alive_since`: of the rule of served states (`rules.run_states`); 0: no run is crashed.
    """

    filter: Node | None
    order: Order
    limit: int
    cursor: str | None = None
    columns: tuple[Ref, ...] | None = None
    not_finite: NotFinite = NotFinite.TEXT
    alive_since: int = 0

    @property
    def refs(self) -> list[Ref]:
        """All references of the request, and what they may refer to instead (`without_value`)."""
        filtered = [] if self.filter is None else [term.ref for term in terms(self.filter)]
        return [*filtered, self.order.by, without_value(self.order.by), *(self.columns or ())]


class RunsList(NamedTuple):
    """The content of an answer, which does not depend on the time: runs with their stored states.

    `following` is the cursor of the next page. `unknown` has the references that no run of the project has.
    """

    details: list[RunDetails]
    total: int
    following: str | None
    unknown: list[Ref]


@dataclass(frozen=True, slots=True)
class RunsPage:
    """The sort keys of a page's runs, the number of all runs that pass the filter, and whether more runs follow.

    `versions` has the version of each run's document by run id, in the order of the page.
    """

    keys: list[SortKey]
    versions: dict[str, int]
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


def read_runs(
    store: Store, entity: str, project: str, request: RunsRequest, known: KnownDetails = _NOTHING_KNOWN
) -> dict[str, Any]:
    """Return one page of a project's runs; `unknown_keys` has the keys of the request that no run of the project has.

    Args:
        known: details of runs that need not be read again.

    Raises:
        ProjectNotFoundError: when the project has no runs.
        RequestError: when the cursor is not of this list, or a regular expression is invalid.
        StoreError: when ClickHouse does not answer.
    """
    return build_answer(read_list(store, entity, project, request, known), request)


def read_list(store: Store, entity: str, project: str, request: RunsRequest, known: KnownDetails) -> RunsList:
    """Return what the answer to a request is made of. Raises: as `read_runs`."""
    last = None if request.cursor is None else read_cursor(request.cursor, request.order)
    refs = request.refs
    facts = read_facts(store, entity, project, refs)
    order = replace(request.order, by=choose_known(request.order.by, facts))
    page = find_runs(store, entity, project, replace(request, order=order), last, facts)
    if not page.keys:
        check_project(store, entity, project)
    keys = _metric_keys(request.columns, facts)
    details = known.read(store, entity, project, page.versions, request.not_finite, keys)
    following = write_cursor(request.order, page.keys[-1]) if page.more else None
    return RunsList(details, page.total, following, find_unknown(refs, facts))


def build_answer(read: RunsList, request: RunsRequest) -> dict[str, Any]:
    """Return the answer to a request as `read_runs` does."""
    details = [run.served(request.alive_since) for run in read.details]
    documents = [metadata for metadata, _ in details]
    infos = [build_run_info(*run) for run in details]
    if request.columns is None:
        columns, total = _limit_columns(infos, documents)
    else:
        columns, total = [format_ref(ref) for ref in request.columns], len(request.columns)
        for info, document in zip(infos, documents, strict=True):
            _select_values(info, document, request.columns, request.not_finite)
    return {
        "runs": infos,
        "next": read.following,
        "total": read.total,
        "columns": {"shown": columns, "total": total},
        "unknown_keys": [format_ref(ref) for ref in read.unknown],
    }


def find_runs(
    store: Store, entity: str, project: str, request: RunsRequest, last: SortKey | None, facts: Facts
) -> RunsPage:
    """Return the runs of one page, those after `last`. Raises: FilterError, StoreError."""
    refs = [term.ref for term in terms(request.filter)] if request.filter is not None else []
    statement = RunStatement(entity, project, [*refs, request.order.by], facts)
    parameters = statement.parameters
    parameters.values["alive_since"] = request.alive_since
    passing = "" if request.filter is None else f"WHERE {condition(request.filter, statement.value, parameters)}"
    matching = (
        f"SELECT run_id, version, {request.order.columns(statement.value(request.order.by))}, count() OVER () AS total"
        f" FROM ({statement.source()}) {passing}"
    )
    after = "" if last is None else f"WHERE {request.order.after(last, parameters)}"
    sql = f"SELECT * FROM ({matching}) {after} ORDER BY {request.order.clause()} LIMIT {request.limit + 1:d}"
    try:
        rows = store.query(sql, parameters.values).to_pylist()
    except StoreRejectedError as error:
        if error.code != _REGEX_CODE:
            raise
        rule, remedy = "a regular expression can't be read by RE2", "correct it; RE2 knows no look-around"
        raise FilterError("", f"{rule}: {_regex_problem(error)}", remedy) from error
    if not rows and last is not None:
        first = replace(request, limit=1)
        return RunsPage([], {}, find_runs(store, entity, project, first, None, facts).total, more=False)
    shown = rows[: request.limit]
    keys = [SortKey(row["rank"], row["number"], row["text"], row["run_id"]) for row in shown]
    versions = {row["run_id"]: row["version"] for row in shown}
    return RunsPage(keys, versions, rows[0]["total"] if rows else 0, more=len(rows) > request.limit)


def check_columns(refs: Sequence[Ref]) -> tuple[Ref, ...]:
    """Check the columns of a request, and return each once. Raises: RequestError."""
    for ref in refs:
        if ref.source is Source.FIELD:
            raise RequestError("columns", ref.name, "is a field, which every run comes with", "leave it out")
    if len(refs) > COLUMNS_MAX:
        rule = f"{len(refs):,} columns are more than {COLUMNS_MAX}"
        raise RequestError("columns", len(refs), rule, "ask for fewer, or for one run whole")
    return tuple(dict.fromkeys(refs))


def _metric_keys(columns: Sequence[Ref] | None, facts: Facts) -> list[str] | None:
    """Return the stored keys of the metrics that columns refer to; None: all."""
    if columns is None:
        return None
    paths = [ref.name for ref in columns if ref.source is Source.SUMMARY]
    keys = [key for path in paths for key in metric_keys(path)]
    return list(dict.fromkeys(spelling for key in keys for spelling in facts.spelled(key)))


def _select_values(
    info: dict[str, Any], document: Mapping[str, Any], columns: Collection[Ref], not_finite: NotFinite
) -> None:
    """Replace a run's config and summary by the values of columns."""
    config, by_hand = json_object(document["config"]), json_object(document["summary"])
    del info["config"]
    # Keys of metrics are equal in any case.
    metrics = {fold_key(key): value for key, value in info.pop("summary").items()}
    values = info["values"] = {}
    for ref in columns:
        value = value_at_path(config if ref.source is Source.CONFIG else by_hand, ref.name)
        if value is not MISSING:
            values[format_ref(ref)] = stored_value(value, not_finite)
        elif ref.source is Source.SUMMARY and (value := value_at_path(metrics, fold_key(ref.name))) is not MISSING:
            values[format_ref(ref)] = value


def _limit_columns(infos: list[dict[str, Any]], documents: Sequence[Mapping[str, Any]]) -> tuple[list[str], int]:
    """Reduce the runs' config and summary to COLUMNS_MAX columns; return their names, and the number of all columns."""
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
    return [format_ref(Ref(source, path)) for source, path in columns], total


def _regex_problem(error: StoreRejectedError) -> str:
    text = str(error)
    return text.split("DB::Exception: ")[-1].split(" (CANNOT_COMPILE_REGEXP)")[0][:300]
