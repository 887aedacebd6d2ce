"""The step rule: its scalar form against a plain dictionary model, its column form against its scalar form."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_schemas.errors import StepError
from stepwell_schemas.limits import MAX_STEP
from stepwell_schemas.rules.steps import (
    MAX_CURRENT_STEP,
    NO_STEP,
    StepState,
    advance,
    check_current_step,
    check_step,
    commit_code,
    resolve,
)

commits = st.sampled_from([None, True, False])
small_steps = st.none() | st.integers(-5, 40)
any_steps = st.none() | st.integers(-MAX_STEP, MAX_STEP)
calls = st.lists(st.tuples(small_steps, commits), max_size=60) | st.lists(st.tuples(any_steps, commits), max_size=20)


states = st.builds(StepState, st.integers(0, 50), st.booleans())
Logged = list[tuple[int | None, bool | None]]


def model(start: StepState, logged: Logged) -> tuple[dict[int, list[int]], list[int], StepState]:
    """Follow the rule's words with a dictionary of rows: which calls went to which step, which were conflicts."""
    rows: dict[int, list[int]] = {}
    conflicts: list[int] = []
    current, written = start.current, {start.current} if start.begun else set[int]()
    for number, (asked, commit) in enumerate(logged):
        wanted = asked
        if wanted is not None and wanted < current:
            conflicts.append(number)
            wanted = None
            while current in written:
                current += 1
        if wanted is not None:
            current = wanted
        rows.setdefault(current, []).append(number)
        written.add(current)
        moves_on = (wanted is None) if commit is None else commit
        if moves_on:
            current += 1
    return rows, conflicts, StepState(current, current in written)


@given(states, calls)
def test_the_scalar_rule_is_the_model(start: StepState, logged: Logged) -> None:
    state = start
    rows: dict[int, list[int]] = {}
    conflicts = []
    for number, (asked, commit) in enumerate(logged):
        decision = advance(state, asked, commit)
        rows.setdefault(decision.step, []).append(number)
        if decision.conflict:
            conflicts.append(number)
        state = decision.state
    assert (rows, conflicts, state) == model(start, logged)


@given(states, calls)
def test_a_conflict_joins_no_row_that_has_begun(start: StepState, logged: Logged) -> None:
    rows, conflicts, _ = model(start, logged)
    first_calls = {numbers[0] for numbers in rows.values()}
    assert first_calls.issuperset(conflicts)
    if start.begun:
        assert not set(rows.get(start.current, ())) & set(conflicts)


@given(states, calls)
def test_the_column_rule_is_the_scalar_rule(start: StepState, logged: Logged) -> None:
    asked = np.array([NO_STEP if step is None else step for step, _ in logged], np.int64)
    codes = np.array([commit_code(commit) for _, commit in logged], np.int8)
    resolved = resolve(start, asked, codes, len(logged))
    state = start
    for row, (step, commit) in enumerate(logged):
        decision = advance(state, step, commit)
        assert (resolved.steps[row], bool(resolved.conflicts[row])) == (decision.step, decision.conflict)
        state = decision.state
    assert resolved.state == state


@given(states, calls, st.integers(0, 60))
def test_calls_resolved_in_two_parts_get_the_same_steps(start: StepState, logged: Logged, cut: int) -> None:
    asked = np.array([NO_STEP if step is None else step for step, _ in logged], np.int64)
    codes = np.array([commit_code(commit) for _, commit in logged], np.int8)
    whole = resolve(start, asked, codes, len(logged))
    left = resolve(start, asked[:cut], codes[:cut], len(asked[:cut]))
    right = resolve(left.state, asked[cut:], codes[cut:], len(asked[cut:]))
    assert [*left.steps, *right.steps] == whole.steps.tolist()
    assert [*left.conflicts, *right.conflicts] == whole.conflicts.tolist()
    assert right.state == whole.state


@given(states, st.lists(small_steps, max_size=40))
def test_no_commit_column_means_every_default(start: StepState, asked: list[int | None]) -> None:
    steps = np.array([NO_STEP if step is None else step for step in asked], np.int64)
    left = resolve(start, steps, None, len(asked))
    right = resolve(start, steps, np.full(len(asked), commit_code(None), np.int8), len(asked))
    assert left.steps.tolist() == right.steps.tolist()
    assert left.conflicts.tolist() == right.conflicts.tolist()
    assert left.state == right.state


@given(states, st.lists(commits, max_size=40))
def test_no_step_column_means_none_asked(start: StepState, flags: list[bool | None]) -> None:
    codes = np.array([commit_code(flag) for flag in flags], np.int8)
    left = resolve(start, None, codes, len(flags))
    right = resolve(start, np.full(len(flags), NO_STEP), codes, len(flags))
    assert left.steps.tolist() == right.steps.tolist()
    assert left.state == right.state


def test_the_documented_sequences() -> None:
    assert advance(StepState(0), None, None) == (0, (1, False), False)
    assert advance(StepState(7, True), 7, None) == (7, (7, True), False), "a call at the current step merges and stays"
    assert advance(StepState(7), 9, True) == (9, (10, False), False)
    assert advance(StepState(7), 3, None) == (7, (8, False), True), "a conflict is logged as if no step had been given"
    assert advance(StepState(7), 3, False) == (7, (7, True), True)
    assert advance(StepState(100, True), 50, None) == (101, (102, False), True), "but joins no row that has begun"
    assert advance(StepState(100, True), 50, False) == (101, (101, True), True)
    assert advance(StepState(100, True), None, None) == (100, (101, False), False), "a call without a step joins it"


@pytest.mark.parametrize("step", [-1, MAX_CURRENT_STEP + 1])
def test_a_current_step_out_of_range_is_refused(step: int) -> None:
    check_current_step(0)
    check_current_step(MAX_CURRENT_STEP)
    with pytest.raises(StepError):
        check_current_step(step)


@pytest.mark.parametrize(
    "step",
    [0, -3, 5.0, np.int64(4), True, MAX_STEP, np.float32(64), np.float16(2), np.array(5.0), Decimal(7), Fraction(8, 2)],
)
def test_integral_steps_are_taken(step: object) -> None:
    assert check_step(step) == int(step)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "step", [1.5, "3", None, MAX_STEP + 1, 2**63, float("nan"), float("inf"), [1], np.float32(0.5), Decimal("NaN"), 1j]
)
def test_other_steps_are_refused_with_their_value(step: object) -> None:
    with pytest.raises(StepError, match="step"):
        check_step(step)
