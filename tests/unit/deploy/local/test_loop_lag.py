"""Lag of the event loop over the last minute."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stepwell_deploy.local.loop_lag import LAG_ALARM_SECONDS, LoopLag


def test_the_alarm_rings_for_a_minute_after_a_block() -> None:
    lag = LoopLag()
    assert not lag.rings(0.0)
    lag.observe(LAG_ALARM_SECONDS, 10.0)
    lag.observe(0.001, 11.0)
    assert lag.rings(70.0)
    assert not lag.rings(70.1)
    assert lag.worst(70.1) == 0.001


@given(st.lists(st.tuples(st.floats(0, 30), st.floats(-1, 10)), max_size=40))
def test_the_worst_is_that_of_the_last_minute(looks: list[tuple[float, float]]) -> None:
    lag, now, seen = LoopLag(), 0.0, []
    for seconds, late in looks:
        now += seconds
        lag.observe(late, now)
        seen.append((now, max(late, 0.0)))
        assert lag.worst(now) == max(late for moment, late in seen if moment >= now - 60)
