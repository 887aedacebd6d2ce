"""Verdicts of a comparison: the same, different, or not comparable."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from stepwell.journal.format import JournalInfo
from stepwell_deploy.verify.compare import (
    Difference,
    Verdict,
    as_notes,
    compare_journals,
    compare_tables,
    conclude,
    is_complete,
    not_comparable,
)
from stepwell_deploy.verify.journals import JournalAccount, JournalCheck
from stepwell_deploy.verify.runner import part_ends
from stepwell_ingestor.verify.fingerprints import (
    NOTHING,
    ConflictFigures,
    Figures,
    MetricFigures,
    RollupFigures,
    SeriesFigures,
)
from stepwell_ingestor.verify.replay import LogStart
from stepwell_ingestor.verify.session_digest import Tally

LOSS = ("loss", "number")


def stored(
    series: SeriesFigures | None = None,
    metric: MetricFigures | None = None,
    conflicts: ConflictFigures | None = None,
    rollups: RollupFigures | None = None,
) -> Figures:
    """Return figures of one series; those that are not given agree."""
    return Figures(
        {LOSS: series or SeriesFigures(10, 0, 9, 77)},
        {LOSS: metric or MetricFigures(10, 0, 9)},
        conflicts or ConflictFigures(2, 5),
        {("loss", 7): rollups or RollupFigures(3, 9)},
    )


def test_what_agrees_differs_in_nothing() -> None:
    assert compare_tables(stored(), stored()) == []


@pytest.mark.parametrize(
    ("tables", "found"),
    [
        (stored(SeriesFigures(9, 0, 9, 70)), [Difference(*LOSS, "points", None, 10, 9)]),
        (
            stored(SeriesFigures(9, 1, 8, 70)),
            [
                Difference(*LOSS, "points", None, 10, 9),
                Difference(*LOSS, "first step", None, 0, 1),
                Difference(*LOSS, "last step", None, 9, 8),
            ],
        ),
        (
            stored(SeriesFigures(10, 0, 9, 78)),
            [Difference(*LOSS, "steps, values or timestamps", None, f"{77:016x}", f"{78:016x}")],
        ),
        (stored(metric=MetricFigures(20, 0, 9)), [Difference(*LOSS, "count in metrics", None, 10, 20)]),
        (stored(metric=MetricFigures(10, 0, 8)), [Difference(*LOSS, "last step in metrics", None, 9, 8)]),
        (stored(metric=MetricFigures(10, 1, 9)), [Difference(*LOSS, "first step in metrics", None, 0, 1)]),
        (stored(rollups=RollupFigures(2, 9)), [Difference(*LOSS, "buckets of 128 steps", None, 3, 2)]),
        (
            stored(rollups=RollupFigures(3, 10)),
            [Difference(*LOSS, "what buckets of 128 steps say", None, f"{9:016x}", f"{10:016x}")],
        ),
        (stored(conflicts=ConflictFigures(1, 5)), [Difference("", "", "step conflicts", None, 2, 1)]),
        (
            stored(conflicts=ConflictFigures(2, 6)),
            [Difference("", "", "what step conflicts say", None, f"{5:016x}", f"{6:016x}")],
        ),
    ],
)
def test_each_thing_that_differs_is_one_line(tables: Figures, found: list[Difference]) -> None:
    assert compare_tables(stored(), tables) == found


def test_a_series_on_one_side_only_is_named_on_either() -> None:
    points, counts = compare_tables(stored(), NOTHING)[:2]
    assert (points.what, points.log, points.tables) == ("points", 10, 0)
    assert (counts.what, counts.log, counts.tables) == ("count in metrics", 10, None)
    assert compare_tables(NOTHING, stored())[0] == Difference(*LOSS, "points", None, 0, 10)


def test_the_metrics_are_left_out_where_only_some_steps_are_compared() -> None:
    part = stored()._replace(metrics=None)
    assert compare_tables(part, part) == []
    assert compare_tables(part, stored(SeriesFigures(9, 0, 9, 70))._replace(metrics=None)) != []


def begun(**changes: Any) -> LogStart:
    """Return the beginning of a log whose first offsets were removed."""
    return LogStart(0, 5, 7, 1_000, 0)._replace(**changes)


@pytest.mark.parametrize(
    ("beginning", "created", "complete"),
    [
        (begun(log_begin=0, sequence=4), 1, True),
        (begun(), 1_000, True),
        (begun(sequence=-1), 1_000, True),
        (begun(), None, True),
        (begun(), 999, False),
        (begun(sequence=3), 1_000, False),
        (begun(sequence=3), None, False),
    ],
)
def test_a_log_is_complete_when_it_has_the_first_event(
    beginning: LogStart, created: int | None, complete: bool
) -> None:
    assert is_complete(beginning, created) is complete


def checked(*, living: bool = False, damage: str = "", **changes: Any) -> JournalCheck:
    """Return a journal of 10 records, which are all in the log."""
    account = JournalAccount(Path("j.journal"), JournalInfo("e", "p", "r", "s", ""), 10, living, damage)
    return JournalCheck(account, {LOSS: Tally(10, 3)}, {LOSS: Tally(10, 3)}, {}, 10)._replace(**changes)


def test_a_journal_that_arrived_whole_is_no_difference() -> None:
    assert compare_journals([checked()]) == ([], [])


def test_what_was_not_sent_is_a_difference_only_when_nobody_will() -> None:
    late: dict[str, Any] = {"following": 8, "pending": {LOSS: Tally(2, 1)}}
    left, _ = compare_journals([checked(**late)])
    assert left == [
        Difference("", "", "records of session s", 10, 8),
        Difference(*LOSS, "points not sent", 2),
    ]
    found, notes = compare_journals([checked(living=True, **late)])
    assert (found, notes) == ([], ["session s is still open: 2 records of its journal not sent yet"])


def test_what_the_log_has_otherwise_is_a_difference() -> None:
    fewer, _ = compare_journals([checked(logged={LOSS: Tally(9, 1)})])
    other, _ = compare_journals([checked(logged={LOSS: Tally(10, 4)})])
    more, _ = compare_journals([checked(logged={LOSS: Tally(10, 3), ("x", "bool"): Tally(1, 1)}, living=True)])
    assert fewer == [Difference(*LOSS, "points logged", 10, 9)]
    assert other == [Difference(*LOSS, "values logged", f"{3:016x}", f"{4:016x}")]
    assert more == [Difference("x", "bool", "points logged", 0, 1)]


def test_a_damaged_journal_is_a_difference() -> None:
    ((one,), _) = compare_journals([checked(damage="damaged at byte 9")])
    assert (one.what, one.journal) == ("the journal of session s", "damaged at byte 9")


def test_reports_say_what_was_compared() -> None:
    same = conclude("e/p/r", stored(), [], ["a note"], 0)
    assert (same.verdict, same.exit_code, str(same)) == (
        Verdict.SAME, 0, "the same: 10 points of 1 series, log and tables"
    )  # fmt: skip
    assert str(conclude("e/p/r", stored(), [], [], 2)).endswith("journal, log and tables")
    one = conclude("e/p/r", stored(), [Difference(*LOSS, "points", None, 10, 9)], [], 0)
    assert (one.exit_code, str(one)) == (1, "different: 1 difference between log and tables")
    partly = conclude("e/p/r", stored(), [], [], 0, partly="half is gone")
    assert (partly.exit_code, str(partly)) == (2, "could not compare: half is gone")
    assert not_comparable("e/p/r", "no Kafka").exit_code == 2
    assert json.loads(json.dumps(one.as_json()))["differences"][0]["log"] == 10


def test_points_that_receipts_do_not_count_are_a_note() -> None:
    side = {
        ("system/cpu", "number"): SeriesFigures(7, 0, 6, 1),
        ("console/stdout", "string"): SeriesFigures(4, 0, 3, 2),
    }
    figures = stored()._replace(series={LOSS: SeriesFigures(10, 0, 9, 77), **side})
    report = conclude("e/p/r", figures, [], ["before"], 0)
    assert report.points == 21
    assert [re.findall(r"\d+", note) for note in report.notes] == [[], ["11", "2"]]
    assert conclude("e/p/r", stored(), [], [], 0).notes == ()


@pytest.mark.parametrize(
    ("begin", "end", "parts"),
    [(5, 5, []), (5, 3, []), (5, 6, [6]), (0, 1_000, [1_000]), (7, 2_008, [1_007, 2_007, 2_008])],
)
def test_a_replay_is_done_in_parts(begin: int, end: int, parts: list[int]) -> None:
    assert part_ends(begin, end) == parts


def test_a_long_replay_has_few_parts() -> None:
    ends = part_ends(3, 10_000_003)
    assert (len(ends), ends[0], ends[-1]) == (50, 200_003, 10_000_003)


def test_a_difference_that_is_certain_counts_beside_what_can_not_be_compared() -> None:
    unsent = [Difference(*LOSS, "points not sent", 2)]
    report = conclude("e/p/r", stored(), unsent, [], 1, partly="half is gone")
    assert (report.exit_code, report.notes) == (1, ("half is gone",))


def test_what_may_be_a_difference_becomes_a_note() -> None:
    found = [Difference(*LOSS, "points", None, 1_000, None), Difference("", "", "step conflicts", None, 1, 0)]
    assert as_notes(found) == [
        "not comparable: loss number points: 1,000 in the log from there on, nothing in the tables",
        "not comparable: the run step conflicts: 1 in the log from there on, 0 in the tables",
    ]
