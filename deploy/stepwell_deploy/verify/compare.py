"""Comparison of a run's journals, log and tables, without I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

from stepwell.delivery.set_aside import set_aside_path
from stepwell_deploy.rendering import counted
from stepwell_deploy.verify.journals import JournalCheck
from stepwell_ingestor.verify.fingerprints import Figures, RollupFigures, RollupKey, SeriesKey
from stepwell_ingestor.verify.replay import LogStart
from stepwell_ingestor.verify.session_digest import Tallies, Tally
from stepwell_schemas.rules.kinds import Kind
from stepwell_schemas.rules.streams import STREAMS

DifferenceValue = int | str | None


class Verdict(StrEnum):
    """Result of a comparison."""

    SAME = "same"
    DIFFERENT = "different"
    NOT_COMPARABLE = "not comparable"


EXIT_CODES: Final = {Verdict.SAME: 0, Verdict.DIFFERENT: 1, Verdict.NOT_COMPARABLE: 2}


@dataclass(frozen=True)
class Difference:
    """One difference: its key and kind ("" for the run itself), and the value in each source (None: no value).

    Digests are hexadecimal.
    """

    key: str
    kind: str
    what: str
    journal: DifferenceValue = None
    log: DifferenceValue = None
    tables: DifferenceValue = None


@dataclass(frozen=True)
class Report:
    """The report of a comparison.

    `points` and `series` were compared between log and tables; `journals` were compared with the log. `notes` list what
    was left out. `reason` is the reason for which there is no verdict, and "" if there is one.
    """

    run: str
    verdict: Verdict
    points: int = 0
    series: int = 0
    journals: int = 0
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()
    reason: str = ""

    @property
    def exit_code(self) -> int:
        """0 same, 1 different, 2 could not compare."""
        return EXIT_CODES[self.verdict]

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON types."""
        return asdict(self) | {"verdict": str(self.verdict)}

    def __str__(self) -> str:
        sources = "journal, log and tables" if self.journals else "log and tables"
        points = f"{counted(self.points, 'point')} of {self.series:,} series"
        match self.verdict:
            case Verdict.SAME:
                return f"the same: {points}, {sources}"
            case Verdict.DIFFERENT:
                return f"different: {counted(len(self.differences), 'difference')} between {sources}"
            case Verdict.NOT_COMPARABLE:
                return f"could not compare: {self.reason}"


def not_comparable(run: str, reason: str) -> Report:
    """Return the report of a comparison that could not be made."""
    return Report(run, Verdict.NOT_COMPARABLE, reason=reason)


def is_complete(beginning: LogStart, created: int | None) -> bool:
    """Return whether the log still has all events of the run from the first one on.

    `created` is the timestamp of the run's first event in the tables, in milliseconds since the epoch; None if the
    tables do not have the run.
    """
    if beginning.log_begin == 0:
        return True
    return beginning.sequence <= 0 and created in {None, beginning.timestamp}


def compare_tables(log: Figures, tables: Figures) -> list[Difference]:
    """Return the differences between the log and the tables."""
    differences = [
        difference
        for name in sorted(log.series.keys() | tables.series.keys())
        for difference in _series(name, log, tables)
    ]
    if log.metrics is not None and tables.metrics is not None:
        for name in sorted(log.metrics.keys() | tables.metrics.keys()):
            differences += _metric(name, log, tables)
    if log.rollups is not None and tables.rollups is not None:
        for rollup_key in sorted(log.rollups.keys() | tables.rollups.keys()):
            differences += _rollups(rollup_key, log.rollups, tables.rollups)
    left, right = log.conflicts, tables.conflicts
    if left.calls != right.calls:
        differences.append(Difference("", "", "step conflicts", log=left.calls, tables=right.calls))
    elif left != right:
        differences.append(
            Difference("", "", "what step conflicts say", log=_hex(left.digest), tables=_hex(right.digest))
        )
    return differences


def _series(name: SeriesKey, log: Figures, tables: Figures) -> Iterator[Difference]:
    left, right = log.series.get(name), tables.series.get(name)
    if left is None or right is None:
        points = [0 if side is None else side.points for side in (left, right)]
        yield Difference(*name, "points", log=points[0], tables=points[1])
        return
    plain = (("points", "points"), ("first step", "first_step"), ("last step", "last_step"))
    differing = [
        Difference(*name, what, log=getattr(left, field), tables=getattr(right, field))
        for what, field in plain
        if getattr(left, field) != getattr(right, field)
    ]
    yield from differing
    if not differing and left.digest != right.digest:
        yield Difference(*name, "steps, values or timestamps", log=_hex(left.digest), tables=_hex(right.digest))


