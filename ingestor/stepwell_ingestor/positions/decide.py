"""Decide where to continue a partition: a pure function of what is stored, committed, and in the log.

The stored position is the truth about the tables, and the group's commit holds the plan of a flush in progress. As long
as the log is the one that was stored, reading continues at the stored end, wherever the group is. If it is another
log, or its records are not those that were stored, a new epoch begins: its logical offsets are above all stored ones,
so that its values win over earlier ones. See docs/decisions/0010.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from stepwell_ingestor.errors import PartitionsAddedError
from stepwell_ingestor.positions.evidence import NEW_LOGS, Decision, Evidence, Reason
from stepwell_ingestor.positions.models import VOIDED, Boundary, LogPosition, PlanMark, VoidRange

# More than the offsets of any flush: rows of a flush whose end is unknown have lower logical offsets than a new epoch.
_SPACING: Final = 1 << 24


def next_check(evidence: Evidence) -> int | None:
    """Return the end of the boundary whose record has to be read next for a decision, or None.

    The newest boundary is enough if its record is the stored one. Otherwise earlier ones are read until one is.
    """
    own = evidence.own
    if own is None or not own.is_of(evidence.log):
        return None
    for boundary in reversed(own.boundaries):
        if not evidence.extent.begin < boundary.end <= evidence.extent.end:
            continue
        if boundary.end not in evidence.checked:
            return boundary.end
        if evidence.checked[boundary.end]:
            return None
    return None


def may_have_lost_a_plan(evidence: Evidence) -> bool:
    """Return True if the group has no plan, and is not where the tables end or was put there: a plan may be lost."""
    own = evidence.own
    if own is None or _open_plan(evidence, own) is not None:
        return False
    return evidence.committed != own.end or evidence.by_hand


def decide(evidence: Evidence, now: int) -> Decision:
    """Decide where to continue a partition at the time `now`, in milliseconds since the epoch.

    Raises:
        PartitionsAddedError: if the topic has more partitions than its stored positions know of, and no flush is
            unfinished. One that was planned before holds no event of a run that has moved.
    """
    own = evidence.own
    known = [position for position in (own, *evidence.others) if position is not None]
    if own is not None and own.holds_rows and not evidence.holds_runs:
        decision = _begin_epoch(evidence, known, Reason.STORE_EMPTY, evidence.extent.begin)
    elif own is None:
        decision = _begin(evidence, known)
    elif not own.is_of(evidence.log) or _is_another_log(own, evidence):
        decision = _begin_epoch(evidence, known, Reason.LOG_REPLACED, evidence.extent.begin)
    else:
        decision = _continue(evidence, own, known)
    if decision.plan is None:
        _refuse_added_partitions(evidence, known)
    if decision.is_new:
        decision = replace(decision, position=replace(decision.position, begun_at=now))
    return decision


def _refuse_added_partitions(evidence: Evidence, known: Sequence[LogPosition]) -> None:
    counts = [
        position.log.partitions
        for position in known
        if position.topic == evidence.topic
        and position.is_of(evidence.log)
        and (evidence.log.topic_id or not _is_another_log(position, evidence))
    ]
    if counts and max(counts) < evidence.log.partitions:
        raise PartitionsAddedError(evidence.topic, max(counts), evidence.log.partitions)


def _is_another_log(own: LogPosition, evidence: Evidence) -> bool:
    """Return True if the records show that a log without a topic id is not the one that was stored."""
    if evidence.log.topic_id and own.log.topic_id:
        return False
    if own.partition != evidence.partition or own.end <= own.first:
        return False
    if evidence.extent.begin >= own.end:
        return False
    return not any(evidence.checked.values())


def _begin(evidence: Evidence, known: Sequence[LogPosition]) -> Decision:
    """Decide for a partition without a stored position."""
    same_log = [one for one in known if one.topic == evidence.topic and one.is_of(evidence.log)]
    begin = evidence.extent.begin
    earlier = evidence.adopts and evidence.holds_runs and all(one.topic == evidence.topic for one in known)
    if earlier and evidence.committed is not None:
        position = _position(evidence, Reason.ADOPTED, end=evidence.committed, holds_rows=True)
        decision = _continue(evidence, position, known)
        reason = decision.reason if decision.reason in NEW_LOGS else Reason.ADOPTED
        return replace(decision, reason=reason, position=replace(decision.position, reason=reason), is_new=True)
    if same_log:
        base, epoch = min((one.base, one.epoch) for one in same_log)
        position = _position(evidence, Reason.BEGUN, end=begin, base=base, epoch=epoch)
        return _from_begin(evidence, position, Reason.BEGUN)
    if known or evidence.holds_runs:
        return _begin_epoch(evidence, known, Reason.BEGUN, begin)
    # The group has read this log for other tables: these ones have been emptied, or replaced by new ones.
    reason = Reason.BEGUN if evidence.committed is None else Reason.STORE_EMPTY
    epoch = 0 if evidence.committed is None else 1
    return _from_begin(evidence, _position(evidence, reason, end=begin, epoch=epoch), reason)


def _from_begin(evidence: Evidence, position: LogPosition, reason: Reason) -> Decision:
    missing = evidence.extent.begin
    return Decision(
        replace(position, missing=position.missing + missing), position.end, reason, missing=missing, is_new=True
    )


def _begin_epoch(
    evidence: Evidence,
    known: Sequence[LogPosition],
    reason: Reason,
    start: int,
    voided: tuple[VoidRange, ...] = (),
) -> Decision:
    """Begin an epoch at an offset, with logical offsets above all stored ones."""
    own = evidence.own
    if own is not None and not voided and own.log.partitions == evidence.log.partitions:
        # Runs keep their partition, so states that don't hold still differ from those of other partitions.
        voided = own.voided
    ends = [evidence.reached, *(one.logical_end for one in known), *(void.offset_to for void in voided)]
    begin = (max(ends) // _SPACING + 2) * _SPACING
    if own is not None and reason is Reason.LOG_REPLACED and own.log.partitions == evidence.log.partitions:
        # A flush of the former log may have written states and not the position: its plan, if known at all, is no
        # longer readable, and its records may come again.
        voided = (*voided, VoidRange(own.logical_end, begin))[-VOIDED:]
    same_log = reason in {Reason.LOG_CUT, Reason.PLAN_VOID, Reason.PLAN_EXPIRED, Reason.PLAN_LOST}
    position = _position(
        evidence,
        reason,
        end=start,
        base=max(begin - start, 0),
        epoch=max((one.epoch for one in known), default=0) + 1,
        missing=0 if own is None else own.missing,
        holds_rows=own is not None and own.holds_rows and reason is not Reason.STORE_EMPTY,
        boundaries=tuple(one for one in own.boundaries if one.end <= start) if own is not None and same_log else (),
        voided=voided,
    )
    if same_log:
        return Decision(position, start, reason, is_new=True)
    return _from_begin(evidence, position, reason)


def _continue(evidence: Evidence, own: LogPosition, known: Sequence[LogPosition]) -> Decision:
    """Decide for a partition whose log is the one that was stored."""
    extent, stored = evidence.extent, own.end
    plan = _open_plan(evidence, own)
    began = evidence.committed if plan is not None and evidence.committed is not None else stored
    log_differs = _differs(evidence, own) or extent.end < stored
    plan_differs = plan is not None and (evidence.plan_is_void or extent.end < plan.end)
    if log_differs or plan_differs:
        start = _last_match(evidence, own, began if evidence.plan_is_void else stored)
        voided = own.void(plan.end) if plan is not None and plan.end > stored else own.voided
        reason = Reason.LOG_CUT if log_differs else Reason.PLAN_VOID
        return _begin_epoch(evidence, [own, *known], reason, start, voided)
    if extent.begin > began:
        return _after_retention(evidence, own, known, plan)
    if plan is not None:
        return Decision(own, began, Reason.CONTINUED, plan)
    reason = _compare_group(evidence.committed, own)
    if evidence.reached_here > own.logical_end:
        return _without_lost_flush(evidence, own, known, stored)
    if reason is Reason.GROUP_AHEAD:
        # The tables are an earlier copy. The epoch is part of the tokens, so that no insert is taken for a repetition.
        own = replace(own, epoch=own.epoch + 1, reason=reason)
    return Decision(own, stored, reason, is_new=reason is Reason.GROUP_AHEAD)


def _open_plan(evidence: Evidence, own: LogPosition) -> PlanMark | None:
    """Return the plan of the group if it is of a flush from the stored end, or of the one that is stored last."""
    plan, began = evidence.plan, evidence.committed
    if plan is None or began is None or plan.epoch != own.epoch or plan.end <= began:
        return None
    return plan if began == own.end or (plan.end == own.end and began >= own.first) else None


def _differs(evidence: Evidence, own: LogPosition) -> bool:
    """Return True if the record before the stored end can be read and is another one."""
    return bool(own.boundaries) and evidence.checked.get(own.boundaries[-1].end) is False


def _last_match(evidence: Evidence, own: LogPosition, ceiling: int) -> int:
    """Return the last offset up to which the log is known to be the stored one; otherwise where the log begins."""
    ceiling = min(ceiling, evidence.extent.end)
    ends = {boundary.end for boundary in own.boundaries}
    matching = [end for end in ends if evidence.checked.get(end) and end <= ceiling]
    if own.end <= ceiling and own.end not in ends:
        matching.append(own.end)
    return max([*matching, evidence.extent.begin])


def _after_retention(
    evidence: Evidence, own: LogPosition, known: Sequence[LogPosition], plan: PlanMark | None
) -> Decision:
    """Decide for a log that begins after the stored end, or within the flush of a plan."""
    start = max(evidence.extent.begin, own.end)
    missing = start - own.end
    if plan is not None and plan.end > own.end:
        # The flush can't be repeated. Some tables may have its rows, so its states must not hold in any.
        decision = _begin_epoch(evidence, [own, *known], Reason.PLAN_EXPIRED, start, own.void(plan.end))
    elif plan is None and evidence.reached_here > own.logical_end:
        decision = _without_lost_flush(evidence, own, known, start)
    else:
        decision = Decision(replace(own, end=start), start, Reason.CONTINUED, is_new=missing > 0)
    position = replace(decision.position, missing=own.missing + missing)
    return replace(decision, position=position, missing=missing)


def _without_lost_flush(evidence: Evidence, own: LogPosition, known: Sequence[LogPosition], start: int) -> Decision:
    """Begin an epoch after an unfinished flush that has written states, and whose plan went with the group's offset.

    The records that are read now need not be those that it had, so none of its states may hold.
    """
    voided = own.void(evidence.reached_here - own.base)
    return _begin_epoch(evidence, [own, *known], Reason.PLAN_LOST, start, voided)


def _compare_group(committed: int | None, own: LogPosition) -> Reason:
    if committed is None:
        return Reason.OFFSETS_LOST if own.end > own.first else Reason.CONTINUED
    if committed == own.end:
        return Reason.CONTINUED
    return Reason.GROUP_BEHIND if committed < own.end else Reason.GROUP_AHEAD


def _position(
    evidence: Evidence,
    reason: Reason,
    *,
    end: int,
    base: int = 0,
    epoch: int = 0,
    missing: int = 0,
    holds_rows: bool = False,
    boundaries: tuple[Boundary, ...] = (),
    voided: tuple[VoidRange, ...] = (),
) -> LogPosition:
    return LogPosition(
        evidence.topic, evidence.partition, evidence.log, str(reason), epoch, base, end, end, holds_rows, missing,
        boundaries, voided,
    )  # fmt: skip
