"""The matrix of (key, route, project) for the gateway's routes, and OWASP rows about what writes.

As in `test_matrix`, the table of routes is written down a second time: a new route needs a line here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx
import pytest
from fastapi import FastAPI

from stepwell_gateway.app import FRAMEWORK_ROUTES, create_app
from stepwell_gateway.event_log import EventLog
from stepwell_gateway.settings import GatewaySettings
from stepwell_schemas.access.audit import AuditLog
from stepwell_schemas.access.routes import SCHEMA_FIELD, check_routes
from stepwell_schemas.access.service_access import ServiceAccess
from stepwell_schemas.events.codec import encode
from stepwell_schemas.events.framing import MEDIA_TYPE, join_events
from stepwell_schemas.events.models import LogEvent
from support.fakes.acknowledging import AcknowledgingProducer

from .conftest import ADMIN_KEY, INVALID, PROJECTS, Secured, marker
from .test_matrix import KEYS, OF_ALL, PUBLIC, VALID, Rule, expected_status, has_scope

WRITES = Rule("write", "project")
WRITES_ANY = Rule("write", "any")
RUN: Final = "/api/v1/runs/{entity}/{project}/{run_id}"
PROJECT: Final = "/api/v1/projects/{entity}/{project}"
EVENTS: Final = "POST /api/v1/events"

RULES: Final[dict[str, Rule]] = {
    EVENTS: WRITES_ANY,
    f"PATCH {RUN}": WRITES,
    f"PATCH {PROJECT}/runs": WRITES,
    f"POST {RUN}/stop": WRITES,
    f"POST {PROJECT}/runs/stop": WRITES,
    f"DELETE {RUN}": WRITES,
    f"POST {PROJECT}/runs/delete": WRITES,
    f"DELETE {PROJECT}": Rule("admin", "project"),
    "GET /healthz": PUBLIC,
    "GET /readyz": PUBLIC,
    "GET /openapi.json": PUBLIC,
    "HEAD /openapi.json": PUBLIC,
    "GET /metrics": OF_ALL,
}
BODIES: Final[dict[str, Any]] = {
    f"PATCH {RUN}": {"notes": "changed"},
    f"PATCH {PROJECT}/runs": {"run_ids": ["run"], "change": {"notes": "changed"}},
    f"POST {PROJECT}/runs/stop": {"run_ids": ["run"]},
    f"POST {PROJECT}/runs/delete": {"run_ids": ["run"]},
}


@dataclass
class Gateway:
    """The gateway over the store of `secured`, whose events go nowhere."""

    app: FastAPI
    log: EventLog
    producer: AcknowledgingProducer
    secured: Secured

    @asynccontextmanager
    async def running(self) -> AsyncIterator[httpx.AsyncClient]:
        """Connect the log for the block; yields a client without a key."""
        self.log.start()
        while self.log.reason:  # noqa: ASYNC110 - the fake connects in a moment
            await asyncio.sleep(0)
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                yield client
        finally:
            await self.log.close()

    def call(self, method: str, path: str, key: str | None = None, **more: Any) -> httpx.Response:
        """Return the answer to one request."""

        async def send() -> httpx.Response:
            async with self.running() as client:
                headers = self.secured.headers(key) | more.pop("headers", {})
                return await client.request(method, path, headers=headers, **more)

        return asyncio.run(send())


@pytest.fixture(scope="module")
def gateway(secured: Secured) -> Iterator[Gateway]:
    settings, producer = GatewaySettings(admin_key=ADMIN_KEY), AcknowledgingProducer()

    async def open_() -> AcknowledgingProducer:
        return producer

    log, audit = EventLog(settings, open_), AuditLog(secured.store)
    access = ServiceAccess.over(secured.store, settings, settings.base_url)
    yield Gateway(create_app(settings, log, access, secured.store, audit), log, producer, secured)
    access.authenticator.keys.close()
    audit.close()


def framed(*projects: tuple[str, str]) -> bytes:
    """Return a body with an event of the run of each project."""
    return join_events(
        [encode(LogEvent(entity=entity, project=project, run_id="run", session="s", sequence=0, data={"loss": 1.0}))
         for entity, project in projects]
    )  # fmt: skip


def request(name: str, project: tuple[str, str]) -> tuple[str, str, dict[str, Any]]:
    """Return a valid request to a route: method, path, and further arguments."""
    method, path = name.split(" ", 1)
    filled = path.format(entity=project[0], project=project[1], run_id="run")
    if name == EVENTS:
        return method, filled, {"content": framed(project), "headers": {"content-type": MEDIA_TYPE}}
    return method, filled, {"json": BODIES[name]} if name in BODIES else {}


def expected(name: str, key: str | None, project: tuple[str, str]) -> int:
    """Return the status that a key must get; events name their project in the body, so that 403 stands for 404."""
    status = expected_status(RULES[name], key, project)
    if name == EVENTS and status == 200 and not has_scope(str(key), "write", project):
        return 403
    return status


def test_every_route_has_a_rule_and_declares_its_access(gateway: Gateway) -> None:
    declared = check_routes(gateway.app.routes, FRAMEWORK_ROUTES)
    assert set(declared) == set(RULES)
    targets = {"": "none", "project": "path", "any": "anything", "all": "everything"}
    for name, rule in RULES.items():
        assert declared[name].target == targets[rule.over], name
        assert not rule.scope or declared[name].scope == rule.scope, name


def test_the_api_document_shows_the_access_of_every_operation(gateway: Gateway) -> None:
    document = gateway.call("GET", "/openapi.json").json()
    listed = {f"{method.upper()} {path}" for path, operations in document["paths"].items() for method in operations}
    assert listed == {name for name in RULES if not name.endswith("/openapi.json")}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            rule = RULES[f"{method.upper()} {path}"]
            assert operation[SCHEMA_FIELD].startswith(rule.scope or "public")
            assert bool(operation["security"]) == bool(rule.scope)


@pytest.mark.parametrize("project", PROJECTS, ids="/".join)
def test_statuses(gateway: Gateway, project: tuple[str, str]) -> None:
    """Each key × route × project has its status, and an event is written only where that is a success."""

    async def ask() -> list[str]:
        wrong = []
        async with gateway.running() as client:
            for key in KEYS:
                for name in RULES:
                    method, path, more = request(name, project)
                    headers = gateway.secured.headers(key) | more.pop("headers", {})
                    before = len(gateway.producer.keys)
                    answer = await client.request(method, path, headers=headers, **more)
                    written = gateway.producer.keys[before:]
                    status = expected(name, key, project)
                    if answer.status_code != status:
                        wrong.append(f"{key} {name} {project}: {answer.status_code}, not {status}")
                    if bool(written) != (status == 200 and RULES[name].scope in {"write", "admin"}):
                        wrong.append(f"{key} {name} {project}: wrote {written}")
                    wrong += check_answer(gateway, key, name, answer)
        return wrong

    assert asyncio.run(ask()) == []


def check_answer(gateway: Gateway, key: str | None, name: str, answer: httpx.Response) -> list[str]:
    """Return what is wrong about an answer, besides its status."""
    shown = answer.text + str(answer.headers)
    wrong = [f"{key} {name}: shows {project}" for project in PROJECTS if marker(*project) in shown]
    text = "" if key is None else gateway.secured.texts[key]
    if len(text) > 1 and text in shown:
        wrong.append(f"{key} {name}: shows the key")
    if answer.status_code in {401, 403} and not answer.json()["detail"]:
        wrong.append(f"{key} {name}: no remedy")
    if answer.status_code == 401 and "bearer" not in answer.headers["www-authenticate"].lower():
        wrong.append(f"{key} {name}: no challenge")
    if answer.status_code == 403 and "the scope" not in answer.json()["detail"]:
        wrong.append(f"{key} {name}: names no scope")
    return wrong


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.over == "project"])
def test_what_exists_and_what_does_not_are_not_distinguished(gateway: Gateway, name: str) -> None:
    """1: A change of a hidden project, and of one that does not exist, have the same answer."""
    answers = []
    for project in (("beta", "one"), ("beta", "none")):
        method, path, more = request(name, project)
        answer = gateway.call(method, path, "admin:alpha", **more)
        answers.append((answer.status_code, answer.text.replace("/".join(project), "PROJECT")))
    assert answers[0] == answers[1]
    assert answers[0][0] == 404


@pytest.mark.parametrize("at", range(3))
def test_1_one_event_of_another_project_stops_the_request(gateway: Gateway, at: int) -> None:
    """Wherever it is among the others, nothing is written."""
    projects = [("alpha", "one")] * 3
    projects[at] = ("beta", "one")
    before = len(gateway.producer.keys)
    sent = {"content": framed(*projects), "headers": {"content-type": MEDIA_TYPE}}
    answer = gateway.call("POST", "/api/v1/events", "write:alpha", **sent)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (403, f"events.{at}")
    assert len(gateway.producer.keys) == before


@pytest.mark.parametrize("path", ["beta%2Fone", "alpha%2F..%2Fbeta/one", "ALPHA/one", "*/one", "alpha/*", "alpha/ONE"])
def test_1_no_spelling_of_a_path_reaches_another_project(gateway: Gateway, path: str) -> None:
    for key in ("admin:alpha/one", "write:alpha/one"):
        for method, route, more in (
            ("PATCH", f"/api/v1/runs/{path}/run", {"json": {"notes": "x"}}),
            ("DELETE", f"/api/v1/projects/{path}", {}),
        ):
            assert gateway.call(method, route, key, **more).status_code in {404, 405, 422}, (method, route)


@pytest.mark.parametrize(
    "field", ["entity", "project", "run_id", "session", "edited", "timestamp", "state", "exit_code", "sequence"]
)
def test_3_a_change_sets_documented_fields_alone(gateway: Gateway, field: str) -> None:
    """Broken object property level authorization: fields of the event, such as the run that it is about."""
    before = len(gateway.producer.keys)
    for method, path, body in (
        ("PATCH", "/api/v1/runs/alpha/one/run", {"notes": "x", field: "beta"}),
        ("PATCH", "/api/v1/projects/alpha/one/runs", {"run_ids": ["run"], "change": {"notes": "x", field: "beta"}}),
        ("PATCH", "/api/v1/projects/alpha/one/runs", {"run_ids": ["run"], "change": {"notes": "x"}, field: "beta"}),
        ("POST", "/api/v1/projects/alpha/one/runs/delete", {"run_ids": ["run"], field: "beta"}),
    ):
        answer = gateway.call(method, path, "write:alpha", json=body)
        assert answer.status_code == 422, (method, path, body)
        assert field in answer.text
    assert len(gateway.producer.keys) == before


def test_4_a_body_without_a_key_is_not_read(gateway: Gateway) -> None:
    read = []

    async def body() -> AsyncIterator[bytes]:
        for _ in range(64):
            read.append(1)
            yield b"x" * 65_536

    for key in (None, "unknown", "revoked"):
        assert gateway.call("POST", "/api/v1/events", key, content=body()).status_code == 401
    assert read == []


@pytest.mark.parametrize("method", ["GET", "PUT", "TRACE", "OPTIONS", "HEAD"])
def test_5_other_methods_do_not_change_anything(gateway: Gateway, method: str) -> None:
    before = len(gateway.producer.keys)
    for name in (name for name in RULES if "{entity}" in name):
        _, path, more = request(name, ("alpha", "one"))
        override = {"x-http-method-override": "DELETE", "x-method-override": "DELETE"}
        answer = gateway.call(method, path, "admin key", headers=override, **more)
        assert answer.status_code in {404, 405}, (method, path)
    assert len(gateway.producer.keys) == before


def test_6_a_preview_of_a_deletion_deletes_nothing_and_needs_the_same_scope(gateway: Gateway) -> None:
    """Unrestricted access to sensitive flows: what a deletion shows is for those who may delete."""
    before = len(gateway.producer.keys)
    for path, scope in (("/api/v1/runs/alpha/one/run", "write"), ("/api/v1/projects/alpha/one", "admin")):
        for key in VALID:
            answer = gateway.call("DELETE", path, key, params={"dry_run": True})
            assert (answer.status_code == 200) == has_scope(key, scope, ("alpha", "one")), (key, path)
    assert len(gateway.producer.keys) == before


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.scope in {"write", "admin"}])
def test_6_another_web_page_changes_nothing(gateway: Gateway, name: str) -> None:
    """Also with a valid key: a page of another origin does not make the requests of its visitors."""
    before = len(gateway.producer.keys)
    method, path, more = request(name, ("alpha", "one"))
    for headers in ({"origin": "https://evil.example"}, {"origin": "null"}, {"host": "evil.example"}):
        answer = gateway.call(method, path, "admin key", **{**more, "headers": more.get("headers", {}) | headers})
        assert answer.json()["type"].rpartition(":")[2] in {"foreign-page", "unknown-host"}, headers
    assert len(gateway.producer.keys) == before


def test_8_no_answer_opens_the_gateway_to_other_pages(gateway: Gateway) -> None:
    for key in (None, "admin key"):
        for method, path in (("POST", "/api/v1/events"), ("GET", "/nope"), ("PATCH", "/api/v1/runs/a/b/c")):
            answer = gateway.call(method, path, key, json={"notes": "x"})
            assert not [header for header in answer.headers if header.startswith("access-control-")]
            assert answer.headers["x-content-type-options"] == "nosniff"
            for secret in ("Traceback", "/work/", "site-packages", ADMIN_KEY):
                assert secret not in answer.text


def test_keys_without_an_identity_are_refused_alike(gateway: Gateway) -> None:
    """2: The answers to unknown, revoked, expired and malformed keys are the same."""
    answers = {json.dumps(gateway.call("PATCH", "/api/v1/runs/alpha/one/run", key).json()) for key in INVALID}
    assert len(answers) == 1
