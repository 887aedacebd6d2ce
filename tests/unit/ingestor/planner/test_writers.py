"""Writers of one run: values of one key at one step are kept apart, however they are interleaved and flushed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stepwell_ingestor.planner.plan import FlushPlan
from stepwell_schemas.events.models import Block, LogBatch, LogEvent
from stepwell_schemas.rules.kinds import Kind
from support.factories.numbers import with_values
from support.factories.plans import PATH, flushed, received

WRITERS = ("", "rank0", "rank1", "rank1.2", "fork-7")
Cells = dict[tuple[str, str, int], float]

logged = st.lists(
    st.tuples(st.sampled_from(WRITERS), st.sampled_from(["loss", "acc"]), st.integers(0, 9), st.floats(-9, 9)),
    max_size=30,
)
cuts = st.lists(st.integers(0, 30), max_size=4)


def events_of(calls: Sequence[tuple[str, str, int, float]]) -> list[LogBatch]:
    """Return a batch for each call, at the step that it requests, as a session with final steps sends it."""
    sequences: dict[str, int] = {}
    events = []
    for writer, key, step, value in calls:
        sequence = sequences[writer] = sequences.get(writer, -1) + 1
        block = Block(
            kind=Kind.NUMBER, keys=[key], rows=np.zeros(1, "<u4").tobytes(), packed=np.array([value]).tobytes()
        )
        events.append(
            LogBatch(
                **PATH._asdict(), session=f"s-{writer}", sequence=sequence, writer=writer, rows=1,
                timestamps=np.zeros(1, "<i8").tobytes(), steps=np.array([step], "<i8").tobytes(),
                current_step=step, row_begun=False, blocks=[block],
            )
        )  # fmt: skip
    return events


def cells(plans: Sequence[FlushPlan]) -> Cells:
    """Return what ClickHouse would show: of a writer's step the value of the highest version."""
    newest: dict[tuple[str, str, int], tuple[int, float]] = {}
    for row in rows(plans, "points_number"):
        place = row["key"], row.get("writer", ""), row["step"]
        newest[place] = max(newest.get(place, (-1, 0.0)), (row["version"], row["value"]), key=lambda one: one[0])
    return {place: value for place, (_, value) in newest.items()}


def rows(plans: Sequence[FlushPlan], name: str) -> list[dict[str, Any]]:
    """Return a table's rows of all plans."""
    tables = [plan.tables[name] for plan in plans if name in plan.tables]
    return [row for table in tables for row in with_values(table).to_pylist()]


@given(logged, cuts)
def test_each_writer_keeps_its_own_value_at_each_step(calls: Any, places: list[int]) -> None:
    plans = flushed(received(events_of(calls)), places)
    wanted: Cells = {(key, writer, step): value for writer, key, step, value in calls}
    assert cells(plans) == wanted


@given(logged, cuts)
def test_each_writer_has_its_own_totals_of_a_series(calls: Any, places: list[int]) -> None:
    plans = flushed(received(events_of(calls)), places)
    wanted: dict[tuple[str, str], list[int]] = {}
    for writer, key, step, _ in calls:
        wanted.setdefault((key, writer), []).append(step)
    points: dict[tuple[str, str], int] = {}
    first: dict[tuple[str, str], int] = {}
    for row in rows(plans, "series"):
        series = row["key"], row["writer"]
        points[series] = max(points.get(series, 0), row["totals"]["points"])
        first[series] = min(first.get(series, row["first_step"]), row["first_step"])
    assert points == {series: len(steps) for series, steps in wanted.items()}
    assert first == {series: min(steps) for series, steps in wanted.items()}


def test_rows_of_a_stream_have_no_writer_since_their_keys_name_it() -> None:
    for writer, key in (("//system", "system/cpu"), ("rank1//system", "system/rank1/cpu")):
        event = LogEvent(**PATH._asdict(), writer=writer, data={key: 1.0})
        (row,) = rows(flushed(received([event])), "points_number")
        assert (row["key"], row.get("writer", "")) == (key, "")


def test_a_flush_without_a_named_writer_leaves_the_column_out() -> None:
    (plan,) = flushed(received(events_of([("", "loss", 0, 1.0)])))
    assert "writer" not in plan.tables["points_number"].column_names
