"""What there is to read of a run: how far it is stored, and its series with their extents."""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from stepwell_query.errors import RunNotFoundError
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.clickhouse.tables import RUN_CONDITION
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.keys import fold_key
from stepwell_schemas.rules.kinds import Kind, is_kind
from stepwell_schemas.rules.streams import DEFAULT

OF_RUN: Final = RUN_CONDITION
"""The condition that every table's sort key begins with."""

_PROGRESS: Final = f"""
SELECT
    (SELECT count() FROM {{db}}.run_documents WHERE {OF_RUN}) AS documents,
    (SELECT toUnixTimestamp64Milli(min(created_at)) FROM {{db}}.run_documents WHERE {OF_RUN}) AS created,
    count() AS flushes,
    max(last_step) AS step,
    max(last_offset) AS offset,
    sum(log_rows) AS log_rows,
    toUnixTimestamp64Milli(min(first_timestamp)) AS first_logged
FROM {{db}}.run_activity WHERE {OF_RUN}
"""

_SERIES: Final = f"""
SELECT key, kind, min(first_step) AS first, max(last_step) AS last, sum(points) AS rows, max(rewritten) AS rewritten,
    min(stream) AS stream
FROM {{db}}.series WHERE {OF_RUN} AND {{condition}}
GROUP BY key, kind ORDER BY key, kind
"""

_FIRST_SPELLINGS: Final = f"""
SELECT folded, argMin(spelling, first) AS spelling FROM
(
    SELECT folded, spelling, min(first_version) AS first
    FROM {{db}}.key_spellings WHERE {OF_RUN} AND folded IN {{folded:Array(String)}}
    GROUP BY folded, spelling
)
GROUP BY folded
"""


_COUNTED: Final = f"""
SELECT key, kind, first_step, last_step, count, stream FROM {{db}}.metrics WHERE {OF_RUN} ORDER BY key, kind
"""

