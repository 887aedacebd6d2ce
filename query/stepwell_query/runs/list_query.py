"""The statement of a list of runs: selects each value that a filter or an order refers to as a column.

    SELECT d.run_id AS run_id, d.version AS version, <value> AS v0, <value> AS v1 …
    FROM <documents> AS d
    LEFT JOIN <totals of run_activity> AS a             -- only for fields that read them
    LEFT JOIN <values of config and summary> AS f       -- run_values, by path
    LEFT JOIN <last values and figures of metrics> AS s -- series, by key
    LEFT JOIN <figures computed from rows> AS x0 …      -- points_number, where series has no exact figure

Each join reads only the requested paths and keys, however many others the runs have. The condition and the order are
put around this statement by `stepwell_query.runs.list`.
"""

# ruff: noqa: S608 - statements are put together from constants of this module; names and values are parameters.

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from stepwell_query.catalog.conditions import OF_PROJECT
from stepwell_query.catalog.writers import primary_writers
from stepwell_query.runs.fields import ACTIVITY_JOIN, FIELDS, FieldType, document_columns
from stepwell_query.runs.filters.ast import Ref, Source
from stepwell_query.runs.filters.summary_paths import (
    DICT,
    FROM_ROWS,
    LAST,
    NONE,
    Candidate,
    Facts,
    find_candidates,
)
from stepwell_query.runs.filters.to_sql import SqlParameters, ValueSql
from stepwell_schemas.retention.figures import COUNTS, IS_VALUE, WEIGHTED_NUMBERS

_DOCUMENTS: Final = f"(SELECT {{columns}} FROM {{db}}.run_documents FINAL WHERE {OF_PROJECT}) AS d"
_ACTIVITY: Final = ACTIVITY_JOIN.replace("{runs}", OF_PROJECT)

# A metric's value is that of its last row, by step and version, among the parts of all flushes. The text of a number is
# its digits, where float64 can't hold them, when it is of the same row.
_SERIES: Final = f"""
LEFT JOIN
(
    SELECT run_id, {{columns}}
    FROM
    (
        SELECT
            run_id, key, kind, stream, value_min, value_max,
            totals.end AS end, totals.value_sum AS value_sum, totals.not_nan AS not_nan,
            (last_number.1, last_number.2) AS number_at, (last_text.1, last_text.2) AS text_at,
            if(kind = 'number', number_at, greatest(number_at, text_at)) AS at,
            if(kind != 'number' OR number_at = text_at, last_text.3, '') AS text,
            last_number.3 AS number
        FROM {{db}}.series WHERE {OF_PROJECT} AND key IN {{keys}}{{primary}}
    )
    GROUP BY run_id
) AS s ON s.run_id = d.run_id
"""

_NUMBERS: Final = "argMaxIf(not_nan, end, {of})"
_FIGURE: Final = f"if({_NUMBERS} = 0, nan, {{figure}})"
_LOW: Final = _FIGURE.replace("{figure}", "minIf(value_min, {of})")
_HIGH: Final = _FIGURE.replace("{figure}", "maxIf(value_max, {of})")
_MEAN: Final = f"argMaxIf(value_sum, end, {{of}}) / {_NUMBERS}"

_ROWS_CONDITION: Final = f"""{OF_PROJECT} AND key IN {{keys}}{{primary}} AND run_id IN
    (
        SELECT run_id FROM {{db}}.run_documents FINAL
        WHERE {OF_PROJECT} AND (
            metric_definitions IN {{always}}
            OR metric_definitions IN {{rewritten}} AND run_id IN
                (SELECT run_id FROM {{db}}.series WHERE {OF_PROJECT} AND key IN {{keys}} AND rewritten = 1)
        )
    )"""
_NUMBERS_OF_ROWS: Final = WEIGHTED_NUMBERS.replace("{condition}", _ROWS_CONDITION)
_ROWS: Final = f"""
LEFT JOIN
(
    SELECT
        run_id, 1 AS found, argMinIf(value, step, {IS_VALUE}) AS first, minIf(value, {IS_VALUE}) AS low,
        maxIf(value, {IS_VALUE}) AS high, avgWeightedIf(value, weight, {COUNTS}) AS mean
    FROM {_NUMBERS_OF_ROWS}
    GROUP BY run_id
) AS {{alias}} ON {{alias}}.run_id = d.run_id
"""

