"""The question whether ClickHouse answers: bounded, and one at a time."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from stepwell_query.readiness import PartReport, Readiness, StoreProbe
from stepwell_schemas.errors import StoreUnavailableError

pytestmark = pytest.mark.anyio


class FakeStore:
    """Answers, fails, or blocks its caller."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked = 0
        self.open = threading.Event()
        self.open.set()

    def query(self, _: str) -> None:
        self.asked += 1
        self.open.wait(30)
        if self.error is not None:
            raise self.error


def probe(store: FakeStore, seconds: float = 5.0) -> StoreProbe:
    fake: Any = store
    return StoreProbe(fake, seconds)


async def test_it_says_up_and_the_kind_of_an_error() -> None:
    assert await probe(FakeStore()).report() == PartReport("clickhouse", "up")
    refused = FakeStore(StoreUnavailableError("no answer at /secret/path"))
    assert await probe(refused).report() == PartReport("clickhouse", "down", "StoreUnavailableError")
    assert (await probe(FakeStore(OSError())).report()).reason == "OSError"


async def test_one_question_at_a_time_however_many_ask() -> None:
    store = FakeStore()
    store.open.clear()
    asked = probe(store, 0.01)
    for _ in range(5):
        assert await asked.report() == PartReport("clickhouse", "down", "no_answer")
    assert store.asked == 1
    store.open.set()
    while (await asked.report()).state != "up":
        pass
    assert store.asked <= 3


async def test_a_report_that_begins_as_another_ends_does_not_disturb_it() -> None:
    store = FakeStore()
    store.open.clear()
    asked = probe(store)

    async def twice() -> PartReport:
        await asked.report()
        return await asked.report()

    reports = [asyncio.create_task(twice()), asyncio.create_task(asked.report())]
    await asyncio.sleep(0)
    store.open.set()
    assert await asyncio.gather(*reports) == [PartReport("clickhouse", "up")] * 2


async def test_further_parts_come_after_it() -> None:
    fake: Any = FakeStore()
    readiness = Readiness(fake, lambda: [PartReport("broker", "starting", "exit_code_1", 2)])
    assert [part.name for part in await readiness.parts()] == ["clickhouse", "broker"]
    assert PartReport("broker", "starting", "exit_code_1", 2).fields() == {
        "state": "starting",
        "reason": "exit_code_1",
        "restarts": 2,
    }
