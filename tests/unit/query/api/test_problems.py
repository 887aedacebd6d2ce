"""Problem documents: every type is in one enum, every member is used, and the document is independent of its text."""

from __future__ import annotations

import re
from typing import Any

import anyio
import httpx
import orjson
from fastapi import FastAPI

from stepwell_query.errors import MediaNotFoundError
from stepwell_schemas.http.parameters import RequestModel
from stepwell_schemas.http.problem_types import URN, ProblemType
from stepwell_schemas.http.problems import SHOWN_ERRORS, field_error, install_common, problem
from support.paths import ROOT

FOLDERS = ("query/stepwell_query", "producer/stepwell_gateway", "schemas/stepwell_schemas/http")
SOURCES = [file.read_text("utf-8") for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")]


def test_the_enum_is_the_only_source_of_types() -> None:
    literals = [
        source for source in SOURCES if re.search(r"\bproblem\(\s*\d+,\s*f?\"", source) or "urn:stepwell" in source
    ]
    assert [source.splitlines()[0] for source in literals if "class ProblemType" not in source] == []


def test_each_type_is_used() -> None:
    used = {name for source in SOURCES for name in re.findall(r"ProblemType\.([A-Z_]+)", source)}
    elsewhere = {"MEDIA_PENDING", "MEDIA_GONE", "MEDIA_UNKNOWN", "UNAUTHENTICATED", "FORBIDDEN", "RATE_LIMITED"}
    elsewhere |= {"IDENTITY_PROVIDER_UNAVAILABLE"}
    assert used | elsewhere == {kind.name for kind in ProblemType}
    for state in ("pending", "gone", "unknown"):
        assert ProblemType(f"media-{MediaNotFoundError(state, '').state}").name in elsewhere


def test_a_document_has_type_status_and_errors() -> None:
    errors = [field_error("key", "x" * 1_000, "rule", "remedy")]
    response = problem(422, ProblemType.BAD_PARAMETER, "title", "detail", errors, {"more": 1})
    document = orjson.loads(response.body)
    assert (response.status_code, document["status"]) == (422, 422)
    assert document["type"] == f"{URN}bad-parameter"
    assert document["more"] == 1
    assert document["errors"][0]["field"] == "key"
    assert len(document["errors"][0]["value"]) < 1_000


class Body(RequestModel, extra="forbid"):
    """A body that accepts two lists."""

    names: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def refuse(content: bytes) -> dict[str, Any]:
    """Return the problem document that a route with `Body` answers to an invalid body."""
    app = FastAPI()
    install_common(app)

    @app.post("/")
    async def take(body: Body) -> int:
        return len(body.names)

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.post("/", content=content, headers={"content-type": "application/json"})

    response = anyio.run(send)
    assert response.status_code == 422
    document: dict[str, Any] = orjson.loads(response.content)
    return document


def test_the_first_errors_are_described_and_the_others_counted() -> None:
    document = refuse(orjson.dumps({"names": [1] * 70, "z" * 5_000: 1}))
    assert len(document["errors"]) == SHOWN_ERRORS
    assert str(document["detail"]).endswith("; and 51 more")
    assert len(orjson.dumps(refuse(orjson.dumps({"z" * 5_000: ["y" * 5_000] * 5_000})))) < 2_000


def test_very_many_errors_are_one() -> None:
    document = refuse(orjson.dumps({"names": [1] * 1_500, "others": [2] * 500}))
    assert document["errors"] == [
        {
            "field": "body",
            "value": document["errors"][0]["value"],
            "rule": "has 2,000 invalid or unknown parts, too many to be listed",
            "remedy": "/docs lists the parameters and their types",
        }
    ]
    assert len(document["errors"][0]["value"]) <= 201
