"""`audit` over canned answers of the service: pages, filters and the forms of the output."""

from __future__ import annotations

import json
from typing import Any, Self

import pytest
from typer.testing import CliRunner

from stepwell_deploy.cli.app import app
from stepwell_deploy.cli.commands import audit

ENTRY = {
    **dict.fromkeys(("actor", "method", "key_id", "entity", "project", "run_id", "address", "id"), ""),
    "time": "2026-01-31T00:00:00.000Z",
    "action": "run.delete",
    "status": 202,
    "detail": {},
}


class CannedService:
    """A client that answers with 1,500 entries, and keeps the parameters of its requests."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def get(self, path: str, **parameters: Any) -> Any:
        assert path == "audit"
        self.requests.append(parameters)
        start = int(parameters["cursor"] or 0)
        end = min(start + parameters["limit"], 1_500)
        entries = [{**ENTRY, "actor": f"user {number}"} for number in range(start, end)]
        return {"entries": entries, "next": str(end) if end < 1_500 else None}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> CannedService:
    canned = CannedService()
    monkeypatch.setattr(audit, "open_service", lambda _: canned)
    return canned


def invoke(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["audit", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_pages_are_read_up_to_the_limit(service: CannedService) -> None:
    assert len(json.loads(invoke("--json", "--limit", "1200"))) == 1_200
    assert [request["limit"] for request in service.requests] == [1_000, 200]
    assert len(json.loads(invoke("--json", "--limit", "9000"))) == 1_500


def test_filters_are_parameters(service: CannedService) -> None:
    invoke("me/digits", "-a", "run.delete", "-a", "run.stop", "--actor", "ann", "--since", "2026-01-31", "--json")
    asked = service.requests[0]
    assert (asked["entity"], asked["project"], asked["actor"]) == ("me", "digits", "ann")
    assert (asked["action"], asked["since"], asked["until"]) == (["run.delete", "run.stop"], "2026-01-31", None)
    invoke("me", "--json")
    assert service.requests[-1]["entity"] == "me"
    assert "project" not in service.requests[-1]


@pytest.mark.usefixtures("service")
def test_a_table_has_the_user_and_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENTRY, "entity", "me")
    monkeypatch.setitem(ENTRY, "key_id", "0a1b")
    text = invoke("--limit", "1")
    assert "user 0 (0a1b)" in text
    assert "run.delete" in text
