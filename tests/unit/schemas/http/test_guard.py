"""Requests that the middlewares reject before routing."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepwell_query.settings import QuerySettings
from stepwell_schemas.http.bodies import BodyLimitMiddleware
from stepwell_schemas.http.guard import OriginCheckMiddleware, UnexpectedErrorMiddleware
from support.readers.logs import logging_to

pytestmark = pytest.mark.anyio

Headers = dict[str, str] | Sequence[tuple[str, str]]


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the body."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def asked(
    app: ASGIApp, headers: Headers = (), parts: Sequence[bytes] = (b"",), *, method: str = "GET", path: str = "/"
) -> tuple[int, Any]:
    """Return the status and the body, of a problem its document."""
    sent: list[Message] = []
    left = list(parts)

    async def receive() -> Message:
        part = left.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(left)}

    async def send(message: Message) -> None:
        sent.append(message)

    pairs = headers.items() if isinstance(headers, dict) else headers
    raw = [(name.encode(), value.encode("latin-1")) for name, value in pairs]
    await app({"type": "http", "method": method, "path": path, "headers": raw}, receive, send)
    content = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], content if sent[0]["status"] == 200 else json.loads(content)


def _check(settings: QuerySettings) -> OriginCheckMiddleware:
    return OriginCheckMiddleware(echo, settings.allowed_hosts, settings.base_url, settings.query_host)


def named(problem: Any) -> str:
    return str(problem["type"]).removeprefix("urn:stepwell:problem:")


@pytest.mark.parametrize(
    ("host", "allowed", "status"),
    [
        ("localhost:8420", (), 200),
        ("127.0.0.1:8420", (), 200),
        ("[::1]:8420", (), 200),
        ("10.1.2.3:8420", (), 200),
        ("base.example:8420", (), 200),
        ("bound.example", (), 200),
        ("evil.example", (), 421),
        ("localhost.evil.example", (), 421),
        ("evil.example@localhost", (), 421),
        ("", (), 421),
        ("Query:8420", ("query",), 200),
        ("a.b.example", (".b.example",), 200),
        ("evil.example", ("*",), 200),
    ],
)
async def test_only_own_names_are_answered(host: str, allowed: tuple[str, ...], status: int) -> None:
    settings = QuerySettings(allowed_hosts=allowed, base_url="http://base.example:8420", query_host="bound.example")
    found, body = await asked(_check(settings), {"host": host})
    assert found == status
    if status == 421:
        assert named(body) == "unknown-host"
        assert "STEPWELL_ALLOWED_HOSTS" in body["errors"][0]["remedy"]


@pytest.mark.parametrize("headers", [[], [("host", "localhost"), ("host", "evil.example")]])
async def test_a_request_has_one_host(headers: Headers) -> None:
    status, body = await asked(_check(QuerySettings()), headers)
    assert (status, named(body)) == (400, "no-host")


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/api/v1/sql", {}, 200),
        ("POST", "/api/v1/sql", {"origin": "http://localhost:8420"}, 200),
        ("POST", "/api/v1/sql", {"origin": "https://ui.example"}, 200),
        ("POST", "/api/v1/sql", {"origin": "https://base.example"}, 200),
        ("POST", "/api/v1/sql", {"origin": "http://evil.example"}, 403),
        ("POST", "/api/v1/sql", {"origin": "http://localhost:3000"}, 403),
        ("POST", "/api/v1/sql", {"origin": "http://10.1.2.3"}, 403),
        ("POST", "/api/v1/sql", {"origin": "null"}, 403),
        ("POST", "/api/v1/sql", {"origin": ""}, 403),
        ("GET", "/api/v1/projects/a/b/events", {"origin": "http://evil.example"}, 403),
        ("GET", "/api/v1/projects/a/b/events", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
        ("GET", "/api/v1/projects", {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"}, 403),
        ("GET", "/api/v1/projects", {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}, 200),
        ("GET", "/api/v1/projects", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 200),
        ("GET", "/me/digits", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 200),
        ("GET", "/-/assets/1/plotly.js", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 200),
    ],
)
async def test_other_web_pages_ask_nothing(method: str, path: str, headers: dict[str, str], status: int) -> None:
    settings = QuerySettings(allowed_hosts=("ui.example",), base_url="https://base.example")
    app = _check(settings)
    found, body = await asked(app, {"host": "localhost:8420", **headers}, method=method, path=path)
    assert found == status
    assert status == 200 or named(body) == "foreign-page"


@pytest.mark.parametrize(
    ("host", "headers", "status"),
    [
        ("127.0.0.1:8420", {"origin": "http://127.0.0.1:8420"}, 200),
        ("127.0.0.1:8420", {"origin": "http://127.0.0.1:8888"}, 403),
        ("ui.example:8420", {"origin": "http://ui.example:8888"}, 403),
        ("ui.example:8420", {"origin": "http://UI.example:8888"}, 403),
        # A proxy on this host: with the default port, with the port left out of `Host`, with another name in `Host`.
        ("ui.example:8420", {"origin": "https://ui.example"}, 200),
        ("ui.example", {"origin": "https://ui.example:8443"}, 200),
        ("10.1.2.3:8420", {"origin": "https://ui.example:8443"}, 200),
        ("base.example:8420", {"origin": "https://base.example:8443"}, 200),
        ("10.1.2.3:8420", {"origin": "https://ui.example:8443", "sec-fetch-site": "same-origin"}, 200),
        ("10.1.2.3:8420", {"origin": "https://ui.example:8443", "sec-fetch-site": "same-site"}, 403),
        ("127.0.0.1:8420", {"origin": "http://127.0.0.1:8420", "sec-fetch-site": "same-site"}, 403),
        ("127.0.0.1:8420", {"sec-fetch-site": "same-site", "sec-fetch-mode": "navigate"}, 403),
    ],
)
async def test_pages_of_other_ports_of_the_host_start_nothing(host: str, headers: dict[str, str], status: int) -> None:
    settings = QuerySettings(allowed_hosts=("ui.example",), base_url="https://base.example:8443")
    found, body = await asked(
        _check(settings), {"host": host, **headers}, method="POST", path="/api/v1/runs/a/b/c/stop"
    )
    assert found == status
    assert status == 200 or named(body) == "foreign-page"


@pytest.mark.parametrize(
    ("headers", "parts", "status", "name"),
    [
        ({}, [b"left alone"], 200, ""),
        ({"content-length": "10"}, [b"0123456789"], 200, ""),
        ({"transfer-encoding": "chunked"}, [b"01234", b"56789"], 200, ""),
        ({"content-length": "11"}, [b"01234567890"], 413, "body-too-large"),
        ({"content-length": "9" * 40}, [b""], 413, "body-too-large"),
        ({"transfer-encoding": "chunked"}, [b"0123456789", b"0"] + [b"x"] * 1_000, 413, "body-too-large"),
        ({"content-length": "5", "content-encoding": "gzip"}, [b"\x1f\x8b"], 415, "compressed-body"),
    ],
)
async def test_bodies_are_bounded(headers: Headers, parts: list[bytes], status: int, name: str) -> None:
    found, body = await asked(BodyLimitMiddleware(echo, 10), headers, parts, method="POST")
    assert found == status
    assert body == b"".join(parts) if status == 200 else named(body) == name


async def test_a_body_that_does_not_arrive_ends_in_time() -> None:
    async def receive() -> Message:
        import anyio

        await anyio.sleep_forever()
        raise AssertionError

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-length", b"5")]}
    await BodyLimitMiddleware(echo, 10, body_seconds=0.01)(scope, receive, send)
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]


async def test_an_unexpected_error_is_a_500_within_milliseconds() -> None:
    class Huge:
        def __repr__(self) -> str:
            raise AssertionError("a local variable was shown")

    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        kept = [Huge()] * 1_000_000
        raise LookupError(len(kept))

    stream = io.StringIO()
    with logging_to(stream) as handler:
        began = time.monotonic()
        status, body = await asked(UnexpectedErrorMiddleware(failing))
        assert time.monotonic() - began < 1
        assert (status, named(body)) == (500, "internal")
        handler.close()
        line = json.loads(stream.getvalue())
        assert line["event"] == "request_failed"
        assert "LookupError: 1000000" in line["exception"]
