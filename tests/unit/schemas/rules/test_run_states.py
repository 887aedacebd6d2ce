"""The state that is served for a stored one, and for a run without a sign of life."""

from __future__ import annotations

import pytest

from stepwell_schemas.events.models import RunFinished
from stepwell_schemas.limits import CRASHED_AFTER_SECONDS
from stepwell_schemas.migrations.run_states_view import runs_view
from stepwell_schemas.rules.run_states import CRASHED, FAILED, FINISHED, KILLED, RUNNING, alive_since, served_state

_NOW = 1_800_000_000_000


@pytest.mark.parametrize(
    ("stored", "silent_seconds", "served"),
    [
        (RUNNING, 0, RUNNING),
        (RUNNING, 60, RUNNING),
        (RUNNING, 61, CRASHED),
        (RUNNING, -3_600, RUNNING),
        (FINISHED, 3_600, FINISHED),
        (FAILED, 3_600, FAILED),
        (KILLED, 3_600, KILLED),
        (CRASHED, 0, CRASHED),
    ],
)
def test_a_running_run_without_a_sign_of_life_is_crashed(stored: str, silent_seconds: int, served: str) -> None:
    assert served_state(stored, _NOW - 1_000 * silent_seconds, alive_since(_NOW, 60.0)) == served


def test_a_run_that_comes_back_is_running_again() -> None:
    since = alive_since(_NOW, CRASHED_AFTER_SECONDS)
    assert [served_state(RUNNING, last_sign, since) for last_sign in (0, _NOW)] == [CRASHED, RUNNING]


@pytest.mark.parametrize("state", [FINISHED, FAILED, KILLED, CRASHED])
def test_a_run_can_end_in_every_state_but_running(state: str) -> None:
    assert RunFinished.model_validate({"entity": "e", "project": "p", "run_id": "r", "state": state}).state == state


def test_the_setting_is_part_of_the_view() -> None:
    assert runs_view(CRASHED_AFTER_SECONDS) != runs_view(1.5)
    assert "toIntervalMillisecond(1500)" in runs_view(1.5)
