"""The service as a whole: a real socket, its health, its documents of what went wrong."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
import numpy as np
import pytest
import uvicorn

from stepwell_query.api.app import create_app
from stepwell_query.settings import QuerySettings
from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.points import RunWriter
from support.servers.query import Service, run_url, service_over
from support.servers.stack import Stack

pytestmark = [pytest.mark.anyio, pytest.mark.one_dsn]

RUN = RunPath("me", "digits", "one")
DEADLINE_SECONDS: Final = 10


@pytest.fixture
def service(store: Store) -> Iterator[Service]:
    with service_over(store, kafka_bootstrap_servers="broker:9092", events_topic="events") as service:
        yield service


@asynccontextmanager
async def on_a_socket(store: Store) -> AsyncIterator[httpx.AsyncClient]:
    server = uvicorn.Server(uvicorn.Config(create_app(QuerySettings(), store), port=0, log_level="warning"))
    task = asyncio.create_task(server.serve())
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not server.started:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE_SECONDS) as client:
        yield client
    server.should_exit = True
    await task


@pytest.mark.both_dsns
async def test_a_real_socket_answers_as_the_application_does(service: Service, store: Store) -> None:
    RunWriter(store, RUN).document().numbers("loss", range(20_000), np.arange(20_000.0))
    inside = await service.get(RUN, "series", key="loss")
    async with on_a_socket(store) as client:
        url = run_url(RUN, "series")
        answers = await asyncio.gather(*(client.get(url, params={"key": "loss"}) for _ in range(20)))
        assert {answer.content for answer in answers} == {inside.content}
        async with client.stream("GET", run_url(RUN, "scan")) as answer:
            assert answer.status_code == 200
            assert sum([1 async for _ in answer.aiter_lines()]) == 20_000


@pytest.mark.both_dsns
async def test_a_scan_that_is_left_early_leaves_the_service_whole(store: Store) -> None:
    RunWriter(store, RUN).document().numbers("loss", range(300_000), np.arange(300_000.0))
    async with on_a_socket(store) as client:
        for _ in range(12):
            async with client.stream("GET", run_url(RUN, "scan"), params={"page_size": 1_000}) as answer:
                await anext(answer.aiter_lines())
        assert (await client.get(run_url(RUN))).status_code == 200


@pytest.mark.both_dsns
async def test_health_documents_and_metrics(service: Service) -> None:
    assert (await service.client.get("/healthz")).status_code == 200
    ready = (await service.client.get("/readyz")).json()
    assert ready == {"status": "ready", "parts": {"clickhouse": {"state": "up", "reason": "", "restarts": 0}}}
    assert (await service.client.get("/docs")).status_code == 200
    paths = (await service.client.get("/openapi.json")).json()["paths"]
    assert "/api/v1/runs/{entity}/{project}/{run_id}/series" in paths
    assert "stepwell_query_requests_total" in (await service.client.get("/metrics")).text


async def test_connect_says_where_to_send(service: Service) -> None:
    answer = (await service.client.get("/api/v1/connect")).json()
    assert answer["kafka"] == {"bootstrap_servers": "broker:9092", "security_protocol": "PLAINTEXT"}
    assert answer["topics"] == {"events": "events", "deadletters": "stepwell.deadletters"}
    assert answer["limits"]["points"] == 10_000


@pytest.fixture
def cut_off(stack: Stack, store: Store) -> Iterator[Service]:
    """The service over a connection that was lost."""
    lost = connect(stack.dsn("chdb"), store.database)
    lost.close()
    with service_over(lost) as service:
        yield service


async def test_without_a_store_it_lives_and_is_not_ready(cut_off: Service) -> None:
    ready = await cut_off.client.get("/readyz")
    assert ready.status_code == 503
    assert ready.json()["parts"]["clickhouse"]["state"] == "down"
    assert ready.headers["content-type"] == "application/problem+json"
    assert (await cut_off.client.get("/healthz")).status_code == 200


@pytest.mark.parametrize("below", ["", "metrics", "series?key=loss", "history", "scan"])
async def test_an_unknown_run_is_404(service: Service, below: str) -> None:
    answer = await service.client.get(f"{run_url(RUN)}/{below}".rstrip("/"))
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert str(RUN) in answer.json()["detail"]


@pytest.mark.parametrize("name", ["a b", 'it\'s "quoted"', "🚀", "50%", "a?b#c", "<script>", "{db}", "ünï", "a;b\\"])
@pytest.mark.both_dsns
async def test_any_name_works_in_a_path(service: Service, store: Store, name: str) -> None:
    run = RunPath(name, name, name)
    RunWriter(store, run).document().numbers(name, [0, 1], [1.0, 2.0])
    assert (await service.json(run))["path"] == str(run)
    assert (await service.json(run, "series", key=name))["series"][0]["value"] == [1.0, 2.0]
    assert [row[name] for row in (await service.json(run, "history", key=name))["rows"]] == [1.0, 2.0]


@pytest.mark.parametrize("name", ["%00", "%0a", "%20lead", "x" * 129, "%ED%A0%80", "%2e%2e"])
async def test_a_name_that_can_be_none_is_refused(service: Service, name: str) -> None:
    answer = await service.client.get(f"/api/v1/runs/me/digits/{name}")
    assert answer.status_code in {404, 422}
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("below", "query", "field"),
    [
        ("history", {"samples": 1}, "samples"),
        ("history", {"samples": 10_001}, "samples"),
        ("history", {"min_step": 5, "max_step": 4}, "max_step"),
        ("history", {"sample": 5}, "sample"),
        ("history", {"interpolate": "cubic"}, "interpolate"),
        ("scan", {"format": "xlsx"}, "format"),
        ("scan", {"shape": "square"}, "shape"),
        ("scan", {"cursor": "5"}, "cursor"),
        ("scan", {"min_step": 5, "max_step": 4}, "max_step"),
        ("scan", {"min_step": "x"}, "min_step"),
        ("metrics", {"format": "xml"}, "format"),
    ],
)
async def test_bad_parameters_name_field_and_remedy(
    service: Service, below: str, query: dict[str, Any], field: str
) -> None:
    answer = await service.get(RUN, below, **query)
    assert answer.status_code == 422
    error = answer.json()["errors"][0]
    assert error["field"] == field
    assert error["rule"]
    assert error["remedy"]


async def test_what_is_not_served_is_a_problem_too(service: Service) -> None:
    for answer in (await service.client.get("/api/nothing"), await service.client.put("/healthz")):
        assert answer.status_code in {404, 405}
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff\xfe", b'{"sql": 5}', b'{"runs": ["a"], "keys": []}'])
async def test_bad_bodies_are_422(service: Service, body: bytes) -> None:
    for url in ("/api/v1/sql", "/api/v1/series"):
        answer = await service.client.post(url, content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 422
        assert answer.json()["errors"]
