"""The ranges of the log that a rebuild reads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_ingestor.errors import ReplayError
from stepwell_ingestor.kafka.log_metadata import LogIdentity
from stepwell_ingestor.positions.models import Boundary, LogPosition, VoidRange
from stepwell_ingestor.rebuild.ranges import (
    PartitionLog,
    ReplayRange,
    describe,
    plan_end,
    plan_ranges,
    seed_position,
    stored_ends,
)

LOG = LogIdentity("cluster", "topic id", 2)
_OFFSETS = st.integers(0, 1_000)


def planned(log: PartitionLog, since: int | None = None, stored: int | None = None) -> ReplayRange:
    """Return the range of the only partition."""
    (found,) = plan_ranges([log], {} if since is None else {0: since}, {} if stored is None else {0: stored})
    return found


def test_a_rebuild_ends_where_the_group_is() -> None:
    assert planned(PartitionLog(0, 0, 90, 70)) == ReplayRange(0, 0, 70)


@pytest.mark.parametrize("plan", ["85", "85:0badcafe:3"])
def test_a_flush_that_was_planned_is_a_part_of_its_own(plan: str) -> None:
    found = planned(PartitionLog(0, 0, 90, 70, plan))
    assert (found.start, found.end, found.plan, found.last) == (0, 70, plan, 85)
    assert plan_end(plan) == 85


def test_retention_is_accounted_for() -> None:
    found = planned(PartitionLog(0, 30, 90, 70))
    assert (found.start, found.removed, found.is_whole) == (30, 30, False)
    assert "30" in describe(found)
    # What was removed before it was ingested is not in the range either, and neither is a plan of it.
    assert planned(PartitionLog(0, 80, 90, 70, "75")) == ReplayRange(0, 80, 80, removed=80)


def test_a_later_offset_is_a_part_that_is_skipped() -> None:
    found = planned(PartitionLog(0, 10, 90, 70), since=25)
    assert (found.start, found.removed, found.skipped) == (25, 10, 15)


@pytest.mark.parametrize("since", [9, 71])
def test_an_offset_outside_of_what_is_ingested_is_refused(since: int) -> None:
    with pytest.raises(ReplayError):
        planned(PartitionLog(0, 10, 90, 70), since=since)


def test_an_unknown_partition_is_refused() -> None:
    with pytest.raises(ReplayError):
        plan_ranges([PartitionLog(0, 0, 90, 70)], {1: 5}, {})


@pytest.mark.parametrize("log", [PartitionLog(0, 0, 60, 70), PartitionLog(0, 0, 80, 70, "85")])
def test_a_log_that_ends_before_what_is_ingested_is_refused(log: PartitionLog) -> None:
    with pytest.raises(ReplayError):
        planned(log)


def test_what_the_tables_say_counts_where_the_group_has_forgotten() -> None:
    assert planned(PartitionLog(0, 0, 90, None), stored=40).end == 40
    assert planned(PartitionLog(0, 0, 90, 0), stored=40).end == 40
    assert planned(PartitionLog(0, 0, 90, 70), stored=40).end == 70
    assert planned(PartitionLog(0, 20, 90, None)).end == 20


def test_a_plan_counts_until_the_tables_are_beyond_it() -> None:
    log = PartitionLog(0, 0, 90, 70, "85")
    for stored in (70, 85):
        assert (planned(log, stored=stored).end, planned(log, stored=stored).last) == (70, 85)
    assert (planned(log, stored=88).end, planned(log, stored=88).plan) == (88, "")


@given(_OFFSETS, _OFFSETS, st.none() | _OFFSETS, st.none() | st.integers(1, 50), st.none() | _OFFSETS)
def test_a_range_is_within_the_log(
    begin: int, length: int, committed: int | None, flush: int | None, stored: int | None
) -> None:
    plan = "" if committed is None or flush is None else str(committed + flush)
    log = PartitionLog(0, begin, begin + length, committed, plan)
    try:
        found = planned(log, stored=stored)
    except ReplayError:
        assert max(committed or 0, stored or 0, plan_end(plan) if plan else 0) > log.end
        return
    assert log.begin == found.start <= found.end <= found.last <= log.end
    assert found.last >= min(max(committed or 0, stored or 0), log.end)


def stored_position(**changes: Any) -> LogPosition:
    """Return the position of a partition in its third epoch."""
    fields: dict[str, Any] = {"epoch": 2, "base": 5_000, "first": 10, "end": 70, "holds_rows": True}
    boundaries, voided = (Boundary(70, 1, 2),), (VoidRange(5_001, 5_002),)
    position = LogPosition("events", 0, LOG, "log_cut", **fields, boundaries=boundaries, voided=voided)
    return replace(position, **changes)


def test_rebuilt_tables_begin_in_the_epoch_of_the_present_ones() -> None:
    # Rows of one run are put between others of that epoch, and a plan names its epoch.
    seed = seed_position("events", LOG, ReplayRange(0, 25, 70), stored_position())
    assert (seed.epoch, seed.base, seed.first, seed.end) == (2, 5_000, 25, 25)
    assert (seed.holds_rows, seed.boundaries, seed.voided) == (False, (), ())
    assert seed.version < stored_position().version
    fresh = seed_position("events", LOG, ReplayRange(1, 3, 9), None)
    assert (fresh.partition, fresh.log, fresh.epoch, fresh.base, fresh.end) == (1, LOG, 0, 0, 3)


def test_tables_of_another_log_are_not_rebuilt_before_an_ingestor_has_noticed() -> None:
    assert stored_ends("events", LOG, [stored_position(), stored_position(topic="earlier")]) == {0: 70}
    with pytest.raises(ReplayError):
        stored_ends("events", LOG._replace(topic_id="another"), [stored_position()])


def test_metadata_that_is_no_plan_is_refused() -> None:
    with pytest.raises(ReplayError):
        planned(PartitionLog(0, 0, 90, 70, "by hand"))
