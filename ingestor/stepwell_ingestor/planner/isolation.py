"""Plan a flush whatever its events are: an event that makes planning fail becomes a dead letter.

The outcome depends on the log alone, so that a flush repeated after a crash, and a replay, get the same result. Only
`MemoryError` depends on the machine. See docs/decisions/0008.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from stepwell_ingestor.messages import DeadLetter, Received, unusable
from stepwell_ingestor.planner.accumulator import LeftOut
from stepwell_ingestor.planner.plan import FlushPlan, plan_flush
from stepwell_ingestor.planner.run_state import RunState
from stepwell_schemas.rollups.sql import LEVELS
from stepwell_schemas.rules.identifiers import RunPath


def plan_usable(
    received: Sequence[Received],
    dead: Sequence[DeadLetter],
    before: Mapping[RunPath, RunState],
    end: int,
    refused: Mapping[int, str] | None = None,
    levels: Sequence[int] = LEVELS,
    left_out: LeftOut | None = None,
    media_types: Mapping[str, str] | None = None,
) -> FlushPlan:
    """Plan events like `plan_flush`, without those that make it raise an exception.

    Halves are planned in sequence, each from the state after the previous one, and a half that fails is bisected.
    Planning n events of which any number fail costs at most as much as planning n · (1 + log2 n) events.
    """

    def plan(items: Sequence[Received], letters: Sequence[DeadLetter]) -> FlushPlan:
        return plan_flush(items, letters, before, end, refused, levels, left_out, media_types)

    try:
        return plan(received, dead)
    except Exception:
        probe = _Probe({path: state.fork() for path, state in before.items()}, refused, levels, left_out)
        isolated = probe.isolate(received)
    usable = _without(received, isolated)
    while True:
        try:
            return replace(plan(usable, [*dead, *isolated]), isolated=len(isolated))
        except Exception as error:
            if not usable:
                raise
            # Events that fail only in combination: isolate the last event of the shortest failing prefix.
            number = bisect_left(range(1, len(usable)), True, key=lambda count: _fails(plan, usable[:count]))
            isolated.append(unusable(usable[number].message, error))
            usable = _without(usable, isolated[-1:])


@dataclass
class _Probe:
    """Run states that advance with the events that can be planned; the plans are discarded."""

    states: dict[RunPath, RunState]
    refused: Mapping[int, str] | None
    levels: Sequence[int]
    left_out: LeftOut | None

    def isolate(self, items: Sequence[Received]) -> list[DeadLetter]:
        """Return the dead letters for the events that make planning fail."""
        before = {item.path: self.states[item.path] for item in items}
        end = items[-1].message.offset + 1 if items else 0
        try:
            plan = plan_flush(items, [], before, end, self.refused, self.levels, self.left_out)
        except Exception as error:
            if len(items) == 1:
                return [unusable(items[0].message, error)]
            half = len(items) // 2
            return self.isolate(items[:half]) + self.isolate(items[half:])
        # The state of a deleted run is a new one.
        self.states.update({path: state.settle() for path, state in plan.states.items()})
        return []


def _fails(plan: Callable[[Sequence[Received], Sequence[DeadLetter]], FlushPlan], items: Sequence[Received]) -> bool:
    try:
        plan(items, [])
    except Exception:
        return True
    return False


def _without(items: Sequence[Received], letters: Sequence[DeadLetter]) -> list[Received]:
    offsets = {letter.message.offset for letter in letters}
    return [item for item in items if item.message.offset not in offsets]
