"""Expected tables after a schedule: the complete log planned as one flush, and an independent model of it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from unittest.mock import patch

from aiokafka import TopicPartition

from reliability.simulation.broker import Broker
from reliability.simulation.model import RunModel, bits
from reliability.simulation.rollups import differences
from reliability.simulation.rows import Row, deletions, newest_totals, python_rows, row_offset, run_of
from reliability.simulation.shortcuts import RememberingCodec, shortcuts
from reliability.simulation.workload import Entry
from stepwell_ingestor.messages import DeadLetter, receive_all
from stepwell_ingestor.planner import plan as planning
from stepwell_ingestor.planner.plan import plan_flush
from stepwell_ingestor.planner.rollups.plan import RollupPlan
from stepwell_ingestor.planner.run_state import RunState
from stepwell_ingestor.planner.state_rows import ABSENT
from stepwell_schemas.clickhouse.run_rows import TABLES as ROW_TABLES

Tables = Mapping[str, Sequence[Row]]
Cells = Counter[tuple[Any, ...]]

POINTS: Final = ("points_number", "points_string", "points_bool", "points_other")
_RUN: Final = ("entity", "project", "run_id")
_SHOWN: Final = 4
# Columns that a flush without any such value leaves out.
_OMITTED: Final = {"exact", "writer"}
# Tables whose rows are a function of the log alone.
_WHOLE: Final = (*POINTS, "step_conflict_log", "key_spellings")
# Tables with a row for each flush: columns of the newest row of a key.
_NEWEST: Final = {
    "run_states": (("scope", "name"), "offset", ("number",)),
    "run_documents": (
        (),
        "version",
        ("config", "summary", "state", "exit_code", "created_at", "started_at", "version"),
    ),
}
# Tables whose rows are merged: aggregations of their columns.


def _current(totals: Iterable[Row]) -> Row:
    """Return the totals that hold, without their end and those before it, which depend on the division into flushes."""
    newest = newest_totals(totals)
    return {name: value for name, value in newest.items() if name != "end" and not name.startswith("previous_")}


_ADDED: Final[Mapping[str, tuple[tuple[str, ...], Mapping[str, Callable[..., Any]]]]] = {
    "series": (
        ("key", "kind", "writer"),
        {
            "first_step": min, "last_step": max, "rewritten": max, "first_version": min, "value_min": min,
            "value_max": max, "last_offset": max, "totals": _current,
        },
    ),
    "run_activity": (
        (),
        {"first_timestamp": min, "last_timestamp": max, "last_step": max, "last_offset": max, "totals": _current},
    ),
    "session_activity": (
        ("session",),
        {"writer": max, "next_sequence": max, "last_offset": max, "totals": _current, "content": _current},
    ),
}  # fmt: skip


class Differences(NamedTuple):
    """Differences as text, and the numbers of points that are missing, stored twice, or were never logged."""

    points: int
    lost: int
    doubled: int
    problems: list[str]


def compare(
    found: Tables, broker: Broker, entries: Sequence[Entry], levels: Sequence[int], *, repeats: bool = False
) -> Differences:
    """Compare the stored rows and the dead letters with the log; `repeats`: inserts may have been stored repeatedly."""
    # Rollups are compared with the stored points.
    with shortcuts(), patch.object(planning, "plan_rollups", lambda *_: RollupPlan(())):
        wanted, dead = _planned_at_once(broker)
    found = _swept(found)
    lost, doubled, problems = Counter[str](), Counter[str](), list[str]()
    for table in _WHOLE:
        have, want = _cells(found.get(table, ())), _cells(wanted[table])
        if repeats:
            have = Counter(set(have))
        _note(problems, f"{table}: lost", want - have)
        _note(problems, f"{table}: doubled or invented", have - want)
        lost[table], doubled[table] = (want - have).total(), (have - want).total()
    for table in (*_NEWEST, *_ADDED):
        summary = _newest if table in _NEWEST else _added
        _difference(problems, table, summary(table, wanted[table]), summary(table, found.get(table, ())))
    for table, (key, version, _) in _NEWEST.items():
        rows = Counter(tuple(row[name] for name in (*_RUN, *key, version)) for row in found.get(table, ()))
        twice = Counter({row: count for row, count in rows.items() if count > 1 and not repeats})
        _note(problems, f"{table}: rows twice", twice)
    problems += _against_model(found, entries)
    rollups = differences(found.get("rollups", ()), found.get("points_number", ()), levels)
    if rollups:
        problems.append(f"{len(rollups)} rollups differ: {rollups[:_SHOWN]}"[:2_000])
    problems += _buried(broker, dead, entries)
    points = sum(len(wanted[table]) for table in POINTS)
    return Differences(points, sum(lost[t] for t in POINTS), sum(doubled[t] for t in POINTS), problems)


def _swept(tables: Tables) -> Tables:
    """Return tables without the rows that frozen ingestors inserted after their run was deleted, as after a sweep."""
    deleted = deletions(tables.get("run_states", ()))
    return {
        table: [row for row in rows if table not in ROW_TABLES or row_offset(row, table) >= deleted.get(run_of(row), 0)]
        for table, rows in tables.items()
    }


def _planned_at_once(broker: Broker) -> tuple[dict[str, list[Row]], dict[TopicPartition, list[DeadLetter]]]:
    tables: dict[str, list[Row]] = defaultdict(list)
    dead: dict[TopicPartition, list[DeadLetter]] = {}
    for partition, log in broker.logs.items():
        received, unreadable = receive_all(RememberingCodec(), log.messages)
        plan = plan_flush(received, unreadable, {item.path: RunState() for item in received}, log.settled_at or 0)
        dead[partition] = plan.dead
        for table, rows in plan.tables.items():
            tables[table] += python_rows(table, rows)
    return tables, dead


def _cells(rows: Iterable[Row]) -> Cells:
    return Counter(
        tuple((name, _hashable(row[name])) for name in sorted(row) if name not in _OMITTED or row[name]) for row in rows
    )


def _hashable(value: Any) -> Any:
    return ("bits", bits(value)) if isinstance(value, float) else value


def _newest(table: str, rows: Iterable[Row]) -> dict[tuple[Any, ...], Any]:
    key, version, shown = _NEWEST[table]
    newest: dict[tuple[Any, ...], Row] = {}
    for row in sorted(rows, key=lambda row: int(row[version])):
        newest[tuple(row[name] for name in (*_RUN, *key))] = row
    # Compared as objects, since the order of a document's entries depends on how the log was split into flushes.
    texts = {"config", "summary"}
    return {
        place: [json.loads(row[name]) if name in texts else row[name] for name in shown]
        for place, row in newest.items()
        # A number that is gone, if several flushes wrote and removed it.
        if row.get("number") != ABSENT
    }


def added_up(table: str, tables: Tables) -> dict[tuple[Any, ...], Any]:
    """Return the numbers of a table whose rows are added up, by run and further key columns."""
    return _added(table, tables.get(table, ()))


def _added(table: str, rows: Iterable[Row]) -> dict[tuple[Any, ...], Any]:
    key, columns = _ADDED[table]
    by_key: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        by_key[tuple(row[name] for name in (*_RUN, *key))].append(row)
    added: dict[tuple[Any, ...], Any] = {
        place: {name: add(row[name] for row in parts) for name, add in columns.items()}
        for place, parts in by_key.items()
    }
    if table == "series":
        for place, parts in by_key.items():
            added[place]["last"] = [_last(parts, "last_number"), _last(parts, "last_text")]
    return added


def _last(parts: Sequence[Row], column: str) -> list[Any]:
    last = max((part[column] for part in parts), key=lambda last: (last["step"], last["version"]))
    return [_hashable(value) for value in last.values()]


def _against_model(found: Tables, entries: Sequence[Entry]) -> list[str]:
    """Compare the public views with the model of each run."""
    models: dict[tuple[str, str, str], RunModel] = defaultdict(RunModel)
    for entry in entries:
        if entry.records or entry.deleted is not None:
            models[entry.path] = entry.tell(models[entry.path])
    problems: list[str] = []
    values = _shown_values(found)
    activity = _added("run_activity", found.get("run_activity", ()))
    sessions = _added("session_activity", found.get("session_activity", ()))
    documents = _newest("run_documents", found.get("run_documents", ()))
    # As the view shows them: a row with the same version once.
    logged = {(run_of(row), row["version"]): row for row in found.get("step_conflict_log", ())}
    conflicts = Counter((run, row["writer"], row["asked_step"], row["step"]) for (run, _), row in logged.items())
    for run, model in models.items():
        wanted = {(*run, *series, step): value for series, at in model.values.items() for step, value in at.items()}
        have = {place: value for place, value in values.items() if place[:3] == run}
        _difference(problems, f"model of {run[2]}: values", wanted, have)
        mine = Counter({row[1:]: count for row, count in conflicts.items() if row[0] == run})
        _difference(problems, f"model of {run[2]}: conflicts", Counter(model.conflicts), mine)
        if not model.exists:
            _difference(problems, f"{run[2]} is deleted", [None, None], [documents.get(run), activity.get(run)])
            continue
        counts = {
            "log_rows": model.log_rows, "points": model.points, "conflicts": len(model.conflicts),
            "repeated": model.repeated, "missing": model.missing,
        }  # fmt: skip
        _difference(problems, f"model of {run[2]}: counts", counts, activity.get(run, {}).get("totals", {}))
        reached = {place[3]: parts["next_sequence"] for place, parts in sessions.items() if place[:3] == run}
        _difference(problems, f"model of {run[2]}: sessions", model.sessions, reached)
        config, _, state, *_ = documents.get(run, [None] * 3)
        _difference(problems, f"model of {run[2]}: document", [model.config, model.state], [config, state])
    return problems


def _shown_values(found: Tables) -> dict[tuple[Any, ...], Any]:
    """Return the rows of the public views: for each writer and step, the value with the newest version."""
    shown: dict[tuple[Any, ...], Any] = {}
    for table in POINTS:
        kind = table.removeprefix("points_")
        for row in sorted(found.get(table, ()), key=lambda row: int(row["version"])):
            value = (bits(row["value"]), row.get("exact", "")) if kind == "number" else row["value"]
            shown[(*run_of(row), kind, row["key"], row.get("writer", ""), row["step"])] = value
    return shown


def _buried(
    broker: Broker, wanted: Mapping[TopicPartition, Sequence[DeadLetter]], entries: Sequence[Entry]
) -> list[str]:
    """Compare the dead letters: each at least once, byte for byte, and no others."""
    problems: list[str] = []
    have = {
        (record.headers["partition"], record.headers["offset"], record.headers["reason"], record.value, record.key)
        for record in broker.dead_letters
    }
    want = {
        (
            str(partition.partition),
            str(letter.message.offset),
            str(letter.reason),
            letter.message.value,
            letter.message.key,
        )
        for partition, letters in wanted.items()
        for letter in letters
    }
    _difference(problems, "dead letters", want, have)
    _difference(problems, "dead letters of the model", sum(entry.dead for entry in entries), len(want))
    return problems


def _note(problems: list[str], what: str, cells: Counter[Any]) -> None:
    if cells:
        problems.append(f"{what} {cells.total()}: {list(cells)[:_SHOWN]}")


def _difference(problems: list[str], what: str, wanted: Any, found: Any) -> None:
    if wanted == found or repr(wanted) == repr(found):
        return
    if isinstance(wanted, dict) and isinstance(found, dict):
        missing = object()
        places = [
            place for place in wanted | found if repr(wanted.get(place, missing)) != repr(found.get(place, missing))
        ]
        if not places:
            return
        wanted, found = ({place: part.get(place) for place in places[:_SHOWN]} for part in (wanted, found))
    elif isinstance(wanted, set):
        wanted, found = wanted - found, found - wanted
    problems.append(f"{what}: wanted {wanted}, found {found}"[:2_000])
