"""One address for the query service and the gateway: each request reaches the one that serves its method and path."""

from __future__ import annotations

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from stepwell_deploy.local.dispatcher import Dispatcher, merge_documents

pytestmark = pytest.mark.anyio

RUN = "/api/v1/runs/{entity}/{project}/{run_id}"


@pytest.fixture
def query() -> FastAPI:
    app = FastAPI(title="query", description="Reads.\n\nMore.")

    @app.get("/healthz")
    @app.get(RUN)
    @app.get("/{entity}/{project}/{run_id}", include_in_schema=False)
    async def answer() -> str:
        return "query"

    return app


@pytest.fixture
def routers() -> list[APIRouter]:
    router = APIRouter()

    @router.post("/api/v1/events")
    @router.patch(RUN.replace("run_id", "run"))
    @router.delete(RUN.replace("run_id", "run"))
    async def answer() -> str:
        return "gateway"

    return [router]


@pytest.fixture
def gateway(routers: list[APIRouter]) -> FastAPI:
    app = FastAPI(title="gateway", description="Writes.\n\nMore.")
    app.include_router(routers[0])

    @app.get("/healthz")
    async def healthz() -> str:
        return "gateway"

    return app


@pytest.mark.parametrize(
    ("method", "path", "status", "answer"),
    [
        ("POST", "/api/v1/events", 200, "gateway"),
        ("GET", "/api/v1/events", 405, None),
        ("GET", "/api/v1/runs/a/b/c", 200, "query"),
        ("PATCH", "/api/v1/runs/a/b/c", 200, "gateway"),
        ("DELETE", "/api/v1/runs/a/b/c", 200, "gateway"),
        ("PUT", "/api/v1/runs/a/b/c", 405, None),
        ("GET", "/healthz", 200, "query"),
        ("GET", "/me/digits/run", 200, "query"),
    ],
)
async def test_each_request_reaches_its_service(
    query: FastAPI,
    gateway: FastAPI,
    routers: list[APIRouter],
    method: str,
    path: str,
    status: int,
    answer: str | None,
) -> None:
    transport = httpx.ASGITransport(Dispatcher(query, gateway, routers))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        response = await client.request(method, path)
    assert (response.status_code, response.json() if status == 200 else None) == (status, answer)


async def test_one_document_describes_both(query: FastAPI, gateway: FastAPI) -> None:
    merge_documents(query, gateway)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(query), base_url="http://localhost") as client:
        document = (await client.get("/openapi.json")).json()
    assert set(document["paths"]) == {"/healthz", RUN, RUN.replace("run_id", "run"), "/api/v1/events"}
    assert document["info"]["title"] == "query"
    assert "Writes." in document["info"]["description"]
