"""Access to a service as its settings say: keys, sessions of the page, and the identity provider."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

import structlog

from stepwell_schemas.access.authenticate import Authenticator, Keys, Verifier
from stepwell_schemas.access.ended_sessions import EndedSessions, EndedSessionStore
from stepwell_schemas.access.grants import Grant
from stepwell_schemas.access.group_grants import grants_of_groups
from stepwell_schemas.access.key_limits import KeyLimits
from stepwell_schemas.access.key_store import KeyStore
from stepwell_schemas.access.oidc_provider import Provider
from stepwell_schemas.access.oidc_settings import OidcSettings, SignInSettings
from stepwell_schemas.access.sealing import new_secret
from stepwell_schemas.access.session_cookies import Sessions
from stepwell_schemas.access.token_identities import TokenIdentities
from stepwell_schemas.clickhouse.store import Store

_log = structlog.get_logger("stepwell.access")


@dataclass(frozen=True)
class ServiceAccess:
    """The parts that decide who makes a request, shared by the services of a process.

    Attributes:
        authenticator: finds the identity of requests.
        sessions: those of the page.
        oidc: the settings of the identity provider.
        provider: the identity provider, None without one.
        secret: seals what browsers keep.
        limits: limits of each key, None if there are none.
    """

    authenticator: Authenticator
    sessions: Sessions
    oidc: OidcSettings
    provider: Provider | None
    secret: str
    limits: KeyLimits | None

    @classmethod
    def over(
        cls,
        store: Store,
        settings: SignInSettings,
        base_url: str,
        *,
        tls: bool = False,
        limits: KeyLimits | None = None,
    ) -> Self:
        """Return the access to a service whose keys and ended sessions are in `store`.

        Args:
            store: the store.
            settings: its settings; without a secret, sessions end with the process.
            base_url: the URL by which browsers reach it.
            tls: whether it serves HTTPS itself.
            limits: limits of each key in this process; default: new ones, as the settings say.
        """
        secret = settings.session_secret.get_secret_value() or new_secret()
        keys = Keys(KeyStore(store), settings.admin_key.get_secret_value())
        sessions = Sessions(
            secret,
            keys,
            EndedSessions(EndedSessionStore(store)),
            groups=settings.group_grants,
            secure=tls or urlsplit(base_url).scheme == "https",
            hours=settings.session_hours,
        )
        verifiers: list[Verifier] = [sessions]
        provider = Provider(settings.oidc_issuer) if settings.oidc_issuer else None
        if provider is not None:
            verifiers.append(TokenIdentities(settings, provider))
        authenticator = Authenticator(keys, verifiers, controlled=provider is not None)
        return cls(authenticator, sessions, settings, provider, secret, limits or KeyLimits.from_settings(settings))

    def grants_of(self, groups: Iterable[str]) -> tuple[Grant, ...]:
        """Return the grants of a user of the identity provider in these groups."""
        return grants_of_groups(self.oidc.group_grants, groups)
