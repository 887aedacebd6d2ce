"""Comparison of all public views, the rollups, and the sums of the physical tables with the model."""

from __future__ import annotations

import json
import math
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from reliability.faults.model import RunModel, bits
from stepwell_schemas.clickhouse.store import Store
from support.readers.rollups import ROLLUPS, Place, Point, by_place, comparable, expected_rollups, series_name

_VIEWS: Final = ("numbers", "strings", "bools", "others")
_KINDS: Final = {"numbers": "number", "strings": "string", "bools": "bool", "others": "other"}
_SHOWN: Final = 5


@dataclass
class Account:
    """Differences: missing points, points that are stored twice or were never logged, and others.

    `points` and `rollups` were compared.
    """

    points: int = 0
    lost: int = 0
    invented: int = 0
    rollups: int = 0
    differences: list[str] = field(default_factory=list)

    def note(self, what: str, wanted: Any, found: Any) -> None:
        """Record a difference, if the values differ."""
        if wanted != found:
            self.differences.append(f"{what}: wanted {str(wanted)[:300]}, found {str(found)[:300]}")


def compare(store: Store, project: str, models: Mapping[str, RunModel]) -> Account:
    """Compare all runs of a project with their models."""
    account = Account()
    for run, model in models.items():
        where = {"project": project, "run": run}
        for view in _VIEWS:
            _compare_view(account, store, view, where, model)
        _compare_metrics(account, store, where, model)
        _compare_run(account, store, where, model)
        _compare_physical(account, store, where, model)
        _compare_rollups(account, store, where, model)
    return account


def _rows(store: Store, sql: str, where: Mapping[str, str]) -> list[dict[str, Any]]:
    condition = "project = {project:String} AND run_id = {run:String}"
    found: list[dict[str, Any]] = store.query(sql.replace("WHERE here", f"WHERE {condition}"), where).to_pylist()
    return found


def _compare_view(account: Account, store: Store, view: str, where: Mapping[str, str], model: RunModel) -> None:
    columns = "key, writer, step, value, exact" if view == "numbers" else "key, writer, step, value"
    found: Counter[tuple[str, str, int, Any]] = Counter()
    for row in _rows(store, f"SELECT {columns} FROM {{db}}.{view} WHERE here", where):
        found[row["key"], row["writer"], row["step"], _shown(view, row)] += 1
    wanted = Counter(
        (*series, step, _hashable(value))
        for series, at in model.values.get(view, {}).items()
        for step, value in at.items()
    )
    lost, invented = wanted - found, found - wanted
    account.points += wanted.total()
    account.lost += lost.total()
    account.invented += invented.total()
    for what, points in (("lost", lost), ("invented", invented)):
        if points:
            account.differences.append(f"{where['run']} {view}: {what} {points.total()}: {list(points)[:_SHOWN]}")


def _shown(view: str, row: Mapping[str, Any]) -> Any:
    if view == "numbers":
        return (bits(row["value"]), row["exact"])
    return _hashable(json.loads(row["value"])) if view == "others" else row["value"]


def _hashable(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict) else value


def _compare_metrics(account: Account, store: Store, where: Mapping[str, str], model: RunModel) -> None:
    sql = "SELECT key, writer, kind, first_step, last_step, count FROM {db}.metrics WHERE here ORDER BY ALL"
    found = [tuple(row.values()) for row in _rows(store, sql, where)]
    wanted = sorted(
        (*series, _KINDS[view], min(at), max(at), len(at))
        for view, of_view in model.values.items()
        for series, at in of_view.items()
    )
    account.note(f"{where['run']} metrics", wanted, found)


