"""Reads the summaries of a page of runs."""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from math import isfinite
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from stepwell_query.catalog.conditions import OF_RUN_IDS
from stepwell_query.catalog.writers import primary_writers
from stepwell_query.encoding import NotFinite, exact_integer, is_integer, json_float
from stepwell_query.runs.metadata import RunMetadata
from stepwell_query.runs.summary import SeriesStats, stored_value, summarize
from stepwell_query.stored_json import json_object, json_value, read_definitions
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.clickhouse.tables import NO_WRITER
from stepwell_schemas.limits import FLOAT64_EXACT_INT
from stepwell_schemas.retention.figures import IS_VALUE, ORDERED, WEIGHTED_MEAN, WEIGHTED_NUMBERS
from stepwell_schemas.rules.kinds import Kind, is_kind
from stepwell_schemas.rules.metric_definitions import Definition, find_definition
from stepwell_schemas.rules.writers import UNNAMED

Summary = dict[str, Any]
Row = Mapping[str, Any]

_LAST: Final = f"""
SELECT run_id, key, kind, if(kind != 'number' OR number_at = text_at, t.3, '') AS text, n.3 AS number, last_writer
FROM
(
    SELECT
        run_id, key, kind, max(last_number) AS n, max(last_text) AS t, (n.1, n.2) AS number_at, (t.1, t.2) AS text_at,
        max(writer) AS last_writer
    FROM {{db}}.series WHERE {OF_RUN_IDS} AND {{keys}} GROUP BY run_id, key, kind HAVING min(stream) = ''
)
ORDER BY run_id, key, if(kind = 'number', number_at, greatest(number_at, text_at)) DESC LIMIT 1 BY run_id, key
"""

_STATS: Final = f"""
SELECT
    run_id, key, kind,
    max(last_number) AS number, max(last_text) AS text,
    number.1 AS number_step, number.2 AS number_version, number.3 AS number_value,
    text.1 AS text_step, text.2 AS text_version, text.3 AS text_value,
    argMax(totals.not_nan, totals.end) AS numbers, argMax(totals.value_sum, totals.end) / numbers AS mean,
    if(numbers = 0, nan, min(value_min)) AS low, if(numbers = 0, nan, max(value_max)) AS high,
    max(rewritten) AS rewritten, max(writer) AS last_writer
FROM {{db}}.series WHERE {OF_RUN_IDS} AND {{keys}}
GROUP BY run_id, key, kind HAVING min(stream) = '' ORDER BY run_id, key, kind
"""

_NUMBERS: Final = WEIGHTED_NUMBERS.replace(
    "{condition}", f"{OF_RUN_IDS} AND key IN {{keys:Array(String)}} AND {{writers}}"
)
# Integers that have the same float64 are ordered by their digits: the more of them, the further from 0. An integer that
# float64 holds, and a float, have none.
_FROM_ROWS: Final = f"""
SELECT
    run_id, key, argMinIf(value, step, {IS_VALUE}) AS first,
    minIf(value, {IS_VALUE}) AS low, maxIf(value, {IS_VALUE}) AS high,
    argMinIf(exact, step, {IS_VALUE}) AS first_text,
    argMaxIf(exact, (value, length(exact), exact), {ORDERED}) AS high_far,
    argMinIf(exact, (-value, exact = '', length(exact), exact), {ORDERED}) AS high_near,
    argMaxIf(exact, (-value, length(exact), exact), {ORDERED}) AS low_far,
    argMinIf(exact, (value, exact = '', length(exact), exact), {ORDERED}) AS low_near,
    maxIf((value, exact = ''), {ORDERED}).2 AS high_plain,
    maxIf((-value, exact = ''), {ORDERED}).2 AS low_plain,
    {WEIGHTED_MEAN} AS mean
FROM {_NUMBERS}
GROUP BY run_id, key
"""


