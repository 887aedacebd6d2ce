"""Figures of values that are removed, so that counts, and summaries that are computed from rows, stay as they were.

A series has one row, which stands for all its values below a step. It is computed from the row before it and the values
since, so computing it again gives the same. Of numbers it keeps the values that decide the first one, the minimum and
the maximum to the last digit, and the mean of all with their number.
"""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.clickhouse.tables import POINT_TABLES, PROJECT_RUNS_CONDITION
from stepwell_schemas.retention.due import LAST_OFFSET, RAW_CUT
from stepwell_schemas.rules.kinds import SCALAR_KINDS, Kind

MEAN_STEP: Final = -1
"""The step of the mean among what a series keeps; values have steps from 0 on."""

IS_VALUE: Final = f"step != {MEAN_STEP}"
"""The condition for values, as opposed to the mean of removed ones, among the rows of WEIGHTED_NUMBERS."""

COUNTS: Final = "NOT isNaN(value) AND weight > 0"
"""The condition for rows of WEIGHTED_NUMBERS that count in a mean."""

ORDERED: Final = f"{IS_VALUE} AND NOT isNaN(value)"
"""The condition for values that may be an extreme."""

WEIGHTED_MEAN: Final = (
    f"if(isFinite(avgWeightedIf(value, weight, {COUNTS}) AS plain_mean) OR NOT isFinite(minIf(value, {IS_VALUE}))"
    f" OR NOT isFinite(maxIf(value, {IS_VALUE})), plain_mean,"
    # Within `if`, since ClickHouse takes a division by a constant out of an aggregate.
    " avgWeightedIf(if(isFinite(value), value / 18446744073709551616., value), weight,"
    f" {COUNTS}) * 18446744073709551616.)"
)
"""The mean of the rows of WEIGHTED_NUMBERS without NaN. A sum may pass the range of float64 though no value does.

The weights are floats: with integers, ClickHouse takes the values as integers, too.
"""

WEIGHTED_NUMBERS: Final = (
    "(SELECT toString(run_id) AS run_id, toString(key) AS key, toString(writer) AS writer, step, value, exact,"
    " toFloat64(1) AS weight FROM {db}.points_number FINAL WHERE {condition}"
    " UNION ALL SELECT run_id, key, writer, row.1 AS step, row.2 AS value, row.3 AS exact,"
    " toFloat64(row.4) AS weight FROM"
    " (SELECT run_id, key, writer, arrayJoin(kept) AS row FROM {db}.removed_figures FINAL"
    " WHERE {condition} AND kind = 'number'))"
)
"""The numbers that meet a condition, with those that stand for removed ones; `{condition}` is to be replaced."""

_BEFORE: Final = (
    f"(SELECT run_id, key, writer, until, points, kept FROM {{db}}.removed_figures FINAL"
    f" WHERE {PROJECT_RUNS_CONDITION} AND kind = '{{kind}}')"
)
_NEW: Final = (
    "(SELECT p.run_id AS run_id, p.key AS key, p.writer AS writer, {columns} FROM"
    " (SELECT toString(run_id) AS run_id, toString(key) AS key, toString(writer) AS writer, {columns}"
    f" FROM {{db}}.{{table}} FINAL WHERE {PROJECT_RUNS_CONDITION} AND step < {RAW_CUT}) AS p"
    " LEFT JOIN {before} AS b ON b.run_id = p.run_id AND b.key = p.key AND b.writer = p.writer"
    " WHERE p.step >= b.until)"
)
_INSERT: Final = (
    "INSERT INTO {db}.removed_figures"
    " (entity, project, run_id, key, kind, writer, until, points, kept, last_offset)"
    f" SELECT {{entity:String}}, {{project:String}}, run_id, key, '{{kind}}', writer, {RAW_CUT}, points, kept,"
    f" {LAST_OFFSET} FROM ({{rows}})"
)
_COUNTED: Final = """
SELECT run_id, key, writer, sum(n) AS points, CAST([], 'Array(Tuple(Int64, Float64, String, UInt64))') AS kept FROM
(
    SELECT run_id, key, writer, toUInt64(1) AS n FROM {new} AS new
    UNION ALL SELECT run_id, key, writer, points AS n FROM {before} AS before
)
GROUP BY run_id, key, writer
"""
_ROW: Final = "(step, value, exact, toUInt64(0))"
# Integers that have the same float64 are ordered by their digits, as in summaries.
_KEPT: Final = f"""
arrayDistinct(arrayConcat(
    [argMinIf({_ROW}, step, {IS_VALUE})],
    if(countIf({ORDERED}) = 0, [], [
        argMaxIf({_ROW}, (value, length(exact), exact), {ORDERED}),
        argMinIf({_ROW}, (-value, exact = '', length(exact), exact), {ORDERED}),
        argMaxIf({_ROW}, (value, exact = ''), {ORDERED}),
        argMaxIf({_ROW}, (-value, length(exact), exact), {ORDERED}),
        argMinIf({_ROW}, (value, exact = '', length(exact), exact), {ORDERED}),
        argMaxIf({_ROW}, (-value, exact = ''), {ORDERED}),
        (toInt64({MEAN_STEP}), {WEIGHTED_MEAN}, '', toUInt64(sumIf(weight, {COUNTS})))
    ])
))
"""
_NUMBERS: Final = f"""
SELECT run_id, key, writer, sum(n) AS points, {_KEPT} AS kept FROM
(
    SELECT run_id, key, writer, step, value, exact, toFloat64(1) AS weight, toUInt64(1) AS n FROM {{new}} AS new
    UNION ALL
    SELECT run_id, key, writer, row.1 AS step, row.2 AS value, row.3 AS exact, toFloat64(row.4) AS weight, n FROM
    (
        SELECT run_id, key, writer, arrayJoin(arrayZip(kept, arrayEnumerate(kept))) AS item, item.1 AS row,
            if(item.2 = 1, points, toUInt64(0)) AS n
        FROM {{before}} AS before
    )
)
GROUP BY run_id, key, writer
"""


def store_figures(store: Store, tables: Collection[str], parameters: Mapping[str, Any]) -> None:
    """Store the figures of the values below the cuts of some writers, before these values are deleted.

    Args:
        tables: the tables that have such values.
        parameters: those of `due.cut_parameters`, and `offsets`, the last offset of each writer.

    Raises:
        StoreError: if ClickHouse can't be reached or refuses. The call may be repeated.
    """
    for kind in sorted(kind for kind in SCALAR_KINDS if POINT_TABLES[kind] in tables):
        number = kind is Kind.NUMBER
        columns = "step, value, exact" if number else "step"
        before = _BEFORE.replace("{kind}", kind)
        new = _NEW.replace("{columns}", columns).replace("{table}", POINT_TABLES[kind]).replace("{before}", before)
        rows = (_NUMBERS if number else _COUNTED).replace("{new}", new).replace("{before}", before)
        store.command(_INSERT.replace("{kind}", kind).replace("{rows}", rows), parameters)
