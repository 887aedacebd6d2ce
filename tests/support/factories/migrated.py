"""Databases of earlier versions."""

from __future__ import annotations

from unittest.mock import patch

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.migrations import runner


def migrate_below(store: Store, number: int) -> None:
    """Create a store's database with the migrations below a number only, without rollups of rows that are there."""
    earlier = [migration for migration in runner.migrations() if migration.number < number]
    with patch.object(runner, "_AT_LAST", {}):
        store.command("CREATE DATABASE IF NOT EXISTS {db}")
        runner.apply_missing(store, earlier)