def _metric(name: SeriesKey, log: Figures, tables: Figures) -> Iterator[Difference]:
    left, right = (log.metrics or {}).get(name), (tables.metrics or {}).get(name)
    for what, field in (
        ("count in metrics", "points"),
        ("first step in metrics", "first_step"),
        ("last step in metrics", "last_step"),
    ):
        values = [None if side is None else getattr(side, field) for side in (left, right)]
        if values[0] != values[1]:
            yield Difference(*name, what, log=values[0], tables=values[1])


def _rollups(
    rollup_key: RollupKey, log: Mapping[RollupKey, RollupFigures], tables: Mapping[RollupKey, RollupFigures]
) -> Iterator[Difference]:
    left, right = (side.get(rollup_key, RollupFigures()) for side in (log, tables))
    key, level = rollup_key
    if left.buckets != right.buckets:
        yield Difference(key, Kind.NUMBER, f"buckets of {1 << level:,} steps", log=left.buckets, tables=right.buckets)
    elif left != right:
        sides = {"log": _hex(left.digest), "tables": _hex(right.digest)}
        yield Difference(key, Kind.NUMBER, f"what buckets of {1 << level:,} steps say", **sides)


def compare_journals(checks: Iterable[JournalCheck]) -> tuple[list[Difference], list[str]]:
    """Return the differences between the journals and the log, and notes.

    Records that an open session has not sent yet are noted. Records of an ended session that were not sent are a
    difference, since only a sync would send them.
    """
    differences: list[Difference] = []
    notes: list[str] = []
    for check in checks:
        session, account = check.account.info.session, check.account
        differences += _tallied(check.held, check.logged)
        if account.set_aside:
            kept = counted(len(account.set_aside), "record")
            notes.append(
                f"session {session}: {kept} could not be delivered, and left out: {set_aside_path(account.path)}"
            )
        waiting = account.records - check.following
        if waiting > 0 and account.living:
            notes.append(f"session {session} is still open: {counted(waiting, 'record')} of its journal not sent yet")
        elif waiting > 0:
            what = f"records of session {session}"
            differences.append(Difference("", "", what, journal=account.records, log=check.following))
            differences += [
                Difference(*name, "points not sent", journal=tally.points)
                for name, tally in sorted(check.pending.items())
            ]
        if account.damage:
            differences.append(Difference("", "", f"the journal of session {session}", journal=account.damage))
    return differences, notes


def _tallied(held: Tallies, logged: Tallies) -> Iterator[Difference]:
    for name in sorted(held.keys() | logged.keys()):
        left, right = held.get(name, Tally()), logged.get(name, Tally())
        if left.points != right.points:
            yield Difference(*name, "points logged", journal=left.points, log=right.points)
        elif left != right:
            yield Difference(*name, "values logged", journal=_hex(left.digest), log=_hex(right.digest))


def conclude(
    run: str,
    log: Figures,
    differences: Sequence[Difference],
    notes: Sequence[str],
    journals: int,
    partly: str = "",
) -> Report:
    """Return the report; `partly` is the reason for which only a part of the run could be compared, "" if all was."""
    points = sum(series.points for series in log.series.values())
    verdict = Verdict.NOT_COMPARABLE if partly else Verdict.SAME
    notes = [*notes, *side_points_note(log)]
    if differences:
        verdict, notes = Verdict.DIFFERENT, [*notes, *([partly] if partly else [])]
    return Report(run, verdict, points, len(log.series), journals, tuple(differences), tuple(notes), partly)


def side_points_note(log: Figures) -> list[str]:
    """Return the note on the points that the report counts and a receipt does not, if there are any."""
    side = [series.points for (key, _), series in log.series.items() if key.partition("/")[0] in STREAMS]
    if not side:
        return []
    return [
        f"{counted(sum(side), 'point')} of {len(side):,} series are system metrics and console lines, "
        "which receipts do not count"
    ]


def as_notes(differences: Iterable[Difference]) -> list[str]:
    """Return notes for disagreements that the log is too incomplete to confirm as differences."""
    return [
        f"not comparable: {difference.key or 'the run'} "
        f"{difference.kind}{' ' if difference.kind else ''}{difference.what}: "
        f"{_plain(difference.log)} in the log from there on, {_plain(difference.tables)} in the tables"
        for difference in differences
    ]


def _plain(value: DifferenceValue) -> str:
    return "nothing" if value is None else f"{value:,}" if isinstance(value, int) else value


def _hex(digest: int) -> str:
    return f"{digest:016x}"
