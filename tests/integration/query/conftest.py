"""Services that several files of this folder test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stepwell_schemas.clickhouse.store import Store
from support.servers.query import Service, service_over


@pytest.fixture
def cold(chdb_store: Store) -> Iterator[Service]:
    """A service that keeps nothing of what it has read."""
    with service_over(chdb_store) as service:
        yield service
