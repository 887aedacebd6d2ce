"""Rows by step: history, scans and their formats."""
