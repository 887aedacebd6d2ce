"""Levels of free space."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_deploy.local.disk_space import DiskLevel, DiskThresholds, disk_level, free_bytes

THRESHOLDS = DiskThresholds(2_000, 500)


@pytest.mark.parametrize(
    ("free", "level"),
    [
        (2_000, DiskLevel.ENOUGH),
        (1_999, DiskLevel.LOW),
        (500, DiskLevel.LOW),
        (499, DiskLevel.RESERVED),
        (250, DiskLevel.RESERVED),
        (249, DiskLevel.FULL),
        (0, DiskLevel.FULL),
    ],
)
def test_levels_begin_below_their_thresholds(free: int, level: DiskLevel) -> None:
    assert disk_level(free, THRESHOLDS) is level


def test_a_level_is_left_a_tenth_above_its_threshold() -> None:
    assert disk_level(549, THRESHOLDS, DiskLevel.RESERVED) is DiskLevel.RESERVED
    assert disk_level(550, THRESHOLDS, DiskLevel.RESERVED) is DiskLevel.LOW
    assert disk_level(2_199, THRESHOLDS, DiskLevel.FULL) is DiskLevel.LOW
    assert disk_level(2_200, THRESHOLDS, DiskLevel.FULL) is DiskLevel.ENOUGH


def test_a_threshold_of_0_is_off_and_the_alarm_is_never_after_the_reserve() -> None:
    assert disk_level(0, DiskThresholds(0, 0)) is DiskLevel.ENOUGH
    assert disk_level(0, DiskThresholds(10, 0)) is DiskLevel.LOW
    assert disk_level(499, DiskThresholds(10, 500)) is DiskLevel.RESERVED


@given(st.integers(0, 5_000), st.integers(0, 5_000), st.sampled_from(DiskLevel))
def test_more_space_is_never_a_worse_level(one: int, other: int, before: DiskLevel) -> None:
    less, more = sorted((one, other))
    assert disk_level(more, THRESHOLDS, before) <= disk_level(less, THRESHOLDS, before)
    # Levels have hysteresis: nothing starts and stops repeatedly while the space stays the same.
    reached = disk_level(less, THRESHOLDS, before)
    assert disk_level(less, THRESHOLDS, reached) is reached


def test_free_space_is_measured(tmp_path: Path) -> None:
    assert free_bytes(tmp_path) > 0
