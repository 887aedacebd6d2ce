"""A short form of `make soak-events`."""

from __future__ import annotations

import os
import random

import pytest

from reliability.soak.events import soak
from stepwell_schemas.clickhouse.store import Store
from support.draws import draws
from support.servers.ingest import make_ingestor_settings
from support.servers.stack import Topics

pytestmark = pytest.mark.anyio


async def test_mutated_events_neither_end_nor_stall_an_ingestor(broker: str, topics: Topics, chdb_store: Store) -> None:
    seed = 1 if "CI" in os.environ else random.randrange(2**31)
    await soak(make_ingestor_settings(broker, topics), chdb_store, draws(1_000, 20_000), seed)
