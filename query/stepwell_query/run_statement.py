"""The statement that finds runs of a project: what is looked at of each as columns, then the condition and the order.

Config, and the summary set by hand, come from `run_values`, and metrics from the rows of `series` by key: either way
only what concerns the keys asked for is read, however many others runs have.
"""

# ruff: noqa: S608 - statements are put together from constants of this module; names and values are parameters.

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from stepwell_query.filters.fields import FIELDS, FieldKind
from stepwell_query.filters.sql import Bound, Typed
from stepwell_query.filters.summary import DICT, FROM_ROWS, LAST, NONE, Candidate, Facts, candidates, folded_keys
from stepwell_query.filters.tree import Ref, Source
from stepwell_schemas.clickhouse import Store

OF_PROJECT: Final = "entity = {entity:String} AND project = {project:String}"

_SPELLINGS: Final = f"""
SELECT DISTINCT key FROM {{db}}.series WHERE {OF_PROJECT}
    AND (lower(key) IN {{folded:Array(String)}} OR length(key) != lengthUTF8(key))
"""

_DEFINITIONS: Final = f"""
SELECT DISTINCT metric_definitions FROM {{db}}.run_documents WHERE {OF_PROJECT} AND metric_definitions NOT IN ('', '[]')
"""

_DOCUMENTS: Final = f"""
(
    SELECT
        run_id, display_name, state, run_group, job_type, notes, host, client, tags, exit_code, created_at, started_at,
        finished_at, metric_definitions
    FROM {{db}}.run_documents FINAL WHERE {OF_PROJECT}
) AS d
"""

_ACTIVITY: Final = f"""
LEFT JOIN
(
    SELECT
        run_id, max(last_timestamp) AS last_timestamp, max(last_step) AS last_step, sum(log_rows) AS log_rows,
        sum(points) AS points, sum(conflicts) AS conflicts
    FROM {{db}}.run_activity WHERE {OF_PROJECT} GROUP BY run_id
) AS a ON a.run_id = d.run_id
"""

_KIND: Final = """multiIf(
    kind != 'other', if(kind IN ('number', 'string', 'bool'), kind::String, 'media'),
    startsWith(text, '['), 'list', text = 'null', 'null', 'dict')"""

# What is known of a metric of a run, the parts of all flushes put together. The text of a number is its digits, where
# float64 can't hold them; it is of the same value when it is of the same row.
_SERIES: Final = f"""
LEFT JOIN
(
    SELECT run_id, {{columns}}
    FROM
    (
        SELECT
            run_id, key, kind, max(last_number) AS n, max(last_text) AS t,
            (n.1, n.2) AS number_at, (t.1, t.2) AS text_at,
            if(kind = 'number', number_at, greatest(number_at, text_at)) AS at,
            if(kind = 'number' AND number_at != text_at, '', t.3) AS text,
            multiIf(kind = 'number', n.3, kind = 'bool', toFloat64(text = 'true' OR n.3 != 0), 0) AS number,
            {_KIND} AS shown,
            if(sum(not_nan) = 0, nan, min(value_min)) AS low, if(sum(not_nan) = 0, nan, max(value_max)) AS high,
            sum(value_sum) / sum(not_nan) AS mean, max(rewritten) AS rewritten
        FROM {{db}}.series WHERE {OF_PROJECT} AND key IN {{keys}}
        GROUP BY run_id, key, kind HAVING min(stream) = ''
    )
    GROUP BY run_id
) AS s ON s.run_id = d.run_id
"""

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

_NOTHING: Final = "('', 0., '')"


def read_facts(store: Store, entity: str, project: str, refs: Iterable[Ref]) -> Facts:
    """Return what must be known of a project's metrics before a statement looks at these. Raises: StoreError."""
    paths = [ref.name for ref in refs if ref.source is Source.SUMMARY]
    if not paths:
        return Facts()
    scope = {"entity": entity, "project": project}
    keys = store.query(_SPELLINGS, {**scope, "folded": folded_keys(paths)}).column("key")
    definitions = store.query(_DEFINITIONS, scope).column("metric_definitions")
    return Facts(tuple(keys.to_pylist()), tuple(definitions.to_pylist()))


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
        match FIELDS[ref.name].kind:
            case FieldKind.LIST:
                return Typed("'list'", "0", "''", f"notEmpty({name})", elements=name)
            case FieldKind.TEXT:
                return Typed(kind, number, text, f"{text} != ''")
        return Typed(kind, number, text, f"{kind} != ''")

    def source(self) -> str:
        """Return the SELECT of every run of the project: its `run_id`, and a column for each thing looked at."""
        fields = [FIELDS[ref.name] for ref in self._places if ref.source is Source.FIELD]
        activity = _ACTIVITY if any(field.activity for field in fields) else ""
        joined = f"{_DOCUMENTS}{activity}{self._stored_values()}{self._series()}{''.join(self._from_rows)}"
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
        by_hand = self._value_of(Source.SUMMARY, path)
        cases = [f"({by_hand}).1 != '', {by_hand}"]
        for candidate in candidates(path, self._facts):
            value, there = self._metric(candidate)
            if candidate.figure:
                there += f" AND ({self._value_of(Source.SUMMARY, candidate.key)}).1 = ''"
            cases.append(f"{there}, {value}")
        return f"multiIf({', '.join(cases)}, {_NOTHING})"

    def _metric(self, candidate: Candidate) -> tuple[str, str]:
        """Return the expressions of a metric's value or figure, and of whether a run has it."""
        s = f"s.m{len(self._metrics)}"
        self._metrics.append(candidate)
        how = f"'{candidate.otherwise}'"
        if candidate.definitions:
            texts, hows = (self.bound(list(part), "Array(String)") for part in (candidate.definitions, candidate.hows))
            how = f"transform(d.metric_definitions, {texts}, {hows}, '{candidate.otherwise}')"
        if not candidate.figure:
            value = f"if({how} = '{DICT}' AND {s}.2 = 'number', ('{DICT}', 0., ''), ({s}.2, {s}.3, {s}.4))"
            return value, f"{s}.2 != '' AND {how} != '{NONE}'"
        low, high, mean, first = f"{s}.5", f"{s}.6", f"{s}.7", "nan"
        if candidate.from_rows:
            x = self._rows(candidate)
            low, high, mean = (f"if({x}.found, {x}.{name}, {s}.{place})" for name, place in _FIGURE_PLACES)
            first = f"{x}.first"
        figure = (
            f"multiIf({how} = 'min', {low}, {how} = 'max', {high}, {how} = 'mean', {mean}, {how} = 'first', {first},"
            f" {s}.3)"
        )
        text = f"if({how} = '{LAST}', {s}.4, '')"
        return f"('number', {figure}, {text})", f"{s}.2 = 'number' AND {how} != '{NONE}'"

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
        columns = [
            f"maxIf((at, shown, number, text, low, high, mean), key IN"
            f" {self.bound(list(candidate.spellings), 'Array(String)')}) AS m{place}"
            for place, candidate in enumerate(self._metrics)
        ]
        keys = self.bound(every, "Array(String)")
        return _SERIES.replace("{columns}", ", ".join(columns)).replace("{keys}", keys)


_FIGURE_PLACES: Final = (("low", 5), ("high", 6), ("mean", 7))


def _field(name: str) -> str:
    field = FIELDS[name]
    match field.kind:
        case FieldKind.LIST:
            return field.sql
        case FieldKind.TEXT:
            return f"('string', 0., {field.sql})"
    return f"(if(isNull({field.sql}), '', 'number'), toFloat64(ifNull({field.sql}, 0)), '')"
