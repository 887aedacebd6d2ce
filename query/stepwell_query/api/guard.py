"""Middlewares that reject requests before routing: unknown hosts, foreign web pages, oversized or slow bodies."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

import structlog
from fastapi import Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepwell_query.api.problem_types import ProblemType
from stepwell_query.api.problems import field_error, problem
from stepwell_query.settings import QuerySettings
from stepwell_schemas.http_hosts import host_is_allowed, origin_is_own
from stepwell_schemas.limits import MIB

BODY_SECONDS: Final = 30.0
"""Seconds within which a body must arrive."""

BODIES_BYTES: Final = 128 * MIB
"""Limit of bytes of all bodies that are being received: 32 of the maximum size."""

_DISCARDED_BYTES: Final = 32 * MIB
_DISCARDED_SECONDS: Final = 2.0
_ANY_HOST: Final = "*"
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_API: Final = "/api/"
_EVENTS: Final = "/events"

_log = structlog.get_logger("stepwell.query")


class UnexpectedErrorMiddleware:
    """Answers 500 if a request fails with an error that no handler covers, and logs the error once."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request. Raises: errors of the application after the response has started."""
        started = False

        async def watching_send(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watching_send)
        except Exception as error:
            _log.error("request_failed", path=scope.get("path"), exc_info=error)
            if started or scope["type"] != "http":
                raise
            answer = problem(500, ProblemType.INTERNAL, "Internal error", "the service's log has the details")
            await answer(scope, receive, send)


class OriginCheckMiddleware:
    """Rejects requests with an unknown `Host`, and requests that other web pages make.

    A foreign page may resolve its own domain to this service's address (DNS rebinding), so the name in `Host` must be
    known. Any page may also send a POST, open a stream of events or load a URL of the API without reading the answer;
    browsers report this in `Origin` and `Sec-Fetch-Site`. Links and the page's own files are always allowed.
    """

    def __init__(self, app: ASGIApp, settings: QuerySettings) -> None:
        self._app = app
        self._any = _ANY_HOST in settings.allowed_hosts
        base = urlsplit(settings.base_url)
        self._base = f"{base.scheme}://{base.netloc}".lower()
        names = (*settings.allowed_hosts, base.hostname or "", settings.query_host)
        self._names = frozenset(name.lower() for name in names if name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reject the request, or pass it on."""
        refusal = None if scope["type"] == "lifespan" else self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await refusal(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1:
            return problem(
                400, ProblemType.NO_HOST, "Missing Host header", "send one header Host with the service's name"
            )
        if not self._any and not host_is_allowed(hosts[0], self._names):
            remedy = "if this is a name of the service, add it to STEPWELL_ALLOWED_HOSTS where the service runs"
            described = field_error("host", hosts[0], "is not a name of this service", remedy)
            detail = f"host: {described['rule']}; {remedy}"
            return problem(421, ProblemType.UNKNOWN_HOST, "Unknown host", detail, [described])
        if self._foreign(scope, headers, hosts[0]):
            remedy = "open the service's own page; a page behind a proxy needs its name in STEPWELL_ALLOWED_HOSTS"
            described = field_error("origin", headers.get("origin"), "is a foreign web page", remedy)
            return problem(
                403, ProblemType.FOREIGN_PAGE, "Requests of other web pages are rejected", remedy, [described]
            )
        return None

    def _foreign(self, scope: Scope, headers: Headers, host: str) -> bool:
        path: str = scope["path"]
        origin = headers.get("origin")
        if origin is not None and (scope.get("method") not in _SAFE_METHODS or path.endswith(_EVENTS)):
            return not (origin_is_own(origin, host) or self._known(origin))
        # `same-site` is another port of this host, and thus a page of another program.
        site, mode = headers.get("sec-fetch-site"), headers.get("sec-fetch-mode")
        return path.startswith(_API) and site in {"cross-site", "same-site"} and mode != "navigate"

    def _known(self, origin: str) -> bool:
        """Return True if an origin is a name of the service, for proxies that replace `Host` with their own name."""
        parts = urlsplit(origin.lower())
        if origin.lower() == self._base:
            return True
        name = parts.hostname or ""
        return parts.scheme in {"http", "https"} and _is_named(name, self._names)


def _is_named(name: str, names: Collection[str]) -> bool:
    return any(name.endswith(known) if known.startswith(".") else name == known for known in names)


class BodyLimitMiddleware:
    """Reads the body of a request before the request is handled, within limits of size and time."""

    def __init__(self, app: ASGIApp, body_bytes: int, body_seconds: float = BODY_SECONDS) -> None:
        self._app = app
        self._most = body_bytes
        self._seconds = body_seconds
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reject the request, or pass it on with its body."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        if "content-length" not in headers and "transfer-encoding" not in headers:
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(headers)
        body = b""
        if refusal is None:
            read = await self._read(receive)
            if isinstance(read, bytes):
                body = read
            else:
                refusal = read
        if refusal is None:
            await self._app(scope, _replayed(body, receive), send)
            return
        if refusal.status_code == 413 and "expect" not in headers:
            await _discard(receive)
        # The unread rest of the body must not be parsed as the next request.
        refusal.headers["connection"] = "close"
        await refusal(scope, receive, send)

    def _refusal(self, headers: Headers) -> Response | None:
        coding = headers.get("content-encoding", "identity").strip().lower()
        if coding not in {"", "identity"}:
            return problem(
                415,
                ProblemType.COMPRESSED_BODY,
                "Compressed bodies are not supported",
                "send the body without Content-Encoding",
            )
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length[:19]) > self._most:
            return self._too_large()
        return None

    async def _read(self, receive: Receive) -> bytes | Response:
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._seconds):
                while True:
                    message = await receive()
                    part = message.get("body", b"")
                    size += len(part)
                    self._held += len(part)
                    if size > self._most:
                        return self._too_large()
                    if self._held > BODIES_BYTES:
                        return problem(503, ProblemType.BUSY, "Too many requests", "try again later")
                    parts.append(part)
                    if message["type"] == "http.disconnect" or not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            detail = f"a body must arrive within {self._seconds:g} seconds"
            return problem(408, ProblemType.REQUEST_TIMEOUT, "Request timeout", detail)
        finally:
            self._held -= size

    def _too_large(self) -> Response:
        remedy = "split the request; STEPWELL_QUERY_MAX_BODY_BYTES is the limit of the service"
        described = field_error("body", None, f"is limited to {self._most:,} bytes", remedy)
        return problem(413, ProblemType.BODY_TOO_LARGE, "Request body too large", remedy, [described])


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that yields the body in one message, then the messages after it."""
    given = False

    async def next_message() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return next_message


async def _discard(receive: Receive) -> None:
    """Read and drop part of an oversized body, since a client that is still sending does not read the answer."""
    left = _DISCARDED_BYTES
    try:
        async with asyncio.timeout(_DISCARDED_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        return
