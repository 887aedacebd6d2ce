"""Rollup rows of a flush."""
