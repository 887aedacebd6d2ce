"""The step rule, shared by the SDK and the ingestor.

A writer of a run has a current step, at which its next `log()` writes; it starts at 0. The row of that step has begun
if a call has written there. For each call:

- no step requested: write at the current step, then advance by one; with `commit=False`, stay;
- a step at or above the current one: move to it and write there (at the current one: merge into that row);
  then stay, so that a second call may add to the row; with `commit=True`, advance by one;
- a step below the current one: a *conflict*. The requested step is ignored, and the call begins a row of its own: it
  writes at the current step, or at the one after it if the row of the current step has begun, so that it replaces no
  value. Then it advances by one; with `commit=False`, it stays. The caller records the requested and the used step.

The commit flag has three states because its default depends on whether a step was requested (as in wandb).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, Final, NamedTuple, SupportsInt, cast

from stepwell_schemas.errors import StepError
from stepwell_schemas.limits import MAX_STEP

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NO_STEP: Final = -(2**63)
"""Marks "no step requested" in packed int64 steps."""

MAX_CURRENT_STEP: Final = MAX_STEP + MAX_STEP // 2
"""The highest current step of a session: requested steps end at 2^62, and the rows after them advance further."""

COMMIT_FALSE: Final = 0
COMMIT_TRUE: Final = 1
COMMIT_DEFAULT: Final = 2
_COMMIT_CODES: Final = {False: COMMIT_FALSE, True: COMMIT_TRUE, None: COMMIT_DEFAULT}
_COMMIT_FLAGS: Final[Sequence[bool | None]] = (False, True, None)


class StepState(NamedTuple):
    """A writer's current step, and whether a call has written there."""

    current: int = 0
    begun: bool = False


class StepDecision(NamedTuple):
    """The step of one call, the writer's state after it, and a flag if the requested step was ignored."""

    step: int
    state: StepState
    conflict: bool


class ResolvedSteps(NamedTuple):
    """The decisions for n rows: steps int64[n], conflicts bool[n], and the writer's state after them."""

    steps: NDArray[np.int64]
    conflicts: NDArray[np.bool_]
    state: StepState


def commit_code(commit: bool | None) -> int:
    """Return the packed code of a commit flag."""
    return _COMMIT_CODES[commit]


def check_step(step: object) -> int:
    """Convert a requested step to int: any integral value within ±2^62; negative ones become conflicts.

    Raises:
        StepError: if it is not an integer, or is outside ±2^62.
    """
    try:
        value = step.__index__()  # type: ignore[attr-defined]
    except (AttributeError, TypeError):
        value = _whole_number(step)
    if not -MAX_STEP <= value <= MAX_STEP:
        raise StepError("step", value, "must lie between -2^62 and 2^62")
    return int(value)


def _whole_number(step: object) -> int:
    """Return a float of any library, Decimal or Fraction that is a whole number as int. Raises: StepError."""
    number = step.item() if getattr(step, "shape", None) == () and hasattr(step, "item") else step
    if isinstance(number, Real | Decimal):
        try:
            value = int(cast("SupportsInt", number))
        except (ValueError, OverflowError):
            raise StepError("step", step, "must be finite") from None
        if value == number:
            return value
    raise StepError("step", step, f"must be an integer, not {type(step).__name__}")


def check_current_step(step: int) -> None:
    """Check the current step that a batch states.

    Raises:
        StepError: if it is negative, or above 2^62 by more than the rows of a session can advance it.
    """
    if not 0 <= step <= MAX_CURRENT_STEP:
        raise StepError("current_step", step, f"must lie between 0 and {MAX_CURRENT_STEP}")


def advance(state: StepState, asked: int | None, commit: bool | None) -> StepDecision:
    """Apply the rule to one call; the reference implementation."""
    conflict = asked is not None and asked < state.current
    if asked is None or conflict:
        step = state.current + (conflict and state.begun)
        stays = commit is False
    else:
        step = asked
        stays = commit is not True
    return StepDecision(step, StepState(step, True) if stays else StepState(step + 1), conflict)


def resolve(
    state: StepState, asked: NDArray[np.int64] | None, commits: NDArray[np.int8] | None, rows: int
) -> ResolvedSteps:
    """Apply the rule to `rows` calls of one writer.

    Args:
        state: the writer's state before the calls.
        asked: the requested steps, int64[rows], NO_STEP for none; None if no row requests a step.
        commits: int8[rows] of commit codes; None if every row has the default.
        rows: the number of calls.

    Without conflicts, the rule is a running maximum over the requested steps, which numpy computes vectorised. From
    the first conflict on, each row depends on the outcome of the previous one, and rows are processed one by one.
    """
    import numpy as np

    if rows == 0:
        return ResolvedSteps(np.zeros(0, np.int64), np.zeros(0, np.bool_), state)
    if rows == 1:
        # The case of plain `log()` calls, which are frequent.
        step_asked = NO_STEP if asked is None else int(asked[0])
        flag = None if commits is None else _COMMIT_FLAGS[commits[0]]
        decision = advance(state, None if step_asked == NO_STEP else step_asked, flag)
        return ResolvedSteps(np.array([decision.step]), np.array([decision.conflict]), decision.state)
    if asked is None:
        moves = np.ones(rows, np.int64) if commits is None else (commits != COMMIT_FALSE).astype(np.int64)
        steps = state.current + np.cumsum(moves) - moves
        return ResolvedSteps(steps, np.zeros(rows, np.bool_), _state_after(steps, moves))
    steps, before, moves = _resolve_without_conflicts(state.current, asked, commits)
    conflicts = (asked != NO_STEP) & (asked < before)
    if not conflicts.any():
        return ResolvedSteps(steps, conflicts, _state_after(steps, moves))
    first = int(np.argmax(conflicts))
    # A row before this one has begun the current step's row if it did not advance.
    begun = not moves[first - 1] if first else state.begun
    return _resolve_one_by_one(StepState(int(before[first]), bool(begun)), steps, asked, commits, first)


def _state_after(steps: NDArray[np.int64], moves: NDArray[np.int64]) -> StepState:
    return StepState(int(steps[-1] + moves[-1]), not moves[-1])


def _resolve_without_conflicts(
    current: int, asked: NDArray[np.int64], commits: NDArray[np.int8] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return each row's step, the current step before it, and the number of steps by which it advances."""
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
    return steps, before, moves


def _resolve_one_by_one(
    state: StepState,
    steps: NDArray[np.int64],
    asked: NDArray[np.int64],
    commits: NDArray[np.int8] | None,
    first: int,
) -> ResolvedSteps:
    """Apply the rule to the rows from `first` on, before which the writer has `state`; `steps` is changed in place."""
    import numpy as np

    conflicts = np.zeros(len(steps), np.bool_)
    wanted = asked[first:].tolist()
    codes = [COMMIT_DEFAULT] * len(wanted) if commits is None else commits[first:].tolist()
    for row, (step, code) in enumerate(zip(wanted, codes, strict=True), first):
        decision = advance(state, None if step == NO_STEP else step, _COMMIT_FLAGS[code])
        steps[row], state, conflicts[row] = decision
    return ResolvedSteps(steps, conflicts, state)
