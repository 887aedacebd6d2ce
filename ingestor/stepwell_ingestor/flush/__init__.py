"""Flushes of a partition: buffer, policy, inserts and dead letters."""
