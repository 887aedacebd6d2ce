"""Problem documents: every type is in one enum, every member is used, and the document is independent of its text."""

from __future__ import annotations

import re

import orjson

from stepwell_query.errors import MediaNotFoundError
from stepwell_schemas.http.problem_types import URN, ProblemType
from stepwell_schemas.http.problems import field_error, problem
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
