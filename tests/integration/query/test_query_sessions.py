"""Accounts of sessions: from the ingestor to the endpoint."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.events.codec import encode
from stepwell_schemas.events.models import LogEvent, RunStarted
from stepwell_schemas.rules.identifiers import RunPath
from support.servers.ingest import PATH, a_batch, counted, ingesting, make_ingestor_settings, send, until
from support.servers.query import Service, service_over
from support.servers.stack import Topics

pytestmark = [pytest.mark.anyio, pytest.mark.one_dsn]


@pytest.fixture
def service(chdb_store: Store) -> Iterator[Service]:
    with service_over(chdb_store) as service:
        yield service


async def test_a_session_is_accounted_for(broker: str, topics: Topics, chdb_store: Store, service: Service) -> None:
    events = [
        RunStarted(**PATH._asdict(), session="s", sequence=0, writer="w"),
        a_batch(1, 4, writer="w"),
        a_batch(3, 4, writer="w"),
        LogEvent(**PATH._asdict(), session="s", sequence=9, writer="w", step=0, data={"a": 1.0, "": 2.0}),
        LogEvent(**PATH._asdict(), session="other", sequence=0, data={"a": 1.0}),
    ]
    async with ingesting(make_ingestor_settings(broker, topics), chdb_store):
        await send(broker, topics.events, [encode(event) for event in events])
        await until(counted(chdb_store, "session_activity FINAL"), 2)
    account = await service.json(PATH, "sessions/s")
    listed = await service.json(PATH, "sessions")
    nothing = await service.get(PATH, "sessions/unknown")
    nobody = await service.get(RunPath("me", "p", "nobody"), "sessions")
    assert account == {
        "session": "s",
        "writer": "w",
        "records": 10,
        "log_rows": 7,
        "points": 13,
        "conflicts": 1,
        "dead_letters": 1,
        "repeated": 2,
        "missing": 2,
        "content": "0" * 16,
        "content_rows": 0,
        "differing_rows": 0,
        "moved_rows": 0,
        "stop_requested": False,
        "writer_shared": False,
    }
    assert [one["session"] for one in listed["sessions"]] == ["other", "s"]
    assert (nothing.status_code, nobody.status_code) == (404, 404)
    assert [answer.json()["type"] for answer in (nothing, nobody)] == ["urn:stepwell:problem:not-found"] * 2