def read_summaries(
    store: Store, documents: Sequence[RunMetadata], not_finite: NotFinite, keys: Collection[str] | None = None
) -> dict[str, Summary]:
    """Return the summaries of runs of one project by id, in JSON's types.

    Args:
        keys: the metrics to read, as they are stored; None: all.

    Raises:
        StoreError: when ClickHouse does not answer.
    """
    plain = [document for document in documents if document["metric_definitions"] in {"", "[]"}]
    defined = [document for document in documents if document["metric_definitions"] not in {"", "[]"}]
    found = _plain_summaries(store, plain, not_finite, keys)
    return found | _defined_summaries(store, defined, not_finite, keys)


def _read(store: Store, documents: Sequence[RunMetadata], keys: Collection[str] | None, sql: str) -> pa.Table:
    """Return the answer of a statement about the metrics of runs, each of its primary writer, which is `last_writer`.

    The statement knows all writers. What named writers logged is read again, of the primary writers only.
    """
    table = store.query(*_among(documents, keys, sql))
    named = table.filter(pc.not_equal(table.column("last_writer").cast(pa.string()), ""))
    if not named.num_rows:
        return table
    runs, named_keys = (pc.unique(named.column(name).cast(pa.string()).combine_chunks()) for name in ("run_id", "key"))
    condition = f"{OF_RUN_IDS} AND key IN {{keys:Array(String)}}"
    primary = f"key IN {{keys:Array(String)}} AND (run_id, key, writer) IN ({primary_writers(condition)})"
    run_ids = set(runs.to_pylist())
    chosen = [document for document in documents if document["run_id"] in run_ids]
    again = store.query(*_among(chosen, named_keys.to_pylist(), sql.replace("{keys}", primary)))
    replaced = pc.and_(
        *(
            pc.is_in(table.column(name).cast(pa.string()), names)
            for name, names in (("run_id", runs), ("key", named_keys))
        )
    )
    kept = table.filter(pc.invert(replaced))
    return pa.concat_tables([kept, again]).sort_by([(name, "ascending") for name in ("run_id", "key", "kind")])


def _among(documents: Sequence[RunMetadata], keys: Collection[str] | None, sql: str) -> tuple[str, dict[str, Any]]:
    """Return a statement about the metrics of runs, with its parameters."""
    values: dict[str, Any] = {name: documents[0][name] for name in ("entity", "project")}
    values["run_ids"] = [document["run_id"] for document in documents]
    if keys is None:
        return sql.replace("{keys}", "1"), values
    return sql.replace("{keys}", "key IN {keys:Array(String)}"), {**values, "keys": list(keys)}


def _plain_summaries(
    store: Store, documents: Sequence[RunMetadata], not_finite: NotFinite, keys: Collection[str] | None
) -> dict[str, Summary]:
    """Return the summaries of runs without definitions: last values, and values set by hand."""
    found: dict[str, Summary] = {document["run_id"]: {} for document in documents}
    if documents and (keys is None or keys):
        table = _read(store, documents, keys, _LAST)
        # Column by column: a page has thousands of values.
        columns = [table.column(name).to_pylist() for name in ("run_id", "key", "kind", "text", "number")]
        for run_id, key, kind, text, number in zip(*columns, strict=True):
            found[run_id][key] = _last_value(kind, text, number, not_finite)
    for document in documents:
        by_hand = json_object(document["summary"])
        found[document["run_id"]] |= {key: stored_value(value, not_finite) for key, value in by_hand.items()}
    return found


def _last_value(kind: str, text: str, number: float, not_finite: NotFinite) -> Any:
    match kind:
        case "number":
            return exact_integer(text) if is_integer(text) else json_float(number, not_finite)
        case "string":
            return text
        case "bool":
            return text == "true" or bool(number)
    return json_value(text)


