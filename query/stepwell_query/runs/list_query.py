"""The statement that finds runs of a project: what is looked at of each as columns, then the condition and the order.

Config, and the summary set by hand, come from `run_values`, and metrics from the rows of `series` by key: either way
only what concerns the keys asked for is read, however many others runs have.
"""

# ruff: noqa: S608 - statements are put together from constants of this module; names and values are parameters.

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from stepwell_query.catalog.conditions import OF_PROJECT
from stepwell_query.runs.fields import ACTIVITY_JOIN, FIELDS, FieldType, document_columns
from stepwell_query.runs.filters.ast import Ref, Source
from stepwell_query.runs.filters.summary_paths import DICT, FROM_ROWS, LAST, NONE, Candidate, Facts, candidates, keys_of
from stepwell_query.runs.filters.to_sql import Bound, Typed
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.keys import fold_key

_FACTS: Final = f"""
SELECT 'key' AS what, key AS name FROM {{db}}.series
WHERE {OF_PROJECT} AND (lower(key) IN {{folded:Array(String)}} OR length(key) != lengthUTF8(key)) GROUP BY key
UNION ALL
SELECT DISTINCT 'by hand', path FROM {{db}}.run_values
WHERE {OF_PROJECT} AND source = 'summary' AND path IN {{paths:Array(String)}}
UNION ALL
SELECT DISTINCT 'definitions', metric_definitions FROM {{db}}.run_documents
WHERE {OF_PROJECT} AND metric_definitions NOT IN ('', '[]')
"""

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
            run_id, key, kind, stream, value_min, value_max, value_sum, not_nan,
            (last_number.1, last_number.2) AS number_at, (last_text.1, last_text.2) AS text_at,
            if(kind = 'number', number_at, greatest(number_at, text_at)) AS at,
            if(kind != 'number' OR number_at = text_at, last_text.3, '') AS text,
            last_number.3 AS number
        FROM {{db}}.series WHERE {OF_PROJECT} AND key IN {{keys}}
    )
    GROUP BY run_id
) AS s ON s.run_id = d.run_id
"""

_FIGURE: Final = "if(sumIf(not_nan, {of}) = 0, nan, {figure})"
_LOW: Final = _FIGURE.replace("{figure}", "minIf(value_min, {of})")
_HIGH: Final = _FIGURE.replace("{figure}", "maxIf(value_max, {of})")
_MEAN: Final = "sumIf(value_sum, {of}) / sumIf(not_nan, {of})"

_ROWS: Final = f"""
LEFT JOIN
(
    SELECT
        run_id, 1 AS found, argMin(value, step) AS first, min(value) AS low, max(value) AS high,
        avgIf(value, NOT isNaN(value)) AS mean
    FROM {{db}}.points_number FINAL WHERE {OF_PROJECT} AND key IN {{keys}} AND run_id IN
    (
        SELECT run_id FROM {{db}}.run_documents FINAL
        WHERE {OF_PROJECT} AND (
            metric_definitions IN {{always}}
            OR metric_definitions IN {{rewritten}} AND run_id IN
                (SELECT run_id FROM {{db}}.series WHERE {OF_PROJECT} AND key IN {{keys}} AND rewritten = 1)
        )
    )
    GROUP BY run_id
) AS {{alias}} ON {{alias}}.run_id = d.run_id
"""

_KIND: Final = (
    "multiIf({of}.1 IN ('number', 'string', 'bool'), {of}.1, {of}.1 != 'other', 'media',"
    " startsWith({of}.3, '['), 'list', {of}.3 = 'null', 'null', 'dict')"
)
_NOTHING: Final = "('', 0., '')"


def read_facts(store: Store, entity: str, project: str, refs: Iterable[Ref]) -> Facts:
    """Return what must be known of a project's metrics before a statement looks at these. Raises: StoreError."""
    paths = [ref.name for ref in refs if ref.source is Source.SUMMARY]
    if not paths:
        return Facts()
    every = list(dict.fromkeys(key for path in paths for key in keys_of(path)))
    asked = {"entity": entity, "project": project, "folded": [fold_key(key) for key in every], "paths": every}
    found: dict[str, list[str]] = {"key": [], "by hand": [], "definitions": []}
    for row in store.query(_FACTS, asked).to_pylist():
        found[row["what"]].append(row["name"])
    return Facts(tuple(found["key"]), tuple(found["definitions"]), frozenset(found["by hand"]))


