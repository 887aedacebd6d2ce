"""The findings about a partition when it is assigned, and the decision that follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from stepwell_ingestor.kafka.log_metadata import LogExtent, LogIdentity
from stepwell_ingestor.messages import NO_LEADER_EPOCH
from stepwell_ingestor.positions.models import LogPosition, PlanMark


class Reason(StrEnum):
    """The finding on which a decision rests."""

    CONTINUED = "continued"
    BEGUN = "begun"
    ADOPTED = "adopted"
    STORE_EMPTY = "store_empty"
    OFFSETS_LOST = "group_offset_lost"
    GROUP_BEHIND = "group_offset_behind"
    GROUP_AHEAD = "group_offset_ahead"
    LOG_REPLACED = "log_replaced"
    LOG_CUT = "log_cut"
    PLAN_VOID = "plan_void"
    PLAN_EXPIRED = "plan_expired"
    PLAN_LOST = "plan_lost"


USUAL: Final = frozenset({Reason.CONTINUED, Reason.BEGUN})
"""Reasons for which the group's commit, if there is one, is where reading continues."""

NEW_LOGS: Final = frozenset({Reason.LOG_REPLACED, Reason.LOG_CUT, Reason.PLAN_VOID})
"""Reasons that mean that Kafka has lost or replaced records."""


@dataclass(frozen=True)
class Evidence:
    """The findings about a partition when it is assigned.

    Attributes:
        own: its stored position.
        others: the positions of all other partitions, of any topic.
        holds_runs: the tables hold at least one run, or have held one that was deleted.
        reached: the highest logical offset that a state was written for, 0 if there are none.
        adopts: the tables were filled before positions were stored.
        committed: the group's offset, and `plan` the plan committed with it.
        plan_is_void: the records of that plan were read, and are not those that it was made for.
        checked: by the end of a boundary, True if the record before it is the one that was stored.
        leader_epoch: the latest one of the records that were checked.
        reached_here: `reached` of this partition's runs; 0 if an ingestor has committed the stored end, or a plan from
            there.
        by_hand: the group's commit was not made by an ingestor, so that it may have replaced a plan.
    """

    topic: str
    partition: int
    log: LogIdentity
    extent: LogExtent
    own: LogPosition | None = None
    others: Sequence[LogPosition] = ()
    holds_runs: bool = False
    reached: int = 0
    adopts: bool = False
    committed: int | None = None
    plan: PlanMark | None = None
    plan_is_void: bool = False
    checked: Mapping[int, bool] = field(default_factory=dict)
    leader_epoch: int = NO_LEADER_EPOCH
    reached_here: int = 0
    by_hand: bool = False


@dataclass(frozen=True)
class Decision:
    """The place at which a partition is continued.

    Attributes:
        position: the partition's position, with `end` at `start` or before it.
        start: the first offset to read.
        plan: the plan of a flush to repeat exactly, which begins at `start`.
        missing: records that were removed from the log before they were stored.
        is_new: the position differs from the stored one and has to be stored before anything is read.
    """

    position: LogPosition
    start: int
    reason: Reason
    plan: PlanMark | None = None
    missing: int = 0
    is_new: bool = False