def _defined_summaries(
    store: Store, documents: Sequence[RunMetadata], not_finite: NotFinite, keys: Collection[str] | None
) -> dict[str, Summary]:
    if not documents:
        return {}
    definitions = {document["run_id"]: read_definitions(document["metric_definitions"]) for document in documents}
    stats: dict[str, list[Row]] = {document["run_id"]: [] for document in documents}
    if keys is None or keys:
        for row in _read(store, documents, keys, _STATS).to_pylist():
            if is_kind(row["kind"]):
                stats[row["run_id"]].append(row)
    exact = _read_exact(store, documents[0], stats, definitions)
    return {
        document["run_id"]: summarize(
            [_series_stats(row, exact.get((row["run_id"], row["key"]))) for row in stats[document["run_id"]]],
            definitions[document["run_id"]],
            json_object(document["summary"]),
            not_finite,
        )
        for document in documents
    }


def _read_exact(
    store: Store,
    document: RunMetadata,
    stats: Mapping[str, list[Row]],
    definitions: Mapping[str, Sequence[Definition]],
) -> dict[tuple[str, str], Row]:
    """Return figures computed from the rows, by run and key: those that can't be summed over flushes."""
    needed = [
        (run_id, row["key"], row["last_writer"])
        for run_id, rows in stats.items()
        for row in rows
        if row["kind"] == Kind.NUMBER and _needs_rows(row, find_definition(row["key"], definitions[run_id]))
    ]
    if not needed:
        return {}
    runs, keys, writers = (dict.fromkeys(column) for column in zip(*needed, strict=True))
    values = {"entity": document["entity"], "project": document["project"], "run_ids": list(runs), "keys": list(keys)}
    of_writers = NO_WRITER
    if list(writers) != [UNNAMED]:
        of_writers = "(run_id, key, writer) IN {series:Array(Tuple(String, String, String))}"
        values["series"] = needed
    sql = _FROM_ROWS.replace("{writers}", of_writers)
    found = {(row["run_id"], row["key"]): row for row in store.query(sql, values).to_pylist()}
    return {(run_id, key): found[run_id, key] for run_id, key, _ in needed if (run_id, key) in found}


def _needs_rows(row: Row, definition: Definition) -> bool:
    rules = set(definition.summary)
    # Of finite values whose sum is beyond float64's range.
    overflowed = not isfinite(row["mean"]) and isfinite(row["low"]) and isfinite(row["high"])
    digits = max(abs(row["low"]), abs(row["high"])) > FLOAT64_EXACT_INT
    return (
        "first" in rules
        or bool((row["rewritten"] or overflowed) and rules & {"min", "max", "mean", "best"})
        or bool(digits and rules & {"min", "max", "best"})
    )


def _series_stats(row: Row, exact: Row | None) -> SeriesStats:
    kind = Kind(row["kind"])
    number_at = row["number_step"], row["number_version"]
    text_at = row["text_step"], row["text_version"]
    # The text of a number is the exact integer, if it is of the same value.
    text = row["text_value"] if kind is not Kind.NUMBER or text_at == number_at else ""
    if kind is not Kind.NUMBER:
        last = _last_value(kind, text, row["number_value"], NotFinite.TEXT)
        return SeriesStats(row["key"], kind, max(number_at, text_at), last)
    values = exact or row
    low, high, first = values["low"], values["high"], None
    if exact is not None:
        first = exact_integer(exact["first_text"]) if is_integer(exact["first_text"]) else exact["first"]
        high = _extreme(high, exact["high_far" if high > 0 else "high_near"], exact["high_plain"], max)
        low = _extreme(low, exact["low_far" if low < 0 else "low_near"], exact["low_plain"], min)
    return SeriesStats(
        key=row["key"],
        kind=kind,
        at=number_at,
        last=exact_integer(text) if is_integer(text) else row["number_value"],
        low=low,
        high=high,
        mean=values["mean"],
        first=first,
    )


def _extreme(value: float, text: str, plain: bool, choose: Callable[[int, int], int]) -> Any:
    """Return the extreme of a metric's numbers, given the float64 that it has.

    Args:
        text: the digits of the extreme among the integers that float64 rounds to `value`; "" if there are none.
        plain: whether `value` itself was logged. choose: `min` or `max`.
    """
    if not is_integer(text) or (plain and not isfinite(value)):
        return value
    if plain and choose(int(text), int(value)) != int(text):
        return value
    return exact_integer(text)
