"""Rollups: their SQL, rebuild and check."""
