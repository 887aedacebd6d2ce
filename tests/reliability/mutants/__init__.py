"""Breaks the machinery of exactly once, one line at a time, to see whether the tests notice."""
