"""What is refused before a request reaches its route: names that are not ours, other web pages, bodies without end."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

import structlog
from fastapi import Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepwell_query.api.problems import field_error, problem
from stepwell_query.settings import QuerySettings
from stepwell_schemas.http_hosts import host_is_allowed, origin_is_own
from stepwell_schemas.limits import MIB

BODY_SECONDS: Final = 30.0
"""Time in which a body must arrive."""

BODIES_BYTES: Final = 128 * MIB
"""Bytes of the bodies that are arriving at one time, together: 32 of the largest."""

_DISCARDED_BYTES: Final = 32 * MIB
_DISCARDED_SECONDS: Final = 2.0
_ANY_HOST: Final = "*"
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_API: Final = "/api/"
_EVENTS: Final = "/events"

_log = structlog.get_logger("stepwell.query")


class UnexpectedErrorMiddleware:
    """Answers 500 to a request that failed in a way that no handler knows, and logs the error once."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises: what the application raises after its answer has begun."""
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception as error:
            _log.error("request_failed", path=scope.get("path"), exc_info=error)
            if begun or scope["type"] != "http":
                raise
            answer = problem(500, "internal", "The service failed", "the service's log has the details")
            await answer(scope, receive, send)


class OriginCheckMiddleware:
    """Refuses requests under names that are not ours, and those that other web pages make.

    A page may resolve its own domain to this service's address, so the name in `Host` must be known. Any page may
    send a POST, open a stream of events or load an address of the API without reading the answer: a browser says so
    in `Origin` and `Sec-Fetch-Site`. Following a link is always allowed, and so are the page's own files.
    """

    def __init__(self, app: ASGIApp, settings: QuerySettings) -> None:
        self._app = app
        self._any = _ANY_HOST in settings.allowed_hosts
        base = urlsplit(settings.base_url)
        self._base = f"{base.scheme}://{base.netloc}".lower()
        names = (*settings.allowed_hosts, base.hostname or "", settings.query_host)
        self._names = frozenset(name.lower() for name in names if name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        refusal = None if scope["type"] == "lifespan" else self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await refusal(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1:
            return problem(400, "no-host", "The request has no host", "send one header Host with the service's name")
        if not self._any and not host_is_allowed(hosts[0], self._names):
            remedy = "if the name is the service's own, add it to STEPWELL_ALLOWED_HOSTS where the service runs"
            described = field_error("host", hosts[0], "is no name of this service", remedy)
            detail = f"host: {described['rule']}; {remedy}"
            return problem(421, "unknown-host", "The service does not answer under this name", detail, [described])
        if self._foreign(scope, headers, hosts[0]):
            remedy = "open the service's own page; a page behind a proxy needs its name in STEPWELL_ALLOWED_HOSTS"
            described = field_error("origin", headers.get("origin"), "is another web page", remedy)
            return problem(403, "foreign-page", "Other web pages may not ask this", remedy, [described])
        return None

    def _foreign(self, scope: Scope, headers: Headers, host: str) -> bool:
        path: str = scope["path"]
        origin = headers.get("origin")
        if origin is not None and (scope.get("method") not in _SAFE_METHODS or path.endswith(_EVENTS)):
            return not (origin_is_own(origin, host) or self._known(origin))
        # `same-site` is another port of this host: another program's page.
        site, mode = headers.get("sec-fetch-site"), headers.get("sec-fetch-mode")
        return path.startswith(_API) and site in {"cross-site", "same-site"} and mode != "navigate"

    def _known(self, origin: str) -> bool:
        """Tell if an origin is a name of ours, for proxies that put their own name into `Host`."""
        parts = urlsplit(origin.lower())
        if origin.lower() == self._base:
            return True
        name = parts.hostname or ""
        return parts.scheme in {"http", "https"} and _is_named(name, self._names)


def _is_named(name: str, names: Collection[str]) -> bool:
    return any(name.endswith(known) if known.startswith(".") else name == known for known in names)


class BodyLimitMiddleware:
    """Reads a request's body before the request is answered: up to a size, in a time, and as it is."""

    def __init__(self, app: ASGIApp, body_bytes: int, body_seconds: float = BODY_SECONDS) -> None:
        self._app = app
        self._most = body_bytes
        self._seconds = body_seconds
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on with its body."""
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
        # What remains of the body must not be taken for the next request.
        refusal.headers["connection"] = "close"
        await refusal(scope, receive, send)

    def _refusal(self, headers: Headers) -> Response | None:
        coding = headers.get("content-encoding", "identity").strip().lower()
        if coding not in {"", "identity"}:
            return problem(415, "compressed-body", "Bodies are not decompressed", "send the body without a coding")
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
                        return problem(503, "busy", "Too many requests are arriving", "try again later")
                    parts.append(part)
                    if message["type"] == "http.disconnect" or not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            detail = f"a body must arrive within {self._seconds:g} seconds"
            return problem(408, "request-timeout", "The request was too slow", detail)
        finally:
            self._held -= size

    def _too_large(self) -> Response:
        remedy = "ask for less at a time; STEPWELL_QUERY_MAX_BODY_BYTES is the service's limit"
        described = field_error("body", None, f"may have {self._most:,} bytes", remedy)
        return problem(413, "body-too-large", "The request's body is too large", remedy, [described])


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return what gives the body in one message, then what comes after it."""
    given = False

    async def next_message() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return next_message


async def _discard(receive: Receive) -> None:
    """Take some of a body that is too large: a client that is still sending would not see the answer."""
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
