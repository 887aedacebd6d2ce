"""Identities of programs that send a token of the identity provider instead of a key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from stepwell_schemas.access.credentials import Credential, CredentialKind
from stepwell_schemas.access.group_grants import grants_of_groups, read_groups, read_name
from stepwell_schemas.access.identity import Identity, Method
from stepwell_schemas.access.oidc_provider import Provider
from stepwell_schemas.access.oidc_settings import OidcSettings
from stepwell_schemas.access.oidc_tokens import TokenVerifier, looks_like_token


class TokenIdentities:
    """Proves identities by tokens of one provider, as a bearer token or the password of Basic."""

    def __init__(self, settings: OidcSettings, provider: Provider, now: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._groups = settings.group_grants
        self._verifier = TokenVerifier(provider, settings.accepted_audiences)
        self._now = now
        self._reading = asyncio.Lock()

    async def identify(self, credential: Credential) -> Identity | None:
        """Return the identity of a token; None for other credentials.

        Raises:
            TokenError: when it is not valid; the text has the reason.
            ProviderError: when that can't be decided now.
        """
        token = credential.secret
        if credential.kind is CredentialKind.COOKIE or not looks_like_token(token):
            return None
        claims = self._verifier.peek(token, int(self._now()))
        if claims is None:
            # One at a time: the first one reads the provider's keys for all, and the others take no threads meanwhile.
            async with self._reading:
                claims = await asyncio.to_thread(self._verifier.verify, token, int(self._now()))
        return self._to_identity(claims)

    def _to_identity(self, claims: Mapping[str, Any]) -> Identity:
        groups = read_groups(claims, self._settings.oidc_groups_claim) or ()
        name = read_name(claims, self._settings.oidc_name_claim)
        return Identity(name, Method.OIDC, grants_of_groups(self._groups, groups))
