"""Sessions of the page: a sealed cookie that names the user, and ends when the service or the user ends it.

Nothing is stored while a session lasts. A session that a key began refers to the key, and ends with it; one of the
identity provider has the user's groups at sign-in, and ends at its time. Only sessions that users sign out of are
stored, until they would have expired (`ended_sessions`).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import Any, Final

from stepwell_schemas.access.identity import Method
from stepwell_schemas.access.sealing import Sealer

COOKIE: Final = "stepwell-session"
HOST_PREFIX: Final = "__Host-"
"""Browsers keep a cookie of this prefix only if it is secure, of this host alone and without `Domain`."""

SESSION_MAX_MS: Final = 7 * 24 * 3_600_000
"""Time from sign-in after which a session of a key is not renewed any more."""

_PURPOSE: Final = "session"
_ID_BYTES: Final = 16


def cookie_name(name: str, *, secure: bool) -> str:
    """Return a cookie's name for a service that browsers reach over HTTPS, or over HTTP."""
    return f"{HOST_PREFIX}{name}" if secure else name


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in browser. Times are milliseconds since the epoch.

    Attributes:
        session_id: random, by which it is ended.
        method: how the user signed in.
        begun, expires: the sign-in, and the time from which the cookie is invalid.
        key_hash: the key that it was begun with, by the hash that it is stored under.
        name, groups: the user at the identity provider.
    """

    session_id: str
    method: Method
    begun: int
    expires: int
    key_hash: str = ""
    name: str = ""
    groups: tuple[str, ...] = ()


def begin_key_session(key_hash: str, now: int, lifetime_ms: int) -> Session:
    """Return a new session of a key."""
    return Session(secrets.token_hex(_ID_BYTES), Method.KEY, now, now + lifetime_ms, key_hash=key_hash)


def begin_oidc_session(name: str, groups: tuple[str, ...], now: int, lifetime_ms: int) -> Session:
    """Return a new session of a user of the identity provider."""
    return Session(secrets.token_hex(_ID_BYTES), Method.OIDC, now, now + lifetime_ms, name=name, groups=groups)


def renewed(session: Session, now: int, lifetime_ms: int) -> Session | None:
    """Return a session with a later end, once half of its lifetime is over; None if it is not to be renewed.

    A user of the identity provider signs in there again, so that changes of groups and removed accounts have effect.
    """
    if session.method is not Method.KEY or session.expires - now > lifetime_ms // 2:
        return None
    expires = min(now + lifetime_ms, session.begun + SESSION_MAX_MS)
    return replace(session, expires=expires) if expires > session.expires else None


class SessionCodec:
    """Cookies of sessions."""

    def __init__(self, secret: str) -> None:
        self._sealer = Sealer(secret, _PURPOSE)

    def seal(self, session: Session) -> str:
        """Return a session's cookie."""
        return self._sealer.seal(
            {
                "id": session.session_id,
                "method": session.method.value,
                "begun": session.begun,
                "expires": session.expires,
                "key": session.key_hash,
                "name": session.name,
                "groups": session.groups,
            }
        )

    def open(self, cookie: str, now: int) -> Session | None:
        """Return the session of a cookie; None if the cookie is not the service's, or has expired."""
        value = self._sealer.open(cookie)
        if value is None or now >= value["expires"]:
            return None
        return _parse(value)


def _parse(value: dict[str, Any]) -> Session:
    return Session(
        session_id=value["id"],
        method=Method(value["method"]),
        begun=value["begun"],
        expires=value["expires"],
        key_hash=value["key"],
        name=value["name"],
        groups=tuple(value["groups"]),
    )
