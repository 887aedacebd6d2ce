"""The parts that the routes of sign-in share: sessions, the identity provider, and the limit of failed attempts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

import anyio
import anyio.to_thread
import structlog

from stepwell_query.access.attempts import SignInAttempts
from stepwell_query.access.oidc_sign_in import PENDING_SECONDS, OidcSignIn, PendingSignIn, SignInError
from stepwell_query.access.sign_in_page import SIGN_IN, SIGNED_OUT
from stepwell_schemas.access.identity import Identity, Method
from stepwell_schemas.access.keys import hash_key
from stepwell_schemas.access.sealing import Sealer
from stepwell_schemas.access.service_access import ServiceAccess
from stepwell_schemas.access.session_cookies import read_cookie, set_cookie
from stepwell_schemas.access.sessions import Session, begin_key_session, begin_oidc_session, cookie_name
from stepwell_schemas.errors import ProviderError

T = TypeVar("T")
_log = structlog.get_logger("stepwell.access")

FORM_TYPE: Final = "application/x-www-form-urlencoded"
FORM_MAX_BYTES: Final = 16_384
_FIELDS_MAX: Final = 10
_COOKIE: Final = "stepwell-signin"
_PURPOSE: Final = "sign-in"
_PROVIDER_CALLS: Final = 4
"""Requests to the provider that run concurrently: those of the data keep their threads while it does not answer."""

_USED_MAX: Final = 10_000


class SignIn:
    """Sign-in to one service."""

    def __init__(self, access: ServiceAccess, base_url: str) -> None:
        self.access = access
        self.attempts = SignInAttempts()
        provider = access.provider
        self._oidc = OidcSignIn(access.oidc, provider, base_url) if provider is not None else None
        self._sealer = Sealer(access.secret, _PURPOSE)
        self._cookie = cookie_name(_COOKIE, secure=access.sessions.secure)
        self._limiter = anyio.CapacityLimiter(_PROVIDER_CALLS)
        self._used: dict[str, None] = {}

    @property
    def provider_name(self) -> str:
        """The name of the identity provider, "" if there is none."""
        return self.access.oidc.provider_name if self._oidc is not None else ""

    async def with_key(self, key: str) -> tuple[Session, Identity] | None:
        """Return a new session of a key and its identity, None if the key is not valid. Raises: StoreError."""
        identity = await self.access.authenticator.keys.identify_key(key) if key else None
        if identity is None:
            return None
        return begin_key_session(hash_key(key), _epoch_ms(), self.access.sessions.lifetime_ms), identity

    async def begin_at_provider(self, return_to: str) -> tuple[str, str]:
        """Return the address at the provider, and the header `Set-Cookie` for the way back. Raises: ProviderError."""
        address, pending = await self._call(self._provider().begin, return_to, int(time.time()))
        sealed = self._sealer.seal(pending.to_json())
        return address, set_cookie(self._cookie, sealed, PENDING_SECONDS, secure=self.access.sessions.secure)

    async def finish_at_provider(self, answer: dict[str, str], cookies: str) -> tuple[Session, str]:
        """Return the session of the user that the provider's answer names, and the page to return to.

        Raises:
            SignInError: when the answer is not valid, or the user has no access.
            ProviderError: when the provider can't be reached.
        """
        value = self._sealer.open(read_cookie(cookies, self._cookie))
        pending = None if value is None else PendingSignIn.parse(value)
        if pending is not None:
            self._use(pending.state)
        user = await self._call(self._provider().finish, answer, pending, int(time.time()))
        if not self.access.grants_of(user.groups):
            raise SignInError(
                f"none of the groups of {user.name} has access to this service; an administrator gives groups access "
                "with STEPWELL_OIDC_GROUPS"
            )
        session = begin_oidc_session(user.name, user.groups, _epoch_ms(), self.access.sessions.lifetime_ms)
        assert pending is not None  # noqa: S101 - `finish` rejects an answer without one
        return session, pending.return_to

    async def sign_out_address(self, session: Session | None) -> str:
        """Return the page to show after the sign-out of a session: the provider's, if the user signed in there."""
        own = f"{SIGN_IN}?{SIGNED_OUT}"
        if session is None or session.method is not Method.OIDC or self._oidc is None:
            return own
        try:
            return await self._call(self._oidc.sign_out_address) or own
        except ProviderError as error:
            _log.warning("provider_sign_out_skipped", error=str(error))
            return own

    def end_of_pending(self) -> str:
        """Return the header `Set-Cookie` that removes what `begin_at_provider` left in the browser."""
        return set_cookie(self._cookie, "", 0, secure=self.access.sessions.secure)

    def _provider(self) -> OidcSignIn:
        if self._oidc is None:
            raise SignInError("this service has no identity provider; sign in with a key")
        return self._oidc

    def _use(self, state: str) -> None:
        """Remember that a sign-in was finished, with or without success: its answer is not accepted again."""
        if state in self._used:
            raise SignInError("this sign-in was finished before; sign in again")
        while len(self._used) >= _USED_MAX:
            self._used.pop(next(iter(self._used)))
        self._used[state] = None

    async def _call(self, function: Callable[..., T], *arguments: Any) -> T:
        return await anyio.to_thread.run_sync(function, *arguments, limiter=self._limiter)


def read_form(content_type: str, body: bytes) -> dict[str, str]:
    """Return the fields of a form that a browser has sent; no fields for any other body."""
    if content_type.partition(";")[0].strip().lower() != FORM_TYPE or len(body) > FORM_MAX_BYTES:
        return {}
    try:
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=_FIELDS_MAX))
    except ValueError:
        return {}


def _epoch_ms() -> int:
    return time.time_ns() // 1_000_000
