"""Fingerprints of a run's stored points, used to compare two databases with the same SQL over their public views."""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from stepwell_schemas.clickhouse.tables import RUN_CONDITION
from stepwell_schemas.rollups.sql import DIGEST
from stepwell_schemas.rules.identifiers import RunPath

Rows = list[dict[str, Any]]
Ask = Callable[[str, Mapping[str, Any]], Rows]
"""Runs a statement with parameters on a database, and returns the rows as plain values."""

SeriesKey = tuple[str, str]
"""A series within its run: key and kind."""

RollupKey = tuple[str, int]
"""The rollups of a series on a level: key and level."""

_WITHIN: Final = f"{RUN_CONDITION} AND step BETWEEN {{first:Int64}} AND {{last:Int64}}"
# Values below a writer's boundary are removed, or will be; media values are not.
_BOUNDARY: Final = "transform(toString(writer), {writers:Array(String)}, {boundaries:Array(Int64)}, toInt64(0))"
_KEPT: Final = f"{_WITHIN} AND step >= {_BOUNDARY}"
_BOUNDARIES: Final = f"SELECT writer, raw_from FROM retention WHERE {RUN_CONDITION} AND raw_from > 0 ORDER BY writer"
# Bits, not values: NaN does not equal itself, and 0 equals -0.
_NUMBER_HASH: Final = "cityHash64(step, reinterpretAsUInt64(value), exact, timestamp)"
_VALUE_HASH: Final = "cityHash64(step, value, timestamp)"
VIEWS: Final = (
    ("numbers", "'number'", _NUMBER_HASH),
    ("strings", "'string'", _VALUE_HASH),
    ("bools", "'bool'", _VALUE_HASH),
    ("others", "'other'", _VALUE_HASH),
    ("media", "toString(kind)", _VALUE_HASH),
)
_POINTS: Final = " UNION ALL ".join(
    f"SELECT toString(key) AS key, {kind} AS kind, step, timestamp, {digest} AS hash FROM {view}"
    f" WHERE {_WITHIN if view == 'media' else _KEPT}"
    for view, kind, digest in VIEWS
)
_OF_OWN: Final = f"key NOT IN (SELECT toString(key) FROM metrics WHERE {RUN_CONDITION} AND stream != '')"
_SERIES: Final = (
    "SELECT key, kind, count() AS points, min(step) AS first_step, max(step) AS last_step, sum(hash) AS digest"
    f" FROM ({_POINTS}) WHERE {{condition}} GROUP BY key, kind"
)
_METRICS: Final = (
    "SELECT toString(key) AS key, toString(kind) AS kind, sum(count) AS points, min(metrics.first_step) AS first_step,"
    f" max(metrics.last_step) AS last_step FROM metrics WHERE {RUN_CONDITION} GROUP BY key, kind"
)
_CONFLICTS: Final = (
    "SELECT count() AS calls, sum(cityHash64(writer, asked_step, step, timestamp)) AS digest"
    f" FROM step_conflicts WHERE {_WITHIN}"
)
_CREATED: Final = f"SELECT toUnixTimestamp64Milli(created_at) AS at FROM runs WHERE {RUN_CONDITION}"
_STEP_AT: Final = (
    f"SELECT min(step) AS step, count() AS points FROM ({_POINTS})"
    f" WHERE toUnixTimestamp64Milli(timestamp) >= {{since:Int64}} AND {_OF_OWN}"
)
_ROLLUPS: Final = (
    f"SELECT toString(key) AS key, level, count() AS buckets, sum(cityHash64(writer, bucket, {DIGEST})) AS digest"
    f" FROM (SELECT * FROM rollups FINAL WHERE {RUN_CONDITION}) AS rolled"
    " INNER JOIN (SELECT key, writer, max(last_step) AS reached"
    f" FROM series WHERE kind = 'number' AND {RUN_CONDITION} GROUP BY key, writer) AS reached_by USING (key, writer)"
    f" WHERE bucket < bitShiftRight(reached, level) AND bitShiftLeft(bucket, level) >= {_BOUNDARY}"
    " GROUP BY key, level"
)
_SPELLINGS: Final = f"SELECT DISTINCT toString(key) AS key FROM metrics WHERE {RUN_CONDITION}"


