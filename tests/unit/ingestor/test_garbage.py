"""Garbage is collected rarely in a process with an ingestor."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from unittest.mock import create_autospec

import pytest

from stepwell_ingestor.garbage import collect_rarely
from stepwell_ingestor.kafka.client import Kafka
from stepwell_ingestor.service import Ingestor
from stepwell_ingestor.settings import IngestorSettings
from stepwell_schemas.clickhouse.store import Store

DEFAULT = (700, 10, 10)


@pytest.fixture(autouse=True)
def thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(*DEFAULT)
    yield
    gc.set_threshold(*before)


@pytest.mark.parametrize("own", [(1_000_000, 5, 5), (0, 10, 10)])
def test_a_collection_that_is_rarer_or_disabled_stays(own: tuple[int, int, int]) -> None:
    gc.set_threshold(*own)
    collect_rarely()
    assert gc.get_threshold() == own


def test_an_ingestor_collects_rarely() -> None:
    kafka = create_autospec(Kafka, instance=True)
    kafka.start.side_effect = RuntimeError("no broker")

    async def run() -> None:
        await Ingestor(IngestorSettings(), create_autospec(Store, instance=True), kafka).run()

    with pytest.raises(RuntimeError, match="no broker"):
        asyncio.run(run())
    assert gc.get_threshold() > DEFAULT
