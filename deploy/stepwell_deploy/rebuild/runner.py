"""A rebuild from its beginning to the switch: the I/O around `ranges` and `report`.

Everything that a rebuild has done is in its own database, so that it is interrupted by a signal, a crash or ingestors
that still run, and continues when it is called again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from stepwell_deploy.errors import RebuildError
from stepwell_deploy.rebuild.compare import read_cells, read_outlines
from stepwell_deploy.rebuild.databases import SCOPE, Databases, continues_switch, drop, exists, prepare
from stepwell_deploy.rebuild.report import (
    Outcome,
    Outlines,
    RebuildReport,
    RunDifference,
    count_points,
    differing_views,
    known_cells,
    refusal,
    run_difference,
)
from stepwell_deploy.rebuild.switch import exchange_tables, replace_run
from stepwell_ingestor.positions.models import LogPosition
from stepwell_ingestor.positions.stored import TABLE as POSITIONS
from stepwell_ingestor.positions.stored import positions_by_partition
from stepwell_ingestor.rebuild.log_state import LogState, read_log_state
from stepwell_ingestor.rebuild.ranges import (
    ReplayRange,
    describe,
    plan_ranges,
    seed_position,
    stored_ends,
)
from stepwell_ingestor.rebuild.record import RebuildRecord
from stepwell_ingestor.rebuild.replay import Replayed, replay
from stepwell_ingestor.rebuild.unfinished_switch import SUFFIX, SWITCHED, SWITCHING, begin_run_switch
from stepwell_ingestor.settings import IngestorSettings
from stepwell_schemas.clickhouse.store import connect
from stepwell_schemas.migrations.runner import migrate, migrations
from stepwell_schemas.rules.identifiers import RunPath

_GROUP_POLL_SECONDS: Final = 0.5
# The session of a killed ingestor ends after this time, and some.
_GROUP_EXTRA_SECONDS: Final = 5.0


class RebuildRequest(NamedTuple):
    """A rebuild: of one run or of all, from the log's beginning or from an offset of each partition; what to do then.

    Without `switch`, the tables are compared only. `accept_loss`: also replace tables that hold more than the log.
    """

    run: RunPath | None = None
    since: Mapping[int, int] = {}
    switch: bool = False
    accept_loss: bool = False


class Progress(NamedTuple):
    """Callbacks: a line of text, and the number of events that were replayed so far."""

    say: Callable[[str], None]
    replayed: Callable[[int], None]


def rebuild(request: RebuildRequest, settings: IngestorSettings, progress: Progress) -> RebuildReport:
    """Rebuild the tables, compare them, and switch if that is requested and nothing would be lost.

    Raises:
        RebuildError: if the database of the rebuilt tables is needed for something else.
        ReplayError, KafkaError: if the log can't be read.
        StoreError: if ClickHouse can't be reached or refuses.
    """
    dsn = settings.clickhouse_dsn.get_secret_value()
    name = settings.clickhouse_database
    threads = settings.clickhouse_pool_size
    with connect(dsn, name, threads) as present, connect(dsn, name + SUFFIX, threads) as rebuilt:
        databases = Databases(present, rebuilt, RebuildRecord(rebuilt))
        return _rebuild(request, settings, databases, progress)


def discard(settings: IngestorSettings) -> None:
    """Drop the rebuilt tables, or after a switch the previous ones. Raises: RebuildError, StoreError."""
    dsn = settings.clickhouse_dsn.get_secret_value()
    name = settings.clickhouse_database
    with connect(dsn, name, 1) as present, connect(dsn, name + SUFFIX, 1) as rebuilt:
        record = RebuildRecord(rebuilt)
        if not exists(present, rebuilt.database):
            return
        record.open()
        if record.get(SWITCHING) is not None and record.get(SWITCHED) is None:
            raise RebuildError("a switch was interrupted; `stepwell rebuild --switch` completes it first")
        drop(rebuilt)


def _rebuild(
    request: RebuildRequest, settings: IngestorSettings, databases: Databases, progress: Progress
) -> RebuildReport:
    state = asyncio.run(read_log_state(settings))
    known = _positions(settings, databases)
    ranges = _plan(request, settings, state, known)
    for part in ranges:
        progress.say(describe(part))
    if continues_switch(databases):
        progress.say("completing a switch that was interrupted")
        return _switch(settings, databases, RebuildReport(Outcome.SWITCHED, ranges))
    scope = _scope(request, settings, known)
    prepare(scope, databases, ranges, progress.say)
    done = Replayed(0, 0)
    while True:
        seeds = {
            part.partition: seed_position(settings.events_topic, state.log, part, known.get(part.partition))
            for part in ranges
        }
        more = asyncio.run(
            replay(settings, databases.rebuilt, databases.record, ranges, seeds, request.run, progress.replayed)
        )
        done = Replayed(done.events + more.events, done.letters + more.letters)
        state = _idle_state(settings)
        if state.members:
            reason = f"ingestors are running ({state.members}); stop them, and repeat this: it continues where it is"
            return RebuildReport(Outcome.NOT_COMPARABLE, ranges, *done, reason=reason)
        known = _positions(settings, databases)
        now = _plan(request, settings, state, known)
        if _scope(request, settings, known) != scope:
            return RebuildReport(Outcome.NOT_COMPARABLE, ranges, *done, reason="a new epoch has begun; repeat this")
        if _ends(now) == _ends(ranges):
            break
        ranges = now
    return _conclude(request, settings, databases, RebuildReport(Outcome.SAME, ranges, *done))


def _ends(ranges: tuple[ReplayRange, ...]) -> list[int]:
    return [part.last for part in ranges]


def _positions(settings: IngestorSettings, databases: Databases) -> dict[int, LogPosition]:
    """Return the positions of the topic in the present tables, by partition; none if there is no such table yet."""
    if not exists(databases.present, databases.present.database, POSITIONS):
        return {}
    stored = positions_by_partition(databases.present)
    return {place.partition: own for place, own in stored.items() if place.topic == settings.events_topic}


def _plan(
    request: RebuildRequest, settings: IngestorSettings, state: LogState, known: Mapping[int, LogPosition]
) -> tuple[ReplayRange, ...]:
    stored = stored_ends(settings.events_topic, state.log, known.values())
    ranges = plan_ranges(state.partitions, request.since, stored)
    unfinished = [part.partition for part in ranges if part.plan]
    if request.run is not None and unfinished:
        # The ingestors repeat this flush under tokens that the present tables know, so rows of it must not go.
        raise RebuildError(
            f"a flush of partition {unfinished[0]} is unfinished; start the ingestors once, and stop them"
        )
    return ranges


def _scope(request: RebuildRequest, settings: IngestorSettings, known: Mapping[int, LogPosition]) -> dict[str, Any]:
    """Return what the rebuilt tables depend on, as JSON types."""
    return {
        "run": None if request.run is None else str(request.run),
        "topic": settings.events_topic,
        "since": {str(partition): start for partition, start in sorted(request.since.items())},
        "epochs": {str(partition): own.epoch for partition, own in sorted(known.items())},
        "migration": migrations()[-1].number,
    }


def _idle_state(settings: IngestorSettings) -> LogState:
    """Return the state of the log once the group is empty, or with its members if they stay."""
    deadline = time.monotonic() + settings.ingestor_session_seconds + _GROUP_EXTRA_SECONDS
    while (state := asyncio.run(read_log_state(settings))).members and time.monotonic() < deadline:
        time.sleep(_GROUP_POLL_SECONDS)
    return state


def _conclude(
    request: RebuildRequest, settings: IngestorSettings, databases: Databases, report: RebuildReport
) -> RebuildReport:
    """Compare, and switch if that is requested and nothing would be lost."""
    migrate(databases.present)
    before, after = read_outlines(databases.present, request.run), read_outlines(databases.rebuilt, request.run)
    differences = _differences(databases, before, after)
    report = RebuildReport(
        Outcome.DIFFERENT if differences else Outcome.SAME,
        report.log,
        report.events,
        report.dead_letters,
        len(after),
        sum(map(count_points, after.values())),
        tuple(differences),
    )
    if not differences:
        drop(databases.rebuilt)
        return report
    reason = refusal(differences, accept_loss=request.accept_loss)
    if not request.switch or reason:
        return _with(report, Outcome.REFUSED if request.switch else Outcome.DIFFERENT, reason)
    return _switch(settings, databases, report)


def _differences(
    databases: Databases, before: Mapping[RunPath, Outlines], after: Mapping[RunPath, Outlines]
) -> list[RunDifference]:
    differences = []
    for run in sorted(before.keys() | after.keys()):
        present, rebuilt = before.get(run, {}), after.get(run, {})
        if differing_views(present, rebuilt):
            cells = known_cells(present, rebuilt)
            if cells is None:
                cells = read_cells(databases.present, databases.rebuilt.database, run)
            differences.append(run_difference(run, present, rebuilt, cells))
    return differences


def _switch(settings: IngestorSettings, databases: Databases, report: RebuildReport) -> RebuildReport:
    """Switch, or complete a switch that was interrupted."""
    if asyncio.run(read_log_state(settings)).members:
        return _with(report, Outcome.REFUSED, "an ingestor was started meanwhile; stop it, and repeat this")
    scope = databases.record.get(SCOPE)
    if scope["run"] is None:
        exchange_tables(databases.present, databases.rebuilt, databases.record)
        databases.record.put(SWITCHED, True)
    else:
        begin_run_switch(databases.record, scope["run"])
        replace_run(databases.present, databases.rebuilt, RunPath.parse(scope["run"]))
        drop(databases.rebuilt)
    return _with(report, Outcome.SWITCHED, "")


def _with(report: RebuildReport, outcome: Outcome, reason: str) -> RebuildReport:
    return RebuildReport(**{**vars(report), "outcome": outcome, "reason": reason})
