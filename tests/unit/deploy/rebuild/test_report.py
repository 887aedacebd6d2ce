"""The decisions of a rebuild: what differs, what would be lost, and which tables are exchanged."""

from __future__ import annotations

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from stepwell_deploy.cli.commands.rebuild import parse_since
from stepwell_deploy.rebuild.report import (
    Cells,
    Outcome,
    Outline,
    RebuildReport,
    differing_views,
    known_cells,
    refusal,
    run_difference,
)
from stepwell_deploy.rebuild.switch import run_tables, tables_to_exchange
from stepwell_ingestor.rebuild.ranges import ReplayRange
from stepwell_schemas.rules.identifiers import RunPath

RUN = RunPath("me", "p", "run")
FULL = {"numbers": Outline(10, 1), "runs": Outline(1, 2), "step_conflicts": Outline(2, 3)}


def test_equal_outlines_do_not_differ() -> None:
    assert differing_views(FULL, dict(FULL)) == ()
    assert differing_views(FULL, {**FULL, "strings": Outline(0, 0)}) == ()


def test_each_view_that_differs_is_named() -> None:
    assert differing_views(FULL, {**FULL, "numbers": Outline(10, 9), "metrics": Outline(1, 1)}) == (
        "metrics",
        "numbers",
    )


def test_rows_are_compared_only_where_both_have_values_that_differ() -> None:
    assert known_cells({}, FULL) == Cells(0, 10, 0)
    assert known_cells(FULL, {}) == Cells(10, 0, 0)
    assert known_cells(FULL, {**FULL, "runs": Outline(1, 5)}) == Cells(0, 0, 0)
    assert known_cells(FULL, {**FULL, "numbers": Outline(10, 9)}) is None


@pytest.mark.parametrize(
    ("rebuilt", "cells", "fewer"),
    [
        (FULL, Cells(0, 0, 3), False),
        (FULL, Cells(0, 7, 0), False),
        (FULL, Cells(1, 9, 0), True),
        ({**FULL, "runs": Outline(0, 0)}, Cells(0, 0, 0), True),
        ({**FULL, "step_conflicts": Outline(1, 1)}, Cells(0, 0, 0), True),
        # A count in `runs` that is lower is no loss: it may have been counted twice.
        ({**FULL, "runs": Outline(1, 9)}, Cells(0, 0, 0), False),
    ],
)
def test_a_value_a_conflict_or_a_run_that_is_missing_is_a_loss(
    rebuilt: dict[str, Outline], cells: Cells, fewer: bool
) -> None:
    difference = run_difference(RUN, FULL, rebuilt, cells)
    assert difference.fewer is fewer
    assert bool(refusal([difference], accept_loss=False)) is fewer
    assert refusal([difference], accept_loss=True) == ""


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Outcome.SAME, 0),
        (Outcome.SWITCHED, 0),
        (Outcome.DIFFERENT, 1),
        (Outcome.REFUSED, 1),
        (Outcome.NOT_COMPARABLE, 2),
    ],
)
def test_exit_codes(outcome: Outcome, code: int) -> None:
    report = RebuildReport(outcome, (ReplayRange(0, 0, 5, "7"),))
    assert report.exit_code == code
    found = report.as_json()
    assert (found["outcome"], found["log"][0]["last"]) == (str(outcome), 7)


@given(st.dictionaries(st.text(max_size=3), st.uuids().map(str)), st.integers(0, 10))
def test_an_interrupted_exchange_is_completed_and_nothing_is_exchanged_back(rebuilt: dict[str, str], done: int) -> None:
    present = dict.fromkeys(rebuilt, "present")
    for name in tables_to_exchange(rebuilt, present)[:done]:
        present[name] = rebuilt[name]
    for name in tables_to_exchange(rebuilt, present):
        assert present[name] == "present"
        present[name] = rebuilt[name]
    assert present == rebuilt
    assert tables_to_exchange(rebuilt, present) == []


def test_activity_is_exchanged_after_the_rows_of_runs_and_the_positions_of_the_log_last() -> None:
    wanted = dict.fromkeys(["series", "log_positions", "run_activity", "points_number", "session_activity"], "new")
    assert tables_to_exchange(wanted, {})[-2:] == ["run_activity", "log_positions"]


def test_tables_that_views_fill_are_replaced_after_their_source() -> None:
    names = ["run_activity", "run_values", "run_texts", "run_documents", "series", "schema_migrations", "audit_events"]
    filled = ["run_texts", "run_values"]
    assert run_tables([*names, "log_positions"], names) == ["run_documents", "series", *filled, "run_activity"]


def test_offsets_are_read_by_partition() -> None:
    assert parse_since(["0:12", "3:0"]) == {0: 12, 3: 0}
    for text in ("12", "a:1", "0:-1", "0:"):
        with pytest.raises(typer.BadParameter):
            parse_since([text])
