"""Replay of a run's log, for `stepwell verify`."""
