"""Rollups: SQL, rebuild and check."""
