"""ASGI middleware that finds the identity of every request; routes decide what it may do (`routes`).

It needs no framework. The scope of a request gets:
- `stepwell.identity`: the `Identity`, or None.
- `stepwell.refusal`: the `Refusal` if there is no identity.
- `stepwell.audit`: the `AuditLog`, if the service has one.
- `stepwell.recheck`: a function that returns True while the identity is still valid, for answers that last.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any, Final

from stepwell_schemas.access.audit import Action, AuditEntry, AuditLog
from stepwell_schemas.access.authenticate import Authenticator
from stepwell_schemas.access.credentials import Headers
from stepwell_schemas.access.identity import Identity, Method
from stepwell_schemas.access.key_limits import ByteCounter, KeyLimits
from stepwell_schemas.access.refusals import Refusal, no_credential, rate_limited

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

IDENTITY: Final = "stepwell.identity"
REFUSAL: Final = "stepwell.refusal"
AUDIT: Final = "stepwell.audit"
RECHECK: Final = "stepwell.recheck"

_PATHS_WITH_DATA: Final = ("/api/", "/metrics")
"""Paths whose answers depend on the identity. The page's own files do not: they are the same for everyone."""

_SERVER_ERRORS: Final = 500
_VARY: Final = b"authorization, cookie, accept"
_PRIVATE: Final = b"private, no-cache"


class AccessMiddleware:
    """Puts the identity of each request into its scope.

    A request without an identity is refused before its body is read, unless a public route takes the body. Answers to
    an identity are for it alone: shared caches must not store them.

    Args:
        app: the application; its routes check the identity.
        authenticator: finds identities.
        public_bodies: the paths of public routes that take a body, such as a form to sign in.
        limits: limits of the requests and bytes of each key.
        audit: records requests with a wrong credential.
    """

    def __init__(
        self,
        app: App,
        authenticator: Authenticator,
        public_bodies: Collection[str] = (),
        limits: KeyLimits | None = None,
        audit: AuditLog | None = None,
    ) -> None:
        self._app = app
        self._limits = limits
        self._audit = audit
        self._authenticator = authenticator
        self._public_bodies = frozenset(public_bodies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        found = await self._authenticator.identify(scope["headers"])
        scope[AUDIT] = self._audit
        if isinstance(found, Refusal):
            scope[IDENTITY], scope[REFUSAL] = None, found
            if found.title != no_credential().title:
                record_denied(scope, None, found)
            if _has_body(scope["headers"]) and scope["path"] not in self._public_bodies:
                await found.send(send)
                return
            await self._app(scope, receive, send)
            return
        scope[IDENTITY], scope[REFUSAL] = found, None
        scope[RECHECK] = self._recheck(scope["headers"], found)
        if found.method is Method.OPEN or not scope["path"].startswith(_PATHS_WITH_DATA):
            await self._app(scope, receive, send)
            return
        send = _private(send)
        if self._limits is None:
            await self._app(scope, receive, send)
            return
        wait = self._limits.admit(found)
        if wait:
            await rate_limited(wait).send(send)
            return
        counting = ByteCounter(receive, send)
        try:
            await self._app(scope, counting.receive, counting.send)
        finally:
            self._limits.charge(found, counting.size)

    def _recheck(self, headers: Headers, identity: Identity) -> Callable[[], Awaitable[bool]]:
        async def still_valid() -> bool:
            found = await self._authenticator.identify(headers)
            # While ClickHouse does not answer, no credential becomes invalid.
            return found == identity or (isinstance(found, Refusal) and found.status != no_credential().status)

        return still_valid


def record_denied(scope: Scope, identity: Identity | None, refusal: Refusal) -> None:
    """Record a request that was refused: its credential is wrong, or its scope is missing."""
    audit: AuditLog | None = scope.get(AUDIT)
    if audit is None or refusal.status >= _SERVER_ERRORS:
        return
    client = scope.get("client")
    fields: dict[str, Any] = {
        "status": refusal.status,
        "address": client[0] if client else "",
        "detail": {"method": scope.get("method", ""), "path": scope["path"], "refusal": refusal.title},
    }
    if identity is None:
        audit.record(AuditEntry(Action.ACCESS_DENIED, **fields))
    else:
        audit.record(AuditEntry.by(identity, Action.ACCESS_DENIED, **fields))


def _has_body(headers: Headers) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip() != b"0") for name, value in headers
    )


def _private(send: Send) -> Send:
    """Return a `send` that marks answers as those of one identity."""

    async def marking(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = [_mark(name, value) for name, value in message.get("headers", [])]
            if not any(name.lower() == b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", _PRIVATE))
            message["headers"] = [*headers, (b"vary", _VARY)]
        await send(message)

    return marking


def _mark(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    if name.lower() == b"cache-control" and b"no-store" not in value:
        kept = [part.strip() for part in value.split(b",") if part.strip() not in {b"public", b"private"}]
        return name, b", ".join([b"private", *kept])
    return name, value