class RunStatement:
    """A statement about a project's runs under construction; `of` gives the expressions of what is looked at."""

    def __init__(self, entity: str, project: str, refs: Sequence[Ref], facts: Facts) -> None:
        self.bound = Bound({"entity": entity, "project": project})
        self._facts = facts
        self._places = {ref: place for place, ref in enumerate(dict.fromkeys(refs))}
        self._stored: dict[tuple[Source, str], str] = {}
        self._metrics: list[Candidate] = []
        self._from_rows: list[str] = []
        self._columns = [self._column(ref, place) for ref, place in self._places.items()]

    def of(self, ref: Ref) -> Typed:
        """Return the expressions of something looked at, in what is selected `FROM` the text of `source`."""
        name = f"v{self._places[ref]}"
        kind, number, text = (f"{name}.{place}" for place in (1, 2, 3))
        if ref.source is not Source.FIELD:
            return Typed(kind, number, text, f"{kind} != ''")
        match FIELDS[ref.name].type:
            case FieldType.LIST:
                return Typed("'list'", "0", "''", f"notEmpty({name})", elements=name)
            case FieldType.TEXT:
                return Typed(kind, number, text, f"{text} != ''")
        return Typed(kind, number, text, f"{kind} != ''")

    def source(self) -> str:
        """Return the SELECT of every run of the project: its `run_id`, and a column for each thing looked at."""
        fields = [FIELDS[ref.name] for ref in self._places if ref.source is Source.FIELD]
        columns = dict.fromkeys(["run_id", "metric_definitions", *document_columns(fields)])
        documents = _DOCUMENTS.replace("{columns}", ", ".join(columns))
        activity = _ACTIVITY if any(field.reads_activity for field in fields) else ""
        joined = " ".join([documents, activity, self._stored_values(), self._series(), *self._from_rows])
        return f"SELECT {', '.join(['d.run_id AS run_id', *self._columns])} FROM {joined}"

    def _column(self, ref: Ref, place: int) -> str:
        match ref.source:
            case Source.FIELD:
                return f"{_field(ref.name)} AS v{place}"
            case Source.CONFIG:
                return f"{self._value_of(Source.CONFIG, ref.name)} AS v{place}"
        return f"{self._summary(ref.name)} AS v{place}"

    def _value_of(self, source: Source, path: str) -> str:
        """Return the expression of a value stored in a document; its row counts while it is of the newest document."""
        name = self._stored.setdefault((source, path), f"r{len(self._stored)}")
        return f"if(f.{name}.1 = f.{source}_version, (f.{name}.2, f.{name}.3, f.{name}.4), {_NOTHING})"

    def _stored_values(self) -> str:
        if not self._stored:
            return ""
        columns, wanted = [], []
        for source in dict.fromkeys(source for source, _ in self._stored):
            columns.append(f"maxIf(version, source = '{source}' AND path = '') AS {source}_version")
            paths = [path for of, path in self._stored if of is source]
            wanted.append(f"source = '{source}' AND path IN {self.bound(['', *paths], 'Array(String)')}")
        for (source, path), name in self._stored.items():
            found = f"source = '{source}' AND path = {self.bound(path, 'String')}"
            columns.append(f"maxIf((version, kind::String, number, text), {found}) AS {name}")
        return (
            f"LEFT JOIN (SELECT run_id, {', '.join(columns)} FROM {{db}}.run_values"
            f" WHERE {OF_PROJECT} AND ({' OR '.join(wanted)}) GROUP BY run_id) AS f ON f.run_id = d.run_id"
        )

    def _summary(self, path: str) -> str:
        """Return the expression of a path of the summary."""
        cases = []
        if path in self._facts.by_hand:
            by_hand = self._value_of(Source.SUMMARY, path)
            cases.append(f"({by_hand}).1 != '', {by_hand}")
        for candidate in candidates(path, self._facts):
            value, there = self._metric(candidate)
            if candidate.figure and candidate.key in self._facts.by_hand:
                there += f" AND ({self._value_of(Source.SUMMARY, candidate.key)}).1 = ''"
            cases.append(f"{there}, {value}")
        return f"multiIf({', '.join(cases)}, {_NOTHING})" if cases else _NOTHING

    def _metric(self, candidate: Candidate) -> tuple[str, str]:
        """Return the expressions of a metric's value or figure, and of whether a run has it."""
        m = f"s.m{len(self._metrics)}"
        self._metrics.append(candidate)
        there, how = f"{m}.1 != ''", f"'{candidate.otherwise}'"
        if candidate.definitions:
            texts, hows = (self.bound(list(part), "Array(String)") for part in (candidate.definitions, candidate.hows))
            how = f"transform(d.metric_definitions, {texts}, {hows}, '{candidate.otherwise}')"
            there += f" AND {how} != '{NONE}'"
        number = f"if({m}.1 = 'bool', toFloat64({m}.3 = 'true' OR {m}.2 != 0), {m}.2)"
        if not candidate.figure:
            value = f"({_KIND.replace('{of}', m)}, {number}, {m}.3)"
            if not candidate.definitions:
                return value, there
            return f"if({how} = '{DICT}' AND {m}.1 = 'number', ('{DICT}', 0., ''), {value})", there
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
        return f"('number', {figure}, {text})", f"{there} AND {m}.1 = 'number'"

    def _rows(self, candidate: Candidate) -> str:
        alias = f"x{len(self._from_rows)}"
        always, figures = (
            [text for text, how in zip(candidate.definitions, candidate.hows, strict=True) if how in among]
            for among in ({"first"}, FROM_ROWS)
        )
        keys = self.bound(list(candidate.spellings), "Array(String)")
        always_text, figures_text = (self.bound(texts, "Array(String)") for texts in (always, figures))
        parts = {"{keys}": keys, "{always}": always_text, "{rewritten}": figures_text, "{alias}": alias}
        text = _ROWS
        for mark, part in parts.items():
            text = text.replace(mark, part)
        self._from_rows.append(text)
        return alias

    def _series(self) -> str:
        if not self._metrics:
            return ""
        every = list(dict.fromkeys(spelling for candidate in self._metrics for spelling in candidate.spellings))
        columns = []
        for place, candidate in enumerate(self._metrics):
            among = f"key IN {self.bound(list(candidate.spellings), 'Array(String)')}"
            # A key of a stream beside the run's own is no metric, unless the run logs it too.
            own = f"minIf(stream, {among}) = ''"
            last = f"argMaxIf((kind::String, number, text), at, {among})"
            columns.append(f"if({own}, {last}, ('', 0., '')) AS m{place}")
            if candidate.figure:
                numbers = f"kind = 'number' AND {among}"
                figures = {"low": _LOW, "high": _HIGH, "mean": _MEAN}
                columns += [f"{text.replace('{of}', numbers)} AS m{place}_{name}" for name, text in figures.items()]
        keys = self.bound(every, "Array(String)")
        return _SERIES.replace("{columns}", ", ".join(columns)).replace("{keys}", keys)


def _field(name: str) -> str:
    field = FIELDS[name]
    match field.type:
        case FieldType.LIST:
            return field.sql
        case FieldType.TEXT:
            return f"('string', 0., {field.sql})"
    kind = "bool" if field.type is FieldType.BOOL else "number"
    return f"(if(isNull({field.sql}), '', '{kind}'), toFloat64(ifNull({field.sql}, 0)), '')"
