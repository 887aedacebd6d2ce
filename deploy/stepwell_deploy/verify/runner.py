"""Comparison of one run's journals, log and tables while all of them may be written: the I/O around `compare`.

The log is replayed up to the committed offset of the group. A flush that begins before the tables are read may have
inserted more rows; its steps are known from the log. If such flushes keep coming, their steps are left out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from stepwell.delivery.connection import find_brokers
from stepwell.settings import ProducerSettings
from stepwell_deploy.errors import NotComparableError
from stepwell_deploy.rendering import counted
from stepwell_deploy.service_client import ServiceClient
from stepwell_deploy.verify.compare import (
    Difference,
    Report,
    as_notes,
    compare_journals,
    compare_tables,
    conclude,
    is_complete,
)
from stepwell_deploy.verify.journals import JournalAccount, JournalCheck, check_journal, find_accounts, session_ends
from stepwell_deploy.verify.replay_process import ReplayProcess
from stepwell_ingestor.settings import IngestorSettings
from stepwell_ingestor.verify.fingerprints import (
    NOTHING,
    Ask,
    Bounds,
    Figures,
    Rows,
    read_created,
    read_figures,
    read_removed,
    read_spellings,
    read_step_at,
)
from stepwell_ingestor.verify.replay import LogStart, PendingEvents, Replay
from stepwell_ingestor.verify.session_digest import SessionTally
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.settings import KafkaSettings

# Flushes of an active run are half a second apart.
_QUIET_TRIES: Final = 6
_QUIET_SECONDS: Final = 0.3
_BOUNDED_TRIES: Final = 5
_PARTS: Final = 50
_PART_OFFSETS: Final = 1_000

ReportProgress = Callable[[str, int, int], None]
"""Report what is being done, and how far: offsets done and in total, 0 if that is unknown."""


class ComparedFigures(NamedTuple):
    """Figures of the log and of the tables as of one state of the log, within `bounds`."""

    log: Figures
    tables: Figures
    bounds: Bounds


def ask_store(store: Store) -> Ask:
    """Return the function that queries a ClickHouse directly."""

    def ask(sql: str, parameters: Mapping[str, Any]) -> Rows:
        rows: Rows = store.query(sql, parameters).to_pylist()
        return rows

    return ask


def ask_service(service: ServiceClient) -> Ask:
    """Return the function that queries through a query service."""

    def ask(sql: str, parameters: Mapping[str, Any]) -> Rows:
        answer = service.post("sql", {"sql": sql, "parameters": dict(parameters)}).json()
        names = [column["name"] for column in answer["columns"]]
        return [dict(zip(names, row, strict=True)) for row in answer["rows"]]

    return ask


def find_log() -> IngestorSettings:
    """Return the ingestor's settings from the environment, with the brokers from there or from the service.

    Raises:
        NotConnectedError: when neither names any.
    """
    kafka = asyncio.run(find_brokers(ProducerSettings()))
    return IngestorSettings().model_copy(update={name: getattr(kafka, name) for name in KafkaSettings.model_fields})


def report_nothing(_: str, __: int, ___: int) -> None:
    """Ignore progress."""


def verify_run(
    run: RunPath, settings: IngestorSettings, tables: Ask, journals: Path, progress: ReportProgress = report_nothing
) -> Report:
    """Compare a run's journals in a folder, its log and its tables.

    Raises:
        NotComparableError, ReplayError, KafkaError: when the log can't be compared.
        StoreError, ServiceRefusedError, httpx.HTTPError: when the tables can't be read.
    """
    # Journals are read before the log, so that the log has every record that was sent from them.
    progress("reading journals", 0, 0)
    accounts = find_accounts(journals, run)
    progress("looking for the run's first event in the log", 0, 0)
    with ReplayProcess(settings, run, session_ends(accounts)) as replay:
        beginning = replay.ask(Replay.begin)
        if beginning is None:
            return _without_log(run, replay, tables, accounts)
        created = read_created(tables, run)
        if is_complete(beginning, created):
            return _verify(run, replay, tables, accounts, beginning, None, progress)
        seed = _seed(run, replay, tables, beginning)
        return _verify(run, replay, tables, accounts, beginning, seed, progress)


def _verify(
    run: RunPath,
    replay: ReplayProcess,
    tables: Ask,
    accounts: list[JournalAccount],
    beginning: LogStart,
    kept_step: int | None,
    progress: ReportProgress,
) -> Report:
    first = Bounds().first if kept_step is None else kept_step
    _replay(replay, beginning.offset, progress)
    progress("comparing with the tables", 0, 0)
    figures = _read_both(run, replay, tables, first)
    differences = compare_tables(figures.log, figures.tables)
    progress("reading the rest of the log", 0, 0)
    rest = replay.ask(Replay.rest)
    checks = _check(accounts, rest.sessions, complete=kept_step is None)
    unsent, notes = compare_journals(checks)
    if differences:
        _refuse_scattered(replay, beginning)
    if figures.bounds.own and kept_step is None:
        notes.append("left out: system metrics and console lines, whose steps are counted separately")
    if figures.bounds.last != Bounds().last:
        notes.append(f"left out: steps from {figures.bounds.last + 1:,} on, which are being stored right now")
    if figures.bounds.removed:
        step = max(step for _, step in figures.bounds.removed)
        notes.append(f"left out: rows and rollups before step {step:,}, which the project keeps no longer")
    if rest.behind:
        notes.append(
            f"not ingested yet: {counted(rest.behind, 'event')} of the run, of {rest.behind_all:,} in its partition"
        )
    if rest.deletions:
        dropped = f"; {counted(rest.dropped, 'record')} of it arrived later, and were dropped" if rest.dropped else ""
        notes.append(f"the run was deleted, {counted(rest.deletions, 'time')}{dropped}")
    if rest.unusable:
        notes.append(f"in the dead letters, wholly or partly: {counted(rest.unusable, 'event')} of the run")
    if rest.replaced_times:
        times = counted(rest.replaced_times, "time")
        notes.append(f"stored with the time of the Kafka record: {times} before 1970 or after 2255")
    partly = ""
    if kept_step is not None:
        partly = (
            f"the log begins at offset {beginning.log_begin:,} of partition {beginning.partition}, after the run's "
            f"first event; compared from step {kept_step:,} on: {_outcome(differences)}"
        )
        notes, differences = [*notes, *as_notes(differences)], []
    return conclude(str(run), figures.log, [*differences, *unsent], notes, len(checks), partly)


def _replay(replay: ReplayProcess, begin: int, progress: ReportProgress) -> None:
    """Replay what the group has settled, in parts, after each of which the progress is reported."""
    settled = replay.ask(Replay.reach).settled
    reached = begin
    for end in part_ends(begin, settled):
        progress("replaying the log", reached - begin, settled - begin)
        replay.ask(Replay.store_until, end)
        reached = end


def part_ends(begin: int, end: int) -> list[int]:
    """Return the ends of the parts of a replay from offset `begin` to `end`: 50 at most, since each is inserted."""
    size = max(_PART_OFFSETS, -(-(end - begin) // _PARTS))
    return [*range(begin + size, end, size), end] if end > begin else []


def _outcome(differences: list[Difference]) -> str:
    return "what differs is listed" if differences else "no difference"


def _read_both(run: RunPath, replay: ReplayProcess, tables: Ask, first: int) -> ComparedFigures:
    """Read log and tables until both have the same state, or the steps that are still being stored are known."""
    # A log without its beginning does not have the current step of the `system` and `console` streams.
    removed = read_removed(tables, run)
    all_steps = Bounds(first, own=first != Bounds().first, removed=removed)
    for _ in range(_QUIET_TRIES):
        replay.ask(Replay.store_until, replay.ask(Replay.reach).settled)
        stored, ahead = _stored(run, replay, tables, all_steps)
        if ahead.first_step is None and (all_steps.own or not ahead.beside):
            return ComparedFigures(replay.ask(Replay.figures, all_steps), stored, all_steps)
        time.sleep(_QUIET_SECONDS)
    for _ in range(_BOUNDED_TRIES):
        lowest = ahead.first_step
        bounds = Bounds(first, Bounds().last if lowest is None else lowest - 1, own=True, removed=removed)
        stored, ahead = _stored(run, replay, tables, bounds)
        if ahead.first_step is None or ahead.first_step > bounds.last:
            log = replay.ask(Replay.figures, bounds)
            if not log.series and not stored.series:
                break
            return ComparedFigures(log, stored, bounds)
    raise NotComparableError("steps are being written across the entire run right now; repeat this when it is idle")


def _stored(run: RunPath, replay: ReplayProcess, tables: Ask, bounds: Bounds) -> tuple[Figures, PendingEvents]:
    """Return the tables' figures, and the bounds of what may have changed in them since the replayed part."""
    stored = read_figures(tables, run, bounds)
    begun = replay.ask(Replay.reach).begun
    return stored, replay.ask(Replay.look_ahead, begun)


