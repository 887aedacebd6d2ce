"""Rules of retention: periods, boundaries, and the time of passes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_schemas.errors import RetentionError
from stepwell_schemas.limits import MAX_STEP
from stepwell_schemas.retention.policy import (
    FOREVER,
    KEPT_STEPS,
    Policy,
    build_policy,
    describe_policy,
    format_period,
    is_due,
    next_boundary,
    oldest_kept,
    parse_period,
)

DAY_MS = 86_400_000

steps = st.one_of(st.integers(0, 1_000), st.integers(0, MAX_STEP))
boundaries = steps.map(lambda step: step // KEPT_STEPS * KEPT_STEPS)
times = st.integers(0, 2**50)


@given(st.integers(1, 999_999), st.sampled_from("hdwy"))
def test_a_period_is_read_as_it_is_written(number: int, unit: str) -> None:
    period = parse_period("raw", f" {number}{unit.upper()} ")
    assert period == number * {"h": 3_600_000, "d": DAY_MS, "w": 7 * DAY_MS, "y": 365 * DAY_MS}[unit]
    assert parse_period("raw", format_period(period)) == period


@pytest.mark.parametrize("text", ["", "0d", "90", "d", "-1d", "1.5d", "90m", "1000000d", "d90", "90d 1h", "never"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(RetentionError, match="forever"):
        parse_period("raw", text)


def test_rollups_are_kept_at_least_as_long_as_values() -> None:
    assert build_policy("90d", "forever", "30d") == Policy(90 * DAY_MS, FOREVER, 30 * DAY_MS)
    assert describe_policy(build_policy("90d", "365d", "forever")) == {
        "raw": "90d",
        "rollups": "1y",
        "media": "forever",
    }
    assert build_policy("forever", "forever", "forever").removes_nothing
    for raw in ("forever", "91d"):
        with pytest.raises(RetentionError, match="rollups"):
            build_policy(raw, "90d", "forever")


@given(times, st.integers(1, 2**40))
def test_what_is_kept_begins_a_period_ago(now: int, period: int) -> None:
    assert oldest_kept(FOREVER, now) is None
    assert oldest_kept(period, now) == now - period


@given(steps, st.one_of(st.none(), steps), boundaries)
def test_a_boundary_keeps_young_values_and_the_bucket_of_the_last_step(
    last: int, young: int | None, before: int
) -> None:
    boundary = next_boundary(last, young, before)
    assert boundary % KEPT_STEPS == 0
    assert boundary >= before
    if boundary > before:
        assert boundary <= last
        assert last - boundary < KEPT_STEPS or young is not None
        assert young is None or boundary <= young
    # As much as possible goes.
    lowest = last if young is None else min(last, young)
    assert boundary + KEPT_STEPS > lowest


@given(boundaries, st.lists(st.tuples(steps, st.one_of(st.none(), steps)), max_size=10))
def test_boundaries_never_fall_and_repeating_a_pass_changes_nothing(
    before: int, passes: list[tuple[int, int | None]]
) -> None:
    for last, young in passes:
        after = next_boundary(last, young, before)
        assert after >= before
        assert next_boundary(last, young, after) == after
        before = after


@given(times, st.integers(1, 10**7), times, times)
def test_a_pass_is_due_after_an_interval_or_a_request(now: int, interval: int, start: int, requested: int) -> None:
    assert is_due(now, interval, start, requested) == (now - start >= interval or requested > start)
    assert not is_due(start, interval, start, min(requested, start))
