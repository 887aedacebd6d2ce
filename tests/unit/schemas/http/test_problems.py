"""Problem documents of invalid parameters: each bound has a remedy that names it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Query

from stepwell_schemas.http.problems import install_common

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("bound", "sent", "remedy"),
    [
        (Query(ge=2), 1, "send at least 2"),
        (Query(gt=2), 2, "send more than 2"),
        (Query(le=2), 3, "send at most 2"),
        (Query(lt=2), 2, "send less than 2"),
    ],
)
async def test_a_bound_is_named_by_its_remedy(bound: Any, sent: int, remedy: str) -> None:
    app = FastAPI()
    install_common(app)

    @app.get("/")
    async def read(value: int = bound) -> int:
        return value

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://host") as client:
        answer = await client.get("/", params={"value": sent})
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["field"], error["value"], error["remedy"]) == (422, "value", str(sent), remedy)
