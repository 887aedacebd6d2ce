"""The page's session cookie: written at sign-in, verified with every request, renewed while it is used."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from stepwell_schemas.access.credentials import Credential, CredentialKind
from stepwell_schemas.access.ended_sessions import EndedSessions
from stepwell_schemas.access.grants import Grant
from stepwell_schemas.access.group_grants import grants_of_groups
from stepwell_schemas.access.identity import Identity, Method
from stepwell_schemas.access.key_store import epoch_ms
from stepwell_schemas.access.sessions import COOKIE, Session, SessionCodec, cookie_name, renewed

_HOUR_MS: Final = 3_600_000


class KeyFinder(Protocol):
    """The part of `Keys` that sessions of keys use."""

    async def identify_hash(self, digest: str) -> Identity | None:
        """Return the identity of a valid key by its hash. Raises: StoreError."""


class Sessions:
    """Sessions of a service's page.

    Attributes:
        secure: True if browsers reach the service over HTTPS; cookies are then kept for HTTPS alone.
        lifetime_ms: milliseconds after which a session ends if it is not renewed.
    """

    def __init__(
        self,
        secret: str,
        keys: KeyFinder,
        ended: EndedSessions,
        *,
        groups: Mapping[str, Sequence[Grant]],
        secure: bool,
        hours: float,
        now: Callable[[], int] = epoch_ms,
    ) -> None:
        self._codec = SessionCodec(secret)
        self._keys = keys
        self._ended = ended
        self._groups = groups
        self._now = now
        self._name = cookie_name(COOKIE, secure=secure)
        self.secure = secure
        self.lifetime_ms = round(hours * _HOUR_MS)
        self._reading = asyncio.Lock()

    async def identify(self, credential: Credential) -> Identity | None:
        """Return the identity of a request with a session's cookie. Raises: StoreError."""
        if credential.kind is not CredentialKind.COOKIE:
            return None
        session = await self.find(credential.secret)
        if session is None:
            return None
        if session.method is Method.KEY:
            return await self._keys.identify_hash(session.key_hash)
        # A user who is in no group of the settings has signed in, and may do nothing.
        return Identity(session.name, Method.OIDC, grants_of_groups(self._groups, session.groups))

    async def find(self, cookies: str) -> Session | None:
        """Return the session of a header `Cookie`, None if there is none, or it has ended. Raises: StoreError."""
        session = self._codec.open(read_cookie(cookies, self._name), self._now())
        if session is None:
            return None
        ended = self._ended.peek(session.session_id)
        if ended is None:
            # One at a time: the first one reads the list for all.
            async with self._reading:
                ended = await asyncio.to_thread(self._ended.contains, session.session_id)
        return None if ended else session

    async def end(self, session: Session) -> None:
        """End a session before its time. Raises: StoreError, when other services will not know it."""
        await asyncio.to_thread(self._ended.end, session.session_id, session.expires)

    def cookie(self, session: Session) -> str:
        """Return the header `Set-Cookie` that keeps a session."""
        return set_cookie(
            self._name, self._codec.seal(session), (session.expires - self._now()) // 1_000, secure=self.secure
        )

    def renewal(self, session: Session) -> str | None:
        """Return the header `Set-Cookie` that renews a session, None if it is not due."""
        longer = renewed(session, self._now(), self.lifetime_ms)
        return None if longer is None else self.cookie(longer)

    def removal(self) -> str:
        """Return the header `Set-Cookie` that removes the cookie."""
        return set_cookie(self._name, "", 0, secure=self.secure)

    def has_cookie(self, cookies: str) -> bool:
        """Return True if a header `Cookie` has a cookie of this service."""
        return bool(read_cookie(cookies, self._name))


def read_cookie(header: str, name: str) -> str:
    """Return the value of a cookie, "" if there is none, or several of the name, one of which may be another site's."""
    found = [value for key, _, value in (part.strip().partition("=") for part in header.split(";")) if key == name]
    return found[0] if len(found) == 1 else ""


def set_cookie(name: str, value: str, seconds: int, *, secure: bool) -> str:
    """Return a header `Set-Cookie`: for this host alone, hidden from scripts, and not sent by other sites' requests.

    `Lax` and not `Strict`: a link to a run, as in a chat, opens the run and not the sign-in page.
    """
    attributes = ["Path=/", f"Max-Age={max(0, seconds)}", "HttpOnly", "SameSite=Lax", *(["Secure"] if secure else [])]
    return "; ".join([f"{name}={value}", *attributes])