# Where named writers logged a key, rows of its primary writer count.
_PRIMARY: Final = " AND (run_id, key, writer) IN ({select})".replace(
    "{select}", primary_writers(f"{OF_PROJECT} AND key IN {{keys}}")
)

_KIND: Final = (
    "multiIf({of}.1 IN ('number', 'string', 'bool'), {of}.1, {of}.1 != 'other', 'media',"
    " startsWith({of}.3, '['), 'list', {of}.3 = 'null', 'null', 'dict')"
)
_NOTHING: Final = "('', 0., '')"


class RunStatement:
    """Builder of the statement; `value` returns the expressions of a reference."""

    def __init__(self, entity: str, project: str, refs: Sequence[Ref], facts: Facts) -> None:
        self.parameters = SqlParameters({"entity": entity, "project": project})
        self._facts = facts
        self._numbers = {ref: number for number, ref in enumerate(dict.fromkeys(refs))}
        self._stored: dict[tuple[Source, str], str] = {}
        self._metrics: list[Candidate] = []
        self._from_rows: list[str] = []
        self._columns = [self._column(ref, number) for ref, number in self._numbers.items()]

    def value(self, ref: Ref) -> ValueSql:
        """Return the expressions of a reference, for a query over the subquery `source`."""
        name = f"v{self._numbers[ref]}"
        kind, number, text = (f"{name}.{position}" for position in (1, 2, 3))
        if ref.source is not Source.FIELD:
            return ValueSql(kind, number, text, f"{kind} != ''")
        match FIELDS[ref.name].type:
            case FieldType.LIST:
                return ValueSql("'list'", "0", "''", f"notEmpty({name})", elements=name)
            case FieldType.TEXT:
                return ValueSql(kind, number, text, f"{text} != ''")
        return ValueSql(kind, number, text, f"{kind} != ''")

    def source(self) -> str:
        """Return the SELECT of every run of the project: `run_id`, `version`, and a column for each reference."""
        fields = [FIELDS[ref.name] for ref in self._numbers if ref.source is Source.FIELD]
        columns = dict.fromkeys(["run_id", "version", "metric_definitions", *document_columns(fields)])
        documents = _DOCUMENTS.replace("{columns}", ", ".join(columns))
        activity = _ACTIVITY if any(field.reads_activity for field in fields) else ""
        joined = " ".join([documents, activity, self._stored_values(), self._series(), *self._from_rows])
        return f"SELECT {', '.join(['d.run_id AS run_id', 'd.version AS version', *self._columns])} FROM {joined}"

    def _column(self, ref: Ref, number: int) -> str:
        match ref.source:
            case Source.FIELD:
                return f"{_field(ref.name)} AS v{number}"
            case Source.CONFIG:
                return f"{self._value_of(Source.CONFIG, ref.name)} AS v{number}"
        return f"{self._summary(ref.name)} AS v{number}"

    def _value_of(self, source: Source, path: str) -> str:
        """Return the expression of a value in a document. Only rows of the newest document count."""
        name = self._stored.setdefault((source, path), f"r{len(self._stored)}")
        return f"if(f.{name}.1 = f.{source}_version, (f.{name}.2, f.{name}.3, f.{name}.4), {_NOTHING})"

    def _stored_values(self) -> str:
        if not self._stored:
            return ""
        columns, conditions = [], []
        for source in dict.fromkeys(source for source, _ in self._stored):
            columns.append(f"maxIf(version, source = '{source}' AND path = '') AS {source}_version")
            paths = [path for of, path in self._stored if of is source]
            conditions.append(f"source = '{source}' AND path IN {self.parameters(['', *paths], 'Array(String)')}")
        for (source, path), name in self._stored.items():
            row = f"source = '{source}' AND path = {self.parameters(path, 'String')}"
            columns.append(f"maxIf((version, kind::String, number, text), {row}) AS {name}")
        return (
            f"LEFT JOIN (SELECT run_id, {', '.join(columns)} FROM {{db}}.run_values"
            f" WHERE {OF_PROJECT} AND ({' OR '.join(conditions)}) GROUP BY run_id) AS f ON f.run_id = d.run_id"
        )

    def _summary(self, path: str) -> str:
        """Return the expression of a path of the summary."""
        cases = []
        if path in self._facts.by_hand:
            by_hand = self._value_of(Source.SUMMARY, path)
            cases.append(f"({by_hand}).1 != '', {by_hand}")
        for candidate in find_candidates(path, self._facts):
            value, present = self._metric(candidate)
            if candidate.figure and candidate.key in self._facts.by_hand:
                present += f" AND ({self._value_of(Source.SUMMARY, candidate.key)}).1 = ''"
            cases.append(f"{present}, {value}")
        return f"multiIf({', '.join(cases)}, {_NOTHING})" if cases else _NOTHING

    def _metric(self, candidate: Candidate) -> tuple[str, str]:
        """Return the expression of a metric's value or figure, and the condition that a run has it."""
        m = f"s.m{len(self._metrics)}"
        self._metrics.append(candidate)
        present, how = f"{m}.1 != ''", f"'{candidate.default}'"
        if candidate.definitions:
            definitions = self.parameters(list(candidate.definitions), "Array(String)")
            outcomes = self.parameters(list(candidate.outcomes), "Array(String)")
            how = f"transform(d.metric_definitions, {definitions}, {outcomes}, '{candidate.default}')"
            present += f" AND {how} != '{NONE}'"
        number = f"if({m}.1 = 'bool', toFloat64({m}.3 = 'true' OR {m}.2 != 0), {m}.2)"
        if not candidate.figure:
            value = f"({_KIND.replace('{of}', m)}, {number}, {m}.3)"
            if not candidate.definitions:
                return value, present
            return f"if({how} = '{DICT}' AND {m}.1 = 'number', ('{DICT}', 0., ''), {value})", present
        low, high, mean, first = f"{m}_low", f"{m}_high", f"{m}_mean", "nan"
        if candidate.from_rows:
            x = self._rows(candidate)
            low, high, mean = (f"if({x}.found, {x}.{name}, {m}_{name})" for name in ("low", "high", "mean"))
            first = f"{x}.first"
        figure = (
            f"multiIf({how} = 'min', {low}, {how} = 'max', {high}, {how} = 'mean', {mean}, {how} = 'first', {first},"
            f" {m}.2)"
        )
        text = f"if({how} = '{LAST}', {m}.3, '')"
        return f"('number', {figure}, {text})", f"{present} AND {m}.1 = 'number'"

    def _rows(self, candidate: Candidate) -> str:
        alias = f"x{len(self._from_rows)}"
        always, figures = (
            [text for text, how in zip(candidate.definitions, candidate.outcomes, strict=True) if how in among]
            for among in ({"first"}, FROM_ROWS)
        )
        keys = self.parameters(list(candidate.spellings), "Array(String)")
        always_text, figures_text = (self.parameters(texts, "Array(String)") for texts in (always, figures))
        parts = {
            "{primary}": self._primary(candidate.spellings),
            "{keys}": keys,
            "{always}": always_text,
            "{rewritten}": figures_text,
            "{alias}": alias,
        }
        text = _ROWS
        for mark, part in parts.items():
            text = text.replace(mark, part)
        self._from_rows.append(text)
        return alias

    def _series(self) -> str:
        if not self._metrics:
            return ""
        spellings = list(dict.fromkeys(spelling for candidate in self._metrics for spelling in candidate.spellings))
        columns = []
        for number, candidate in enumerate(self._metrics):
            among = f"key IN {self.parameters(list(candidate.spellings), 'Array(String)')}"
            # A key that only a side stream has is no metric of the run.
            own = f"minIf(stream, {among}) = ''"
            last = f"argMaxIf((kind::String, number, text), at, {among})"
            columns.append(f"if({own}, {last}, ('', 0., '')) AS m{number}")
            if candidate.figure:
                numbers = f"kind = 'number' AND {among}"
                figures = {"low": _LOW, "high": _HIGH, "mean": _MEAN}
                columns += [f"{text.replace('{of}', numbers)} AS m{number}_{name}" for name, text in figures.items()]
        keys = self.parameters(spellings, "Array(String)")
        text = _SERIES.replace("{columns}", ", ".join(columns)).replace("{primary}", self._primary(spellings))
        return text.replace("{keys}", keys)

    def _primary(self, spellings: Iterable[str]) -> str:
        """Return the condition that selects the rows of primary writers; none if no writer of the keys is named."""
        return "" if self._facts.of_writers.isdisjoint(spellings) else _PRIMARY


def _field(name: str) -> str:
    field = FIELDS[name]
    match field.type:
        case FieldType.LIST:
            return field.sql
        case FieldType.TEXT:
            return f"('string', 0., {field.sql})"
    kind = "bool" if field.type is FieldType.BOOL else "number"
    return f"(if(isNull({field.sql}), '', '{kind}'), toFloat64(ifNull({field.sql}, 0)), '')"
