"""Middlewares around every route: they reject unknown hosts and foreign web pages, and answer unexpected errors."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final
from urllib.parse import urlsplit

import structlog
from fastapi import Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepwell_schemas.http.hosts import host_is_allowed, origin_is_own, other_port
from stepwell_schemas.http.problem_types import ProblemType
from stepwell_schemas.http.problems import field_error, problem

_ANY_HOST: Final = "*"
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_API: Final = "/api/"
_EVENTS: Final = "/events"

_log = structlog.get_logger("stepwell.http")


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

    def __init__(self, app: ASGIApp, allowed_hosts: Sequence[str], base_url: str, host: str) -> None:
        """Protect an application.

        Args:
            app: the application.
            allowed_hosts: names of the service in addition to those of the other arguments; `*` stands for all.
            base_url: the URL of the service for its clients.
            host: the address that it listens on.
        """
        self._app = app
        self._any = _ANY_HOST in allowed_hosts
        base = urlsplit(base_url)
        self._base = f"{base.scheme}://{base.netloc}".lower()
        names = (*allowed_hosts, base.hostname or "", host)
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
        # `same-site` is another port of this host, and thus a page of another program.
        site, mode = headers.get("sec-fetch-site"), headers.get("sec-fetch-mode")
        elsewhere = site in {"cross-site", "same-site"}
        safe = scope.get("method") in _SAFE_METHODS
        if origin is not None and (not safe or path.endswith(_EVENTS)):
            return elsewhere or not (origin_is_own(origin, host) or self._known(origin, host))
        return elsewhere and path.startswith(_API) and not (safe and mode == "navigate")

    def _known(self, origin: str, host: str) -> bool:
        """Return True if an origin is a name of the service, for proxies that replace `Host` with their own name."""
        if origin.lower() == self._base:
            return True
        parts = urlsplit(origin.lower())
        name = parts.hostname or ""
        return parts.scheme in {"http", "https"} and _is_named(name, self._names) and not other_port(origin, host)


def _is_named(name: str, names: Collection[str]) -> bool:
    return any(name.endswith(known) if known.startswith(".") else name == known for known in names)
