"""Numbered migrations of the ClickHouse schema, and their runner."""
