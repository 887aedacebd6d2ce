"""Positions of the log: how far each partition is stored, and where it is continued."""
