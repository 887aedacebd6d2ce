"""The step rule, shared by the SDK and the ingestor.

A writer of a run has a current step, at which its next `log()` writes; it starts at 0. For each call:

- no step requested: write at the current step, then advance by one; with `commit=False`, stay;
- a step at or above the current one: move to it and write there (at the current one: merge into that row);
  then stay, so that a second call may add to the row; with `commit=True`, advance by one;
- a step below the current one: a *conflict*. The requested step is ignored and the data is logged as if no step
  had been given. The caller records the requested and the used step.

The commit flag has three states because its default depends on whether a step was requested (as in wandb).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from stepwell_schemas.errors import StepError
from stepwell_schemas.limits import MAX_STEP

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NO_STEP: Final = -(2**63)
"""Marks "no step requested" in packed int64 steps."""

COMMIT_FALSE: Final = 0
COMMIT_TRUE: Final = 1
COMMIT_DEFAULT: Final = 2
_COMMIT_CODES: Final = {False: COMMIT_FALSE, True: COMMIT_TRUE, None: COMMIT_DEFAULT}
_COMMIT_FLAGS: Final[Sequence[bool | None]] = (False, True, None)


class StepDecision(NamedTuple):
    """The step of one call, the writer's current step after it, and a flag if the requested step was ignored."""

    step: int
    current: int
    conflict: bool


class ResolvedSteps(NamedTuple):
    """The decisions for n rows: steps int64[n], conflicts bool[n], and the writer's current step after them."""

    steps: NDArray[np.int64]
    conflicts: NDArray[np.bool_]
    current: int


def commit_code(commit: bool | None) -> int:
    """Return the packed code of a commit flag."""
    return _COMMIT_CODES[commit]


def check_step(step: object) -> int:
    """Convert a requested step to int: any integral value within ±2^62; negative ones become conflicts.

    Raises:
        StepError: if it is not an integer, or is outside ±2^62.
    """
    if isinstance(step, float) and step.is_integer():
        value = int(step)
    else:
        try:
            value = step.__index__()  # type: ignore[attr-defined]
        except (AttributeError, TypeError):
            raise StepError("step", step, f"must be an integer, not {type(step).__name__}") from None
    if not -MAX_STEP <= value <= MAX_STEP:
        raise StepError("step", value, "must lie between -2^62 and 2^62")
    return int(value)


def advance(current: int, asked: int | None, commit: bool | None) -> StepDecision:
    """Apply the rule to one call; the reference implementation."""
    if asked is None or asked < current:
        return StepDecision(current, current if commit is False else current + 1, asked is not None)
    return StepDecision(asked, asked + 1 if commit is True else asked, False)


def resolve(
    current: int, asked: NDArray[np.int64] | None, commits: NDArray[np.int8] | None, rows: int
) -> ResolvedSteps:
    """Apply the rule to `rows` calls of one writer.

    Args:
        current: the writer's current step before the calls.
        asked: the requested steps, int64[rows], NO_STEP for none; None if no row requests a step.
        commits: int8[rows] of commit codes; None if every row has the default.
        rows: the number of calls.

    Without conflicts, the rule is a running maximum over the requested steps, which numpy computes vectorised. From
    the first conflict on, each row depends on the outcome of the previous one, and rows are processed one by one.
    """
    import numpy as np

    if rows == 1:
        # The case of plain `log()` calls, which are frequent.
        step_asked = NO_STEP if asked is None else int(asked[0])
        flag = None if commits is None else _COMMIT_FLAGS[commits[0]]
        step, after, conflict = advance(current, None if step_asked == NO_STEP else step_asked, flag)
        return ResolvedSteps(np.array([step]), np.array([conflict]), after)
    if asked is None:
        moves = np.ones(rows, np.int64) if commits is None else (commits != COMMIT_FALSE).astype(np.int64)
        steps = current + np.cumsum(moves) - moves
        after = int(steps[-1] + moves[-1]) if rows else current
        return ResolvedSteps(steps, np.zeros(rows, np.bool_), after)
    steps, before, after = _resolve_without_conflicts(current, asked, commits)
    conflicts = (asked != NO_STEP) & (asked < before)
    if not conflicts.any():
        return ResolvedSteps(steps, conflicts, after)
    return _resolve_one_by_one(before, steps, asked, commits, int(np.argmax(conflicts)))


def _resolve_without_conflicts(
    current: int, asked: NDArray[np.int64], commits: NDArray[np.int8] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    import numpy as np

    stays_by_default = asked != NO_STEP
    if commits is None:
        moves = (~stays_by_default).astype(np.int64)
    else:
        moves = np.where(commits == COMMIT_DEFAULT, ~stays_by_default, commits == COMMIT_TRUE).astype(np.int64)
    moved = np.cumsum(moves) - moves
    # A requested step, less the advances before it, is the lower bound that it implies for the writer's start.
    floors = np.where(stays_by_default, asked - moved, current)
    begins = np.maximum(np.maximum.accumulate(floors), current)
    steps = begins + moved
    before = np.concatenate(([current], (steps + moves)[:-1]))
    return steps, before, int(steps[-1] + moves[-1]) if len(steps) else current


def _resolve_one_by_one(
    before: NDArray[np.int64],
    steps: NDArray[np.int64],
    asked: NDArray[np.int64],
    commits: NDArray[np.int8] | None,
    first: int,
) -> ResolvedSteps:
    import numpy as np

    conflicts = np.zeros(len(steps), np.bool_)
    current = int(before[first])
    for row in range(first, len(steps)):
        step_asked = int(asked[row])
        flag = None if commits is None else _COMMIT_FLAGS[commits[row]]
        decision = advance(current, None if step_asked == NO_STEP else step_asked, flag)
        steps[row], current, conflicts[row] = decision
    return ResolvedSteps(steps, conflicts, current)
