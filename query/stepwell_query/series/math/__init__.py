"""Sampling arithmetic over plain arrays."""
