"""Alarms: in the metrics and in `stepwell status` while a fault lasts, and cleared afterwards."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stepwell_deploy.clickhouse_server.server import ClickHouseHttp
from stepwell_ingestor.alarms import LEAST_DEAD_LETTERS, WINDOW_EVENTS
from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.events.codec import encode
from stepwell_schemas.events.models import LogEvent
from support.servers.command import run_stepwell
from support.servers.ingest import PATH, a_batch, ingesting, make_ingestor_settings, send, until
from support.servers.sdk import Served, eventually, serving
from support.servers.stack import Stack, Topics

A_GOOD_EVENT = encode(LogEvent(**PATH._asdict(), data={"x": 1.0}))


def status(url: str, *arguments: str) -> str:
    """Return the output of `stepwell status`; its exit code must match its alarms."""
    done = run_stepwell("status", *arguments, environment={"STEPWELL_BASE_URL": url}, code=None)
    text = done.stdout.decode()
    rings = bool(json.loads(text)["alarms"]) if "--json" in arguments else "ALARM" in text
    assert done.returncode == rings, done.stderr
    return text


def alarms(url: str) -> list[Any]:
    """Return the alarms of `stepwell status --json`."""
    found: list[Any] = json.loads(status(url, "--json"))["alarms"]
    return found


def metric(url: str, name: str) -> float:
    """Return a metric of the service."""
    lines = dict(line.rsplit(" ", 1) for line in httpx.get(f"{url}/metrics").text.splitlines() if line[0] != "#")
    return float(lines[name])


def test_a_flood_of_poison_rings_until_good_events_follow(broker: str, topics: Topics, sdk: Served) -> None:
    url = sdk.environment["STEPWELL_BASE_URL"]
    asyncio.run(send(broker, topics.events, [A_GOOD_EVENT, *[b"poison"] * (LEAST_DEAD_LETTERS - 1)]))
    eventually(lambda: metric(url, "stepwell_ingestor_deadletter_share"), 1 - 1 / LEAST_DEAD_LETTERS)
    assert alarms(url) == []
    asyncio.run(send(broker, topics.events, [b"poison"] * 5))
    eventually(lambda: metric(url, "stepwell_ingestor_deadletter_alarm"), 1.0)
    assert [alarm["name"] for alarm in alarms(url)] == ["dead_letters"]
    assert "ALARM 9" in status(url)
    asyncio.run(send(broker, topics.events, [A_GOOD_EVENT] * WINDOW_EVENTS))
    eventually(lambda: metric(url, "stepwell_ingestor_deadletter_share"), 0.0)
    assert metric(url, "stepwell_ingestor_deadletter_alarm") == 0
    assert alarms(url) == []
    assert "ALARM" not in status(url)


@pytest.fixture
def url(chdb_store: Store) -> Iterator[str]:
    """The address of a query service in this process."""
    with serving(chdb_store) as url:
        yield url


@pytest.mark.anyio
async def test_events_that_wait_for_clickhouse_ring(
    broker: str, topics: Topics, stack: Stack, chdb_store: Store, url: str
) -> None:
    folder = Path(stack.dsn("chdb").removeprefix("chdb://"))
    server = ClickHouseHttp(folder, "127.0.0.1", 0, "tests", "tests")
    server.start()
    store = connect(f"http://tests:tests@127.0.0.1:{server.port}", chdb_store.database)
    async with ingesting(make_ingestor_settings(broker, topics, ingestor_retry_seconds=0.2), store):
        server.stop()
        await send(broker, topics.events, [encode(a_batch(0, 3))])
        await until(lambda: metric(url, "stepwell_ingestor_store_alarm"), 1.0)
        assert [alarm["name"] for alarm in await asyncio.to_thread(alarms, url)] == ["store_unreachable"]
        again = ClickHouseHttp(folder, "127.0.0.1", server.port, "tests", "tests")
        again.start()
        await until(lambda: metric(url, "stepwell_ingestor_store_alarm"), 0.0)
    again.stop()
    store.close()
