"""Conversion of logged values and of a run's metadata."""
