"""The step rule: its scalar form against a plain dictionary model, its column form against its scalar form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_schemas.errors import StepError
from stepwell_schemas.limits import MAX_STEP
from stepwell_schemas.rules.steps import NO_STEP, advance, check_step, commit_code, resolve

commits = st.sampled_from([None, True, False])
small_steps = st.none() | st.integers(-5, 40)
any_steps = st.none() | st.integers(-MAX_STEP, MAX_STEP)
calls = st.lists(st.tuples(small_steps, commits), max_size=60) | st.lists(st.tuples(any_steps, commits), max_size=20)


def model(start: int, logged: list[tuple[int | None, bool | None]]) -> tuple[dict[int, list[int]], list[int], int]:
    """Follow the rule's words with a dictionary of rows: which calls went to which step, which were conflicts."""
    rows: dict[int, list[int]] = {}
    conflicts: list[int] = []
    current = start
    for number, (asked, commit) in enumerate(logged):
        wanted = asked
        if wanted is not None and wanted < current:
            conflicts.append(number)
            wanted = None
        if wanted is not None:
            current = wanted
        rows.setdefault(current, []).append(number)
        moves_on = (wanted is None) if commit is None else commit
        if moves_on:
            current += 1
    return rows, conflicts, current


@given(st.integers(0, 50), calls)
def test_the_scalar_rule_is_the_model(start: int, logged: list[tuple[int | None, bool | None]]) -> None:
    current = start
    rows: dict[int, list[int]] = {}
    conflicts = []
    for number, (asked, commit) in enumerate(logged):
        decision = advance(current, asked, commit)
        rows.setdefault(decision.step, []).append(number)
        if decision.conflict:
            conflicts.append(number)
        current = decision.current
    assert (rows, conflicts, current) == model(start, logged)


@given(st.integers(0, 50), calls)
def test_the_column_rule_is_the_scalar_rule(start: int, logged: list[tuple[int | None, bool | None]]) -> None:
    asked = np.array([NO_STEP if step is None else step for step, _ in logged], np.int64)
    codes = np.array([commit_code(commit) for _, commit in logged], np.int8)
    resolved = resolve(start, asked, codes, len(logged))
    current = start
    for row, (step, commit) in enumerate(logged):
        decision = advance(current, step, commit)
        assert (resolved.steps[row], bool(resolved.conflicts[row])) == (decision.step, decision.conflict)
        current = decision.current
    assert resolved.current == current


@given(st.integers(0, 50), st.lists(small_steps, max_size=40))
def test_no_commit_column_means_every_default(start: int, asked: list[int | None]) -> None:
    steps = np.array([NO_STEP if step is None else step for step in asked], np.int64)
    left = resolve(start, steps, None, len(asked))
    right = resolve(start, steps, np.full(len(asked), commit_code(None), np.int8), len(asked))
    assert left.steps.tolist() == right.steps.tolist()
    assert left.conflicts.tolist() == right.conflicts.tolist()
    assert left.current == right.current


@given(st.integers(0, 50), st.lists(commits, max_size=40))
def test_no_step_column_means_none_asked(start: int, flags: list[bool | None]) -> None:
    codes = np.array([commit_code(flag) for flag in flags], np.int8)
    left = resolve(start, None, codes, len(flags))
    right = resolve(start, np.full(len(flags), NO_STEP), codes, len(flags))
    assert left.steps.tolist() == right.steps.tolist()
    assert left.current == right.current


def test_the_documented_sequences() -> None:
    assert advance(0, None, None) == (0, 1, False)
    assert advance(7, 7, None) == (7, 7, False), "a call at the current step merges and stays"
    assert advance(7, 9, True) == (9, 10, False)
    assert advance(7, 3, None) == (7, 8, True), "a conflict is logged as if no step had been given"
    assert advance(7, 3, False) == (7, 7, True)


@pytest.mark.parametrize("step", [0, -3, 5.0, np.int64(4), True, MAX_STEP])
def test_integral_steps_are_taken(step: object) -> None:
    assert check_step(step) == int(step)  # type: ignore[call-overload]


@pytest.mark.parametrize("step", [1.5, "3", None, MAX_STEP + 1, 2**63, float("nan"), float("inf"), [1]])
def test_other_steps_are_refused_with_their_value(step: object) -> None:
    with pytest.raises(StepError, match="step"):
        check_step(step)