_SPELLINGS: Final = f"""
SELECT
    argMin(spelling, first) AS key,
    arraySort((spelling, first) -> first, groupArray(spelling), groupArray(first)) AS spellings
FROM
(
    SELECT folded, spelling, min(first_version) AS first
    FROM {{db}}.key_spellings WHERE {OF_RUN} GROUP BY folded, spelling
)
GROUP BY folded HAVING count() > 1
"""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is stored: its last step and the last Kafka offset whose rows can be read (-1: none yet).

    `started_ms` is when the run began, in milliseconds since the epoch: the zero of `_runtime`.
    """

    step: int
    offset: int
    log_rows: int
    started_ms: int

    def as_json(self) -> dict[str, int]:
        """Return the `complete_to` of an answer."""
        return {"step": self.step, "offset": self.offset}


@dataclass(frozen=True, slots=True)
class SeriesInfo:
    """One metric of a run: a key with a kind. `rows` is exact unless `rewritten`, when it is an upper bound.

    `stream` is DEFAULT for what the run itself logged, else the stream beside it.
    """

    key: str
    kind: Kind
    first: int
    last: int
    rows: int
    rewritten: bool
    stream: str = DEFAULT


@dataclass(frozen=True, slots=True)
class FoundSeries:
    """The series that the asked keys name, in the order asked, and the keys that name none."""

    series: list[SeriesInfo]
    unknown: list[str]


@dataclass(frozen=True, slots=True)
class Selection:
    """The series that a request for rows is about.

    `named` says that it named their keys, and rows must have all of them; `unknown` are those that name no metric. Else
    they are all of a stream's: of the run's own, the tables hold `others` beside, whose keys are to be left out.
    """

    series: list[SeriesInfo]
    unknown: list[str]
    named: bool
    others: list[str]
    stream: str = DEFAULT

    @property
    def keys(self) -> list[str]:
        """The keys of the series, each once."""
        return list(dict.fromkeys(info.key for info in self.series))


def run_parameters(run: RunPath) -> dict[str, Any]:
    """Return the parameters of the condition `OF_RUN`."""
    return run._asdict()


def progress(store: Store, run: RunPath) -> Progress:
    """Return how far a run is stored. Read before the run's values, it never promises more than they hold.

    Raises:
        RunNotFoundError: when there is no such run.
        StoreError: when ClickHouse does not answer.
    """
    row = store.query(_PROGRESS, run_parameters(run)).to_pylist()[0]
    if not row["documents"] and not row["flushes"]:
        raise RunNotFoundError(run)
    begins = [row["created"]] if row["documents"] else []
    if not row["flushes"]:
        return Progress(-1, -1, 0, begins[0])
    # Rows imported with their old times began before the run was made here.
    started = min([*begins, row["first_logged"]])
    return Progress(row["step"] if row["log_rows"] else -1, row["offset"], row["log_rows"], started)


def all_series(store: Store, run: RunPath) -> list[SeriesInfo]:
    """Return every series of a run, by key and kind. Raises: StoreError."""
    sql = _SERIES.replace("{condition}", "1")
    return [_info(row) for row in store.query(sql, run_parameters(run)).to_pylist() if is_kind(row["kind"])]


def find_series(store: Store, run: RunPath, keys: Sequence[str]) -> FoundSeries:
    """Return the series that `keys` name, in any spelling of theirs, one for each kind. Raises: StoreError."""
    asked = list(dict.fromkeys(keys))
    found = _by_key(store, run, asked)
    missing = [key for key in asked if key not in found]
    shown = _first_spellings(store, run, missing) if missing else {}
    found |= _by_key(store, run, [key for key in shown.values() if key not in found])
    names = dict.fromkeys(shown.get(key, key) for key in asked)
    return FoundSeries(
        series=[info for name in names for info in found.get(name, [])],
        unknown=[key for key in asked if shown.get(key, key) not in found],
    )


def select(store: Store, run: RunPath, keys: Sequence[str], stream: str = DEFAULT) -> Selection:
    """Return the series that `keys` name, of any stream; without keys, all of `stream`. Raises: StoreError."""
    if keys:
        found = find_series(store, run, keys)
        return Selection(found.series, found.unknown, named=True, others=[])
    series = all_series(store, run)
    own = [info for info in series if info.stream == stream]
    others = list(dict.fromkeys(info.key for info in series if info.stream != stream))
    return Selection(own, [], named=False, others=others, stream=stream)


def read_metrics(store: Store, run: RunPath) -> list[dict[str, Any]]:
    """Return every metric of a run with its exact count, and its key's spellings in the order they came up.

    Raises:
        RunNotFoundError: when there is no such run.
        StoreError: when ClickHouse does not answer.
    """
    progress(store, run)
    rows: list[dict[str, Any]] = store.query(_COUNTED, run_parameters(run)).to_pylist()
    found = store.query(_SPELLINGS, run_parameters(run)).to_pylist()
    spellings = {row["key"]: row["spellings"] for row in found}
    return [row | {"spellings": spellings.get(row["key"], [row["key"]])} for row in rows]


def _by_key(store: Store, run: RunPath, keys: list[str]) -> dict[str, list[SeriesInfo]]:
    if not keys:
        return {}
    sql = _SERIES.replace("{condition}", "key IN {keys:Array(String)}")
    found: dict[str, list[SeriesInfo]] = {}
    for row in store.query(sql, {**run_parameters(run), "keys": keys}).to_pylist():
        if is_kind(row["kind"]):
            found.setdefault(row["key"], []).append(_info(row))
    return found


def _first_spellings(store: Store, run: RunPath, keys: list[str]) -> dict[str, str]:
    folded = {key: fold_key(key) for key in keys}
    rows = store.query(_FIRST_SPELLINGS, {**run_parameters(run), "folded": list(folded.values())}).to_pylist()
    shown = {row["folded"]: row["spelling"] for row in rows}
    return {key: shown[fold] for key, fold in folded.items() if fold in shown}


def _info(row: dict[str, Any]) -> SeriesInfo:
    return SeriesInfo(
        row["key"], Kind(row["kind"]), row["first"], row["last"], row["rows"], bool(row["rewritten"]), row["stream"]
    )
