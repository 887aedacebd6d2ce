"""Replay and comparison of a run's log, for `stepwell verify`."""
