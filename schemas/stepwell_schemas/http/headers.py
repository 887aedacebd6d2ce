"""Security headers of every answer: what browsers may do with it, whatever its content is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

Message = MutableMapping[str, Any]
App = Callable[[MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Any]

NO_CONTENT_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"
"""The policy of answers that state none: data, which runs and loads nothing, and can't be embedded."""

_DEFAULTS: Final[tuple[tuple[bytes, bytes], ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"content-security-policy", NO_CONTENT_POLICY.encode()),
    (b"cross-origin-opener-policy", b"same-origin"),
    # Other sites can't load answers into their processes, where they could be read by a leak of memory.
    (b"cross-origin-resource-policy", b"same-origin"),
)
_HSTS: Final = b"strict-transport-security"


class SecurityHeadersMiddleware:
    """Adds the headers that an answer does not state itself. Pure ASGI, for all services.

    `hsts_seconds`: time for which browsers use only HTTPS for the service's host; sent with answers over TLS alone,
    since a browser ignores it otherwise; 0: not sent.
    """

    def __init__(self, app: App, hsts_seconds: int = 0) -> None:
        self._app = app
        self._hsts = (_HSTS, b"max-age=%d" % hsts_seconds) if hsts_seconds else None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        added = _DEFAULTS
        if self._hsts is not None and scope.get("scheme") == "https":
            added = (*_DEFAULTS, self._hsts)

        async def adding_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                stated = {bytes(name).lower() for name, _ in headers}
                message["headers"] = [*headers, *(header for header in added if header[0] not in stated)]
            await send(message)

        await self._app(scope, receive, adding_send)