def _compare_run(account: Account, store: Store, where: Mapping[str, str], model: RunModel) -> None:
    sql = "SELECT last_step, log_rows, points, step_conflicts FROM {db}.runs WHERE here"
    found = [tuple(row.values()) for row in _rows(store, sql, where)]
    if model.deletions and not model.log_rows:
        # It exists if a session has begun and logged nothing since its deletion.
        account.note(f"{where['run']} deleted", [], [row for row in found if any(row[1:])])
    else:
        wanted = [(model.last_step, model.log_rows, model.points, len(model.conflicts))]
        account.note(f"{where['run']} runs", wanted, found)
    sql = "SELECT writer, asked_step, step FROM {db}.step_conflicts WHERE here"
    conflicts = sorted(tuple(row.values()) for row in _rows(store, sql, where))
    account.note(f"{where['run']} step_conflicts", sorted(model.conflicts), conflicts)


def _compare_physical(account: Account, store: Store, where: Mapping[str, str], model: RunModel) -> None:
    """Compare sums, and rows of a repeated insert, which views hide by merging."""
    for table in ("points_number", "points_string", "points_bool", "points_other"):
        sql = (
            f"SELECT count() AS n FROM (SELECT key, writer, step, version FROM {{db}}.{table} WHERE here"
            " GROUP BY key, writer, step, version HAVING count() > 1)"
        )
        doubled = _rows(store, sql, where)[0]["n"]
        account.invented += doubled
        account.note(f"{where['run']} {table}: rows twice", 0, doubled)
    # Without FINAL: it does not merge the elements of a tuple that are read one by one.
    of_series = (
        "SELECT argMax(totals.points, totals.end) AS points FROM {db}.series WHERE here GROUP BY key, kind, writer"
    )
    sql = f"SELECT sum(points) AS points FROM ({of_series})"
    account.note(f"{where['run']} series", model.points, _rows(store, sql, where)[0]["points"])
    names = ("log_rows", "points", "missing")
    newest = ", ".join(f"argMax(totals.{name}, totals.end) AS {name}" for name in names)
    sums = ", ".join(f"sum({name}) AS {name}" for name in names)
    sql = f"SELECT {sums} FROM (SELECT {newest} FROM {{db}}.session_activity WHERE here GROUP BY session)"
    found = tuple(_rows(store, sql, where)[0].values())
    account.note(f"{where['run']} sessions", (model.log_rows, model.points, 0), found)
    extremes_of = "SELECT key, writer, min(value_min) AS low, max(value_max) AS high FROM {db}.series"
    sql = f"{extremes_of} WHERE here AND kind = 'number' GROUP BY key, writer"
    extremes = {(row["key"], row["writer"]): (row["low"], row["high"]) for row in _rows(store, sql, where)}
    for series, at in model.values.get("numbers", {}).items():
        account.note(f"{where['run']} {series}: an extreme is missing", True, _holds(extremes.get(series), at))


def _compare_rollups(account: Account, store: Store, where: Mapping[str, str], model: RunModel) -> None:
    """Compare the rollups with the model's values, at the timestamps of the view, since the model has none."""
    sql = "SELECT key, writer, step, toUnixTimestamp64Milli(timestamp) AS at FROM {db}.numbers WHERE here"
    logged_at = {(row["key"], row["writer"], row["step"]): row["at"] for row in _rows(store, sql, where)}
    wanted: dict[Place, Any] = {}
    for series, at in model.values.get("numbers", {}).items():
        points = {step: Point(_number(pattern), logged_at.get((*series, step), 0)) for step, (pattern, _) in at.items()}
        wanted |= comparable(expected_rollups(series_name(*series), points))
    found = comparable(by_place(_rows(store, f"{ROLLUPS} WHERE here", where)))
    account.rollups += len(wanted)
    for place in sorted(wanted.keys() | found.keys()):
        account.note(f"{where['run']} rollup {place}", wanted.get(place), found.get(place))


def _number(pattern: int) -> float:
    return float(struct.unpack("<d", struct.pack("<q", pattern))[0])


def _holds(extremes: tuple[float, float] | None, at: Mapping[int, tuple[int, str]]) -> bool:
    """Return whether the extremes include all values; they may be wider, since overwritten values count."""
    values = [_number(pattern) for pattern, _ in at.values()]
    there = [value for value in values if not math.isnan(value)]
    return extremes is not None and (not there or (extremes[0] <= min(there) and max(there) <= extremes[1]))
