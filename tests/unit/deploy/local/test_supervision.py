"""Back-off, holds and alarms of a supervised part."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stepwell_deploy.local.supervision import NO_ANSWER, PartState, RestartPolicy, SupervisedPart

POLICY = RestartPolicy()


def started(now: float = 0.0) -> SupervisedPart:
    part = SupervisedPart("broker", now)
    part.started(now)
    return part


def test_each_failure_doubles_the_wait_up_to_the_longest() -> None:
    part, now, waits = started(), 0.0, []
    for _ in range(100):
        waits.append(part.ended(now, "exit_code_1"))
        now = part.restart_at
        part.starting(now)
    assert waits[:7] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0]
    assert set(waits[7:]) == {30.0}
    assert part.restarts == 100


@given(st.lists(st.tuples(st.floats(0, 200), st.booleans()), min_size=1, max_size=30))
def test_waits_are_bounded_and_begin_again_after_a_steady_run(runs: list[tuple[float, bool]]) -> None:
    part, now = started(), 0.0
    for seconds, comes_up in runs:
        if comes_up:
            part.started(now)
        now += seconds
        wait = part.ended(now, "exit_code_1")
        assert POLICY.first_seconds <= wait <= POLICY.longest_seconds
        if comes_up and seconds >= POLICY.steady_seconds + 1e-6:
            assert wait == POLICY.first_seconds
        assert not part.is_due(now)
        assert part.is_due(part.restart_at)
        now = part.restart_at
        part.starting(now)
        assert not part.is_due(now)


def test_it_is_ready_only_while_it_runs() -> None:
    part = SupervisedPart("broker", 0.0)
    assert not part.is_ready(0.0)
    part.started(1.0)
    assert part.is_ready(1.0)
    assert part.report(1.0)[1:] == ("up", "", 0)
    part.ended(2.0, "killed_by_SIGKILL")
    assert part.report(2.0)[1:] == ("down", "killed_by_SIGKILL", 0)
    part.starting(3.0)
    assert part.report(3.0)[1:] == ("starting", "killed_by_SIGKILL", 1)
    part.started(4.0)
    assert part.report(4.0)[1:] == ("up", "", 1)


def test_the_alarm_rings_for_one_that_stays_away() -> None:
    part = started()
    part.ended(100.0, "exit_code_1")
    assert not part.rings(100.0 + POLICY.alarm_seconds - 1)
    part.starting(101.0)
    assert part.rings(100.0 + POLICY.alarm_seconds)
    part.started(120.0)
    assert not part.rings(120.0)


def test_the_alarm_rings_for_one_that_ends_again_and_again_until_a_steady_run() -> None:
    part, now = started(), 0.0
    for _ in range(POLICY.alarm_failures):
        assert not part.rings(now)
        part.ended(now, "OSError")
        now += 1
        part.starting(now)
        part.started(now)
    assert part.rings(now)
    assert not part.rings(now + POLICY.steady_seconds)


def test_silence_makes_it_unready_and_then_hung() -> None:
    part = started()
    part.answered(10.0, False)
    part.answered(15.0, False)
    assert part.is_ready(10.0 + POLICY.patience_seconds - 1)
    unready = 10.0 + POLICY.patience_seconds
    assert part.report(unready)[1:] == ("down", NO_ANSWER, 0)
    assert not part.hangs(unready)
    assert part.rings(10.0 + POLICY.alarm_seconds)
    assert part.hangs(10.0 + POLICY.hang_seconds)
    part.answered(30.0, True)
    assert part.is_ready(100.0)
    part.answered(100.0, False)
    part.ended(101.0, NO_ANSWER)
    part.started(102.0)
    assert part.is_ready(102.0 + POLICY.hang_seconds)


def test_a_held_part_waits_for_its_release_and_rings_nothing() -> None:
    part = started()
    part.hold(10.0, "disk_space")
    assert not part.is_due(1e6)
    assert not part.rings(1e6)
    assert part.report(1e6)[1:] == ("held", "disk_space", 0)
    part.release(1e6)
    assert part.is_due(1e6)
    assert not part.rings(1e6)
    assert part.state is PartState.DOWN
