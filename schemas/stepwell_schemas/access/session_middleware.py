"""ASGI middleware of the page's sessions: it refuses changes that other pages cause, and renews cookies.

A browser sends the cookie with every request to the service, whichever page causes it. `SameSite=Lax` leaves it out of
other sites' POSTs, but not of those of pages on other ports of the same host. So a change with a cookie must be caused
by the service's own page, which browsers report in `Sec-Fetch-Site`, and older ones in `Origin`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import urlsplit

from stepwell_schemas.access.middleware import App, Receive, Scope, Send
from stepwell_schemas.access.refusals import Refusal
from stepwell_schemas.access.session_cookies import Sessions
from stepwell_schemas.errors import StoreError
from stepwell_schemas.http.hosts import origin_is_own

FOREIGN_PAGE: Final = "foreign-page"
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class SessionMiddleware:
    """Refuses changes by other pages, and renews the cookies of sessions.

    Args:
        app: the application.
        sessions: the sessions.
        base_url: the URL by which browsers reach the service; a proxy may have replaced `Host`.
    """

    def __init__(self, app: App, sessions: Sessions, base_url: str) -> None:
        self._app = app
        self._sessions = sessions
        parts = urlsplit(base_url)
        self._base = f"{parts.scheme}://{parts.netloc}".lower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        cookies = _cookies(scope) if scope["type"] == "http" else ""
        if not cookies or not self._sessions.has_cookie(cookies):
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        # With another credential, the cookie is not used.
        if scope["method"] not in _SAFE_METHODS and b"authorization" not in headers and not self._is_own(headers):
            await _foreign_page().send(send)
            return
        await self._app(scope, receive, await self._renewing(cookies, send))

    def _is_own(self, headers: dict[bytes, str]) -> bool:
        site, origin = headers.get(b"sec-fetch-site"), headers.get(b"origin", "")
        if site is not None:
            return site == "same-origin"
        return origin.lower() == self._base or origin_is_own(origin, headers.get(b"host", ""))

    async def _renewing(self, cookies: str, send: Send) -> Send:
        """Return a `send` that adds the renewed cookie, if it is due, to answers that set none."""
        try:
            session = await self._sessions.find(cookies)
        except StoreError:
            session = None
        cookie = None if session is None else self._sessions.renewal(session)
        return send if cookie is None else _adding(send, cookie.encode("latin-1"))


def _adding(send: Send, cookie: bytes) -> Callable[[MutableMapping[str, Any]], Awaitable[None]]:
    async def adding(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", []))
            if not any(name.lower() == b"set-cookie" for name, _ in headers):
                message["headers"] = [*headers, (b"set-cookie", cookie)]
        await send(message)

    return adding


def _cookies(scope: Scope) -> str:
    return "; ".join(value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"cookie")


def _foreign_page() -> Refusal:
    detail = (
        "a change with a session's cookie must come from the service's own page; programs send a key as "
        "`Authorization: Bearer KEY`"
    )
    return Refusal(403, FOREIGN_PAGE, "Requests of other web pages are rejected", detail)