class Bounds(NamedTuple):
    """The range of steps to compare, inclusive; with `own`, only the run's own rows and not its side streams.

    `removed` has writers with the steps below which retention removes their rows.
    """

    first: int = -(2**63)
    last: int = 2**63 - 1
    own: bool = False
    removed: tuple[tuple[str, int], ...] = ()

    @property
    def open(self) -> bool:
        """True if all steps and streams are included, but for removed rows."""
        return self._replace(removed=()) == Bounds()

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of statements."""
        writers, boundaries = zip(*self.removed, strict=True) if self.removed else ((), ())
        return {"first": self.first, "last": self.last, "writers": list(writers), "boundaries": list(boundaries)}


class SeriesFigures(NamedTuple):
    """Fingerprint of one series; `digest` is the sum of hashes of step, value (its bits) and timestamp."""

    points: int
    first_step: int
    last_step: int
    digest: int


class MetricFigures(NamedTuple):
    """The row of one series in the view `metrics`."""

    points: int
    first_step: int
    last_step: int


class RollupFigures(NamedTuple):
    """Fingerprint of the rollups of closed buckets on one level."""

    buckets: int = 0
    digest: int = 0


class ConflictFigures(NamedTuple):
    """Fingerprint of the recorded step conflicts."""

    calls: int = 0
    digest: int = 0


class Figures(NamedTuple):
    """The fingerprints of a run.

    `metrics` and `rollups` (by key and level) are None if only a part of the run was read.
    """

    series: dict[SeriesKey, SeriesFigures]
    metrics: dict[SeriesKey, MetricFigures] | None
    conflicts: ConflictFigures
    rollups: dict[RollupKey, RollupFigures] | None = None


NOTHING: Final = Figures({}, {}, ConflictFigures(), {})


def read_figures(ask: Ask, run: RunPath, bounds: Bounds) -> Figures:
    """Return the fingerprints of a run within the bounds. Raises the exceptions of `ask`."""
    within = {**run._asdict(), **bounds.parameters()}
    statement = _SERIES.replace("{condition}", _OF_OWN if bounds.own else "1")
    series = {(row.pop("key"), row.pop("kind")): SeriesFigures(**row) for row in ask(statement, within)}
    (conflicts,) = ask(_CONFLICTS, within)
    if not bounds.open:
        return Figures(series, None, ConflictFigures(**conflicts))
    metrics = {(row.pop("key"), row.pop("kind")): MetricFigures(**row) for row in ask(_METRICS, run._asdict())}
    rollups = {(row.pop("key"), row.pop("level")): RollupFigures(**row) for row in ask(_ROLLUPS, within)}
    return Figures(series, metrics, ConflictFigures(**conflicts), rollups)


def read_removed(ask: Ask, run: RunPath) -> tuple[tuple[str, int], ...]:
    """Return the writers of a run that have lost rows to retention, with the first steps of those that are kept."""
    return tuple((row["writer"], int(row["raw_from"])) for row in ask(_BOUNDARIES, run._asdict()))


def read_created(ask: Ask, run: RunPath) -> int | None:
    """Return the creation time of a run in milliseconds since the epoch; None if there is no such run."""
    found = ask(_CREATED, run._asdict())
    return int(found[0]["at"]) if found else None


def read_spellings(ask: Ask, run: RunPath) -> list[str]:
    """Return the stored spellings of the run's keys."""
    return [row["key"] for row in ask(_SPELLINGS, run._asdict())]


def read_step_at(ask: Ask, run: RunPath, since: int) -> int | None:
    """Return the lowest step of the run's own rows logged at `since` (ms since the epoch) or later, or None."""
    every = Bounds()
    (found,) = ask(_STEP_AT, {**run._asdict(), **every.parameters(), "since": since})
    return int(found["step"]) if found["points"] else None
