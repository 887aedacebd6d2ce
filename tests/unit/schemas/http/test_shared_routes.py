"""Applications that share routes: each answers from its own state, and describes all routes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
from fastapi import APIRouter, FastAPI, Request
from starlette.routing import BaseRoute

from stepwell_schemas.http.shared_routes import share_routes


def application(routes: Sequence[BaseRoute], name: str) -> FastAPI:
    app = FastAPI()
    app.state.name = name
    app.router.routes.extend(routes)
    return app


async def answer(app: FastAPI, path: str) -> tuple[int, str]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        found = await client.get(path)
        return found.status_code, found.text


def test_each_application_answers_from_its_own_state() -> None:
    router, other = APIRouter(prefix="/api"), APIRouter()

    @router.get("/name")
    async def name(request: Request) -> str:
        return str(request.app.state.name)

    @other.get("/other")
    async def of_other() -> None:
        """Answer nothing."""

    responses: dict[int | str, Any] = {404: {"description": "is described"}}
    routes = share_routes([router], responses)
    first, second = (application(routes, name) for name in ("first", "second"))
    both = application(share_routes([router, other], responses), "both")
    for app in (first, second, both, first):
        assert asyncio.run(answer(app, "/api/name")) == (200, f'"{app.state.name}"')
        assert (asyncio.run(answer(app, "/other"))[0] == 200) == (app is both)
        assert app.openapi()["paths"]["/api/name"]["get"]["responses"]["404"] == {"description": "is described"}
    assert first.openapi() == second.openapi()
