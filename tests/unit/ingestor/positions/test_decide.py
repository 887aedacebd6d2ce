"""The place at which a partition is continued, for combinations of tables, group and log."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stepwell_ingestor.errors import PartitionsAddedError
from stepwell_ingestor.kafka.log_metadata import LogExtent, LogIdentity
from stepwell_ingestor.positions.decide import decide, may_have_lost_a_plan, next_check
from stepwell_ingestor.positions.evidence import Decision, Evidence, Reason
from stepwell_ingestor.positions.models import AsOf, Boundary, LogPosition, PlanMark, VoidRange

LOG = LogIdentity("cluster", "topic-1", 4)
OTHER = LogIdentity("cluster", "topic-2", 4)
NOW = 1_700_000_000_000
BOUNDARIES = (Boundary(10, 1, 1), Boundary(20, 2, 2), Boundary(30, 3, 3))
OWN = LogPosition("events", 0, LOG, "begun", end=30, holds_rows=True, boundaries=BOUNDARIES)
SIBLING = LogPosition("events", 1, LOG, "begun", end=500, holds_rows=True)
PLAN = PlanMark(40, 7, 0)


def evidence(**changes: Any) -> Evidence:
    """Return the evidence of a usual restart: the group, the tables and the log agree."""
    usual: dict[str, Any] = {
        "topic": "events",
        "partition": 0,
        "log": LOG,
        "extent": LogExtent(0, 100),
        "own": OWN,
        "others": [SIBLING],
        "holds_runs": True,
        "reached": 30,
        "committed": 30,
        "checked": {30: True},
    }
    return Evidence(**usual | changes)


def decided(**changes: Any) -> Decision:
    return decide(evidence(**changes), NOW)


def fresh(**changes: Any) -> Decision:
    """Decide for a partition that has no position."""
    empty: dict[str, Any] = {"own": None, "others": [], "holds_runs": False, "reached": 0, "committed": None}
    return decided(**empty | {"checked": {}} | changes)


def is_new_epoch(decision: Decision, *, above: int) -> bool:
    """Return True if all logical offsets of a decision are above those of other logs, in a later epoch."""
    return decision.is_new and decision.position.base + decision.start > above and decision.position.epoch == 1


def test_a_usual_restart_continues_at_the_stored_end() -> None:
    assert decided() == Decision(OWN, 30, Reason.CONTINUED)


@pytest.mark.parametrize("stored", [30, 40], ids=["begun", "complete"])
def test_the_flush_of_a_plan_is_repeated(stored: int) -> None:
    own = OWN if stored == 30 else replace(OWN, end=40, boundaries=(*BOUNDARIES, Boundary(40, 4, 4)))
    decision = decided(own=own, plan=PLAN, checked={stored: True})
    assert (decision.start, decision.plan, decision.position) == (30, PLAN, own)


@pytest.mark.parametrize(
    ("committed", "reason"),
    [(None, Reason.OFFSETS_LOST), (0, Reason.GROUP_BEHIND), (29, Reason.GROUP_BEHIND), (31, Reason.GROUP_AHEAD)],
)
def test_wherever_the_group_is_reading_continues_at_the_stored_end(committed: int | None, reason: Reason) -> None:
    decision = decided(committed=committed)
    assert (decision.start, decision.reason, decision.plan) == (30, reason, None)
    assert decision.position.base == OWN.base


def test_tables_restored_from_a_backup_get_other_tokens_for_the_same_versions() -> None:
    decision = decided(committed=90, plan=PlanMark(95, 1, 0))
    assert decision.is_new
    assert (decision.position.base, decision.position.epoch, decision.plan) == (0, 1, None)
    assert decision.position.version > OWN.version


@pytest.mark.parametrize("plan", [PlanMark(40, 7, 1), PlanMark(20, 7, 0), PlanMark(30, 7, 3)])
def test_a_plan_of_another_epoch_or_flush_is_ignored(plan: PlanMark) -> None:
    decision = decided(plan=plan)
    assert (decision.start, decision.plan) == (30, None)


def test_a_position_that_was_never_committed_is_not_reported() -> None:
    own = LogPosition("events", 0, LOG, "begun")
    assert decided(own=own, committed=None, checked={}).reason is Reason.CONTINUED


def test_new_tables_begin_where_the_log_begins() -> None:
    decision = fresh()
    assert (decision.start, decision.reason, decision.missing) == (0, Reason.BEGUN, 0)
    assert decision.is_new
    assert (decision.position.base, decision.position.epoch) == (0, 0)


def test_empty_tables_begin_where_the_log_begins_whatever_the_group_says() -> None:
    decision = fresh(committed=70, plan=PlanMark(75, 1, 0))
    assert (decision.start, decision.reason, decision.plan) == (0, Reason.STORE_EMPTY, None)


def test_records_that_are_gone_before_anything_is_stored_are_missing() -> None:
    decision = fresh(extent=LogExtent(12, 100))
    assert (decision.start, decision.missing, decision.position.missing) == (12, 12, 12)


def test_tables_that_were_emptied_except_for_positions_are_filled_again() -> None:
    decision = decided(holds_runs=False)
    assert (decision.start, decision.reason) == (0, Reason.STORE_EMPTY)
    assert is_new_epoch(decision, above=500)
    assert not decided(holds_runs=False, own=decision.position, checked={}, committed=0).is_new


def test_a_log_of_dead_letters_only_is_not_read_again() -> None:
    assert decided(own=replace(OWN, holds_rows=False), holds_runs=False).start == 30


def test_tables_of_an_earlier_version_adopt_the_group_s_offset() -> None:
    decision = fresh(adopts=True, holds_runs=True, committed=70, plan=PlanMark(75, None, 0), reached=70)
    assert (decision.start, decision.plan, decision.reason) == (70, PlanMark(75, None, 0), Reason.ADOPTED)
    assert (decision.position.base, decision.position.end, decision.position.holds_rows) == (0, 70, True)


@pytest.mark.parametrize(
    "changes",
    [
        {"committed": None},
        {"holds_runs": False, "reached": 0},
        {"others": [replace(SIBLING, topic="earlier")]},
        {"adopts": False},
    ],
    ids=str,
)
def test_nothing_else_adopts_the_group_s_offset(changes: dict[str, Any]) -> None:
    usual: dict[str, Any] = {"adopts": True, "holds_runs": True, "committed": 70, "reached": 70}
    assert fresh(**usual | changes).start == 0


def test_a_partition_that_never_had_events_begins_in_the_epoch_of_its_siblings() -> None:
    sibling = replace(SIBLING, base=1_000, epoch=2)
    decision = fresh(others=[sibling, replace(sibling, partition=2, base=5_000, epoch=3)], holds_runs=True)
    assert (decision.start, decision.position.base, decision.position.epoch) == (0, 1_000, 2)


@pytest.mark.parametrize("extent", [LogExtent(0, 100), LogExtent(0, 3), LogExtent(0, 0)], ids=str)
def test_a_topic_that_was_created_again_begins_an_epoch(extent: LogExtent) -> None:
    decision = decided(log=OTHER, extent=extent, plan=PLAN, checked={})
    assert (decision.start, decision.reason, decision.plan) == (0, Reason.LOG_REPLACED, None)
    assert is_new_epoch(decision, above=500)
    assert decision.position.boundaries == ()


def test_a_new_topic_may_have_any_number_of_partitions() -> None:
    decision = fresh(topic="new", log=LogIdentity("cluster", "topic-9", 64), others=[OWN, SIBLING], holds_runs=True)
    assert decision.start == 0
    assert is_new_epoch(decision, above=500)


def test_a_log_whose_first_records_are_gone_still_is_above_all_others() -> None:
    decision = decided(log=OTHER, extent=LogExtent(10**12, 10**12 + 5))
    assert decision.missing == 10**12
    assert decision.position.base + decision.start > 500


def test_a_new_epoch_is_above_the_epochs_of_all_other_partitions() -> None:
    far = replace(SIBLING, base=10**9)
    assert is_new_epoch(decided(log=OTHER, others=[far], checked={}), above=far.logical_end)


def test_states_without_a_position_count_as_stored() -> None:
    assert is_new_epoch(fresh(holds_runs=True, reached=10**9), above=10**9)


def test_a_lost_tail_is_read_from_the_last_boundary_that_matches() -> None:
    decision = decided(extent=LogExtent(0, 25), checked={20: True}, committed=30)
    assert (decision.start, decision.reason) == (20, Reason.LOG_CUT)
    assert is_new_epoch(decision, above=500)
    assert decision.position.boundaries == BOUNDARIES[:2]


@pytest.mark.parametrize(
    ("checked", "start"), [({30: False, 20: True}, 20), ({30: False, 20: False, 10: False}, 0)], ids=str
)
def test_other_records_at_the_stored_offsets_begin_an_epoch(checked: dict[int, bool], start: int) -> None:
    decision = decided(checked=checked)
    assert (decision.start, decision.reason) == (start, Reason.LOG_CUT)
    assert is_new_epoch(decision, above=500)


@pytest.mark.parametrize(
    "changes", [{"plan_is_void": True}, {"extent": LogExtent(0, 35)}], ids=["other records", "a lost tail"]
)
def test_a_plan_whose_records_are_gone_is_void(changes: dict[str, Any]) -> None:
    decision = decided(plan=PLAN, **changes)
    assert (decision.start, decision.reason, decision.plan) == (30, Reason.PLAN_VOID, None)
    assert is_new_epoch(decision, above=500)
    assert decision.position.voided == (VoidRange(30, 40),)
    assert decided(own=decision.position, plan=PLAN, checked={30: True}).plan is None, "it is of an earlier epoch"


def test_states_of_an_abandoned_flush_do_not_hold() -> None:
    voided = decided(plan=PLAN, plan_is_void=True).position.voided
    as_of = AsOf(2**30, voided)
    assert [as_of.includes(offset) for offset in (30, 31, 40, 41, 2**30, 2**30 + 1)] == [
        True, False, False, True, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize("committed", [None, 0, 25, 30, 35])
def test_states_of_a_flush_whose_plan_is_lost_do_not_hold(committed: int | None) -> None:
    decision = decided(committed=committed, reached=40, reached_here=40)
    position = decision.position
    assert (decision.start, decision.reason, decision.plan) == (30, Reason.PLAN_LOST, None)
    assert is_new_epoch(decision, above=500)
    assert (position.voided, position.boundaries) == ((VoidRange(30, 40),), BOUNDARIES)
    again = decided(own=position, committed=committed, reached=40, reached_here=40)
    assert (again.start, again.position.base, again.position.voided) == (30, position.base, position.voided)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, False),
        ({"plan": PLAN}, False),
        ({"by_hand": True}, True),
        ({"committed": None}, True),
        ({"committed": 31}, True),
        ({"committed": 12, "plan": PLAN}, True),
        ({"own": None}, False),
    ],
)
def test_left_states_are_looked_for_where_the_group_may_have_lost_a_plan(
    changes: dict[str, Any], expected: bool
) -> None:
    assert may_have_lost_a_plan(evidence(**changes)) is expected


def test_void_ranges_are_kept_while_runs_keep_their_partition() -> None:
    own = replace(OWN, voided=(VoidRange(30, 40),))
    assert decided(own=own, log=OTHER).position.voided[: len(own.voided)] == own.voided
    assert decided(own=own, log=OTHER._replace(partitions=8)).position.voided == ()


def test_states_that_a_flush_of_a_replaced_log_has_left_do_not_hold() -> None:
    position = decided(log=OTHER, extent=LogExtent(0, 8), committed=None).position
    as_of = AsOf(position.logical_end, position.voided)
    ends = (30, 31, position.logical_end, position.logical_end + 1)
    assert [as_of.includes(end) for end in ends] == [True, False, False, False]


def test_a_complete_flush_of_other_records_is_read_again_from_its_begin() -> None:
    own = replace(OWN, end=40, boundaries=(*BOUNDARIES, Boundary(40, 4, 4)))
    decision = decided(own=own, plan=PLAN, plan_is_void=True, checked={40: True, 30: True})
    assert (decision.start, decision.position.voided) == (30, ())


def test_retention_that_removed_unstored_records_is_reported() -> None:
    decision = decided(extent=LogExtent(50, 100), checked={})
    assert (decision.start, decision.missing, decision.position.end, decision.is_new) == (50, 20, 50, True)
    assert (decision.position.base, decision.position.epoch) == (0, 0)
    assert decided(own=decision.position, extent=LogExtent(50, 100), checked={}).missing == 0


@pytest.mark.parametrize("begin", [36, 60])
def test_the_states_of_a_flush_whose_records_retention_removed_do_not_hold(begin: int) -> None:
    decision = decided(extent=LogExtent(begin, 100), plan=PLAN, checked={})
    position = decision.position
    assert (decision.reason, decision.start, decision.plan) == (Reason.PLAN_EXPIRED, begin, None)
    assert (decision.missing, position.missing, position.epoch) == (begin - 30, begin - 30, OWN.epoch + 1)
    assert position.voided == (VoidRange(30, 40),)
    assert position.logical_end > 40
    again = decided(own=position, extent=LogExtent(begin, 100), plan=PLAN, checked={})
    assert (again.start, again.missing, again.position) == (begin, 0, position)


@pytest.mark.parametrize("begin", [31, 38, 45])
@pytest.mark.parametrize("committed", [None, 25])
def test_the_states_of_a_flush_whose_records_and_plan_are_gone_do_not_hold(committed: int | None, begin: int) -> None:
    decision = decided(extent=LogExtent(begin, 60), committed=committed, reached=40, reached_here=40)
    assert (decision.reason, decision.start, decision.missing) == (Reason.PLAN_LOST, begin, begin - 30)
    assert is_new_epoch(decision, above=500)
    assert decision.position.voided == (VoidRange(30, 40),)


def test_retention_of_what_is_stored_is_not_reported() -> None:
    decision = decided(extent=LogExtent(30, 100), checked={})
    assert (decision.start, decision.missing, decision.is_new) == (30, 0, False)
    complete = replace(OWN, end=40, boundaries=(*BOUNDARIES, Boundary(40, 4, 4)))
    decision = decided(own=complete, plan=PLAN, extent=LogExtent(35, 100), checked={40: True})
    assert (decision.start, decision.plan, decision.missing) == (40, None, 0)


def test_a_flush_that_was_planned_before_partitions_were_added_is_completed() -> None:
    decision = decided(log=LOG._replace(partitions=8), plan=PLAN)
    assert (decision.start, decision.plan, decision.position.log.partitions) == (OWN.end, PLAN, 4)
    with pytest.raises(PartitionsAddedError):
        decided(log=LOG._replace(partitions=8), plan=PLAN, plan_is_void=True)


@pytest.mark.parametrize("own", [OWN, None], ids=["known", "added"])
def test_added_partitions_are_refused(own: LogPosition | None) -> None:
    with pytest.raises(PartitionsAddedError) as caught:
        decided(own=own, log=LOG._replace(partitions=8))
    assert (caught.value.topic, caught.value.stored, caught.value.present) == ("events", 4, 8)


class TestBrokersWithoutTopicIds:
    """The log is recognised by its records."""

    log = LogIdentity("cluster", "", 4)
    own = replace(OWN, log=log)

    def decided(self, **changes: Any) -> Decision:
        return decided(**{"own": self.own, "log": self.log, "others": []} | changes)

    def test_the_same_records_are_the_same_log(self) -> None:
        assert self.decided().reason is Reason.CONTINUED
        assert self.decided(log=LOG).reason is Reason.CONTINUED, "the brokers were updated"

    @pytest.mark.parametrize(
        "changes",
        [
            {"checked": {30: False, 20: False, 10: False}},
            {"extent": LogExtent(0, 3), "checked": {}},
            {"extent": LogExtent(0, 0), "checked": {}},
            {"log": LogIdentity("another", "", 4)},
            {"log": LogIdentity("cluster", "", 8), "checked": {30: False, 20: False, 10: False}},
        ],
        ids=str,
    )
    def test_other_records_or_another_cluster_are_another_log(self, changes: dict[str, Any]) -> None:
        decision = self.decided(**changes)
        assert (decision.start, decision.reason) == (0, Reason.LOG_REPLACED)

    def test_a_log_that_was_cut_is_the_same(self) -> None:
        assert self.decided(extent=LogExtent(0, 25), checked={20: True}).reason is Reason.LOG_CUT

    def test_a_log_without_the_stored_records_is_the_same(self) -> None:
        assert self.decided(extent=LogExtent(30, 30), checked={}).reason is Reason.CONTINUED

    def test_added_partitions_are_refused(self) -> None:
        with pytest.raises(PartitionsAddedError):
            self.decided(log=LogIdentity("cluster", "", 8))


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({"checked": {}}, 30),
        ({"checked": {30: True}}, None),
        ({"checked": {30: False}}, 20),
        ({"checked": {30: False, 20: True}}, None),
        ({"checked": {30: False, 20: False, 10: False}}, None),
        ({"checked": {}, "extent": LogExtent(0, 29)}, 20),
        ({"checked": {}, "extent": LogExtent(0, 5)}, None),
        ({"checked": {}, "extent": LogExtent(29, 90)}, 30),
        ({"checked": {}, "extent": LogExtent(30, 90)}, None),
        ({"checked": {}, "log": OTHER}, None),
        ({"checked": {}, "own": None}, None),
    ],
    ids=str,
)
def test_records_are_read_until_one_is_the_stored_one(changes: dict[str, Any], end: int | None) -> None:
    assert next_check(evidence(**changes)) == end
