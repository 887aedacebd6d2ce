"""When an ingestor counts as stalled."""

from __future__ import annotations

from stepwell_ingestor.progress import StallWatch


def test_events_that_wait_without_a_flush_are_a_stall() -> None:
    watch = StallWatch(60.0, now=0.0)
    assert not watch.observe(5, None, 59.0)
    assert watch.observe(5, None, 60.0)
    assert not watch.observe(5, 1.0, 61.0)
    assert not watch.observe(5, 1.0, 120.0)
    assert watch.observe(9, 1.0, 121.0)


def test_nothing_to_do_is_no_stall() -> None:
    watch = StallWatch(60.0, now=0.0)
    assert not watch.observe(0, None, 1_000.0)
    assert not watch.observe(1, None, 1_059.0)
    assert watch.observe(1, None, 1_060.0)
    assert not watch.observe(0, None, 1_061.0)