def _seed(run: RunPath, replay: ReplayProcess, tables: Ask, beginning: LogStart) -> int:
    """Continue the replay of a log without its beginning from the tables' state; return the first step kept."""
    step = read_step_at(tables, run, beginning.timestamp)
    if step is None:
        raise NotComparableError(
            f"the log begins at offset {beginning.log_begin:,} of partition {beginning.partition}, after the run's "
            "first event, and the tables have no point as late as what it still holds"
        )
    replay.ask(Replay.seed, step, read_spellings(tables, run))
    return step


def _check(
    accounts: list[JournalAccount], sessions: Mapping[str, SessionTally], *, complete: bool
) -> list[JournalCheck]:
    checks = (check_journal(account, sessions[account.info.session], complete=complete) for account in accounts)
    return [check for check in checks if check is not None]


def _refuse_scattered(replay: ReplayProcess, beginning: LogStart) -> None:
    """Raise NotComparableError if the run's events are in several partitions, since their order is unknown."""
    others = replay.ask(Replay.elsewhere)
    if others:
        partitions = ", ".join(str(number) for number in sorted([beginning.partition, *others]))
        raise NotComparableError(
            f"the run's events are in the partitions {partitions}, so their order is unknown; every producer of a run "
            "must send to the same one"
        )


def _without_log(run: RunPath, replay: ReplayProcess, tables: Ask, accounts: list[JournalAccount]) -> Report:
    """Compare with a log that has no events of the run."""
    stored = read_figures(tables, run, Bounds())
    there = bool(stored.series) or read_created(tables, run) is not None
    if not there and not accounts:
        raise NotComparableError(f"there is no run {run}: not in the log, nor the tables, nor a journal here")
    if there and not replay.ask(Replay.is_complete_since_start):
        raise NotComparableError("the log no longer has any event of the run")
    checks = _check(accounts, {name: SessionTally(end) for name, end in session_ends(accounts).items()}, complete=True)
    unsent, notes = compare_journals(checks)
    return conclude(str(run), NOTHING, [*compare_tables(NOTHING, stored), *unsent], notes, len(checks))
