"""Answers to requests that may not be made: problem documents (RFC 9457) that name the remedy."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from stepwell_schemas.access.grants import ANY, Grant, Resource, Scope
from stepwell_schemas.access.identity import Identity

URN: Final = "urn:stepwell:problem:"
UNAUTHENTICATED: Final = "unauthenticated"
FORBIDDEN: Final = "forbidden"
NOT_FOUND: Final = "not-found"
RATE_LIMITED: Final = "rate-limited"
STORE_UNAVAILABLE: Final = "store-unavailable"
PROVIDER_UNAVAILABLE: Final = "identity-provider-unavailable"
SIGN_IN: Final = "/signin"
"""The page on which people sign in."""

_CHALLENGE: Final = 'Bearer realm="stepwell"'
_SEND_KEY: Final = (
    "send a key as `Authorization: Bearer KEY`: `stepwell login` or STEPWELL_API_KEY for programs, "
    f"{SIGN_IN} for the page"
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A problem document with its status and headers; it never contains a credential.

    `scope`, if given, is the one that the identity lacks; it is a member of the document, for programs.
    """

    status: int
    kind: str
    title: str
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)
    scope: str = ""

    def body(self) -> bytes:
        """Return the document."""
        document = {
            "type": f"{URN}{self.kind}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "errors": [],
            **({"scope": self.scope} if self.scope else {}),
        }
        return json.dumps(document, ensure_ascii=True).encode()

    def all_headers(self) -> dict[str, str]:
        """Return the headers of the answer."""
        return {
            "content-type": "application/problem+json",
            "x-content-type-options": "nosniff",
            "content-security-policy": "default-src 'none'",
            "cache-control": "no-store",
            **self.headers,
        }

    async def send(self, send: Callable[[Any], Awaitable[None]]) -> None:
        """Send the answer over ASGI."""
        body = self.body()
        headers = {**self.all_headers(), "content-length": str(len(body))}
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": raw})
        await send({"type": "http.response.body", "body": body})


def no_credential() -> Refusal:
    """Return the answer to a request without a credential."""
    return _unauthenticated("Sign in", f"this service requires a key; {_SEND_KEY}", "")


def malformed_credential(rule: str) -> Refusal:
    """Return the answer to a request whose header `Authorization` can't be read."""
    return _unauthenticated("Malformed credential", f"the header Authorization is malformed: {rule}; {_SEND_KEY}", "")


def wrong_credential() -> Refusal:
    """Return the answer to a request with an unknown, expired or revoked credential, without saying which of these."""
    remedy = "ask an administrator for a new key (`stepwell keys create`), then `stepwell login`"
    return _unauthenticated("Wrong credential", f"the key is unknown, expired or revoked; {remedy}", "invalid_token")


def wrong_token(reason: str) -> Refusal:
    """Return the answer to a request with a token of the identity provider that is not valid; never repeats it."""
    remedy = "get a new one from the identity provider, or sign in again with `stepwell login`"
    return _unauthenticated("Wrong token", f"the token is not valid: {reason}; {remedy}", "invalid_token")


def provider_unavailable() -> Refusal:
    """Return the answer to a request whose token can't be checked now."""
    detail = "the token can't be checked, since the identity provider does not answer; try again"
    return Refusal(503, PROVIDER_UNAVAILABLE, "Identity provider unavailable", detail, {"retry-after": "10"})


def keys_unavailable() -> Refusal:
    """Return the answer to a request whose credential can't be checked now."""
    detail = "the credential can't be checked, since ClickHouse does not answer; try again"
    return Refusal(503, STORE_UNAVAILABLE, "ClickHouse unavailable", detail, {"retry-after": "1"})


def rate_limited(seconds: float) -> Refusal:
    """Return the answer to a request above the limits of its key."""
    detail = (
        "the key has used its requests or bytes of the last seconds; wait for Retry-After, or raise "
        "STEPWELL_KEY_REQUESTS_PER_SECOND or STEPWELL_KEY_BYTES_PER_SECOND where the service runs"
    )
    return Refusal(429, RATE_LIMITED, "Too many requests of a key", detail, {"retry-after": str(math.ceil(seconds))})


def forbidden(identity: Identity, scope: Scope, entity: str = ANY, project: str = ANY) -> Refusal:
    """Return the answer to a request that needs a scope which the identity does not have."""
    needed = Grant(scope, Resource(entity, project))
    remedy = f"an administrator creates a key with it: `stepwell keys create --scope {str(needed)!r}`"
    holder = f"key {identity.key_id}" if identity.key_id else identity.name
    detail = f"{holder} does not have the scope {needed}; {remedy}"
    return Refusal(403, FORBIDDEN, "Scope missing", detail, scope=str(needed))


def not_visible(entity: str, project: str) -> Refusal:
    """Return the answer about a project that the identity may not read, whether or not it exists."""
    needed = Grant(Scope.READ, Resource(entity, project))
    remedy = "GET /api/v1/projects lists those it may read"
    detail = f"there is no {str(needed.resource)!r} that this key may read; {remedy}"
    # The scope follows from the request's path alone, so it shows nothing of what exists.
    return Refusal(404, NOT_FOUND, "Not found", detail, scope=str(needed))


def _unauthenticated(title: str, detail: str, error: str) -> Refusal:
    challenge = f'{_CHALLENGE}, error="{error}"' if error else _CHALLENGE
    return Refusal(401, UNAUTHENTICATED, title, detail, {"www-authenticate": challenge})
