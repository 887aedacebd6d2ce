"""Authentication: from the credential of a request to an identity, or to the answer that refuses it.

Verifiers are tried in order, each for the credentials that it knows; `Keys` is one of them. A service without a key,
an administrator's key or an identity provider is open: every request has all scopes, whatever credential it sends.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import structlog

from stepwell_schemas.access.credentials import (
    Credential,
    CredentialKind,
    Headers,
    MalformedCredentialError,
    read_credential,
)
from stepwell_schemas.access.grants import Grant, Scope
from stepwell_schemas.access.identity import OPEN_IDENTITY, Identity, Method
from stepwell_schemas.access.key_cache import KeyCache, UnreadError
from stepwell_schemas.access.key_store import KeyStore, epoch_ms
from stepwell_schemas.access.key_uses import KeyUses
from stepwell_schemas.access.keys import ADMIN_KEY_ID, ApiKey, hash_key
from stepwell_schemas.access.refusals import (
    Refusal,
    keys_unavailable,
    malformed_credential,
    no_credential,
    provider_unavailable,
    wrong_credential,
    wrong_token,
)
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.errors import ProviderError, StoreError, TokenError
from stepwell_schemas.settings import AccessSettings

ADMIN_IDENTITY: Final = Identity("admin", Method.KEY, (Grant(Scope.ADMIN),), ADMIN_KEY_ID)
"""The identity of requests with `STEPWELL_ADMIN_KEY`."""

_log = structlog.get_logger("stepwell.access")


class Verifier(Protocol):
    """Proves identities by one kind of credential."""

    async def identify(self, credential: Credential) -> Identity | None:
        """Return the identity that a credential proves, None if it is not valid, or is for another verifier.

        Raises:
            TokenError: when it is a token of the identity provider that is not valid.
            StoreError, ProviderError: when that can't be decided now.
        """


class Keys:
    """Proves identities by API keys: stored ones, and the administrator's key of the settings."""

    def __init__(self, store: KeyStore, admin_key: str = "", cache: KeyCache | None = None) -> None:
        self.store = store
        self.cache = cache or KeyCache(store)
        self._admin_hash = hash_key(admin_key) if admin_key else ""
        self._uses = KeyUses(store)
        self._reading = asyncio.Lock()

    async def identify(self, credential: Credential) -> Identity | None:
        """Return the identity of a key. Raises: StoreError."""
        if credential.kind is CredentialKind.COOKIE:
            return None
        return await self.identify_key(credential.secret)

    async def identify_key(self, text: str) -> Identity | None:
        """Return the identity of a key's text. Raises: StoreError."""
        if self._is_admin_key(text):
            return ADMIN_IDENTITY
        return self._used(await self._find(self.cache.peek, self.cache.find, text))

    async def identify_hash(self, digest: str) -> Identity | None:
        """Return the identity of the key with a hash, for sessions that it began. Raises: StoreError."""
        if self._admin_hash and hmac.compare_digest(digest, self._admin_hash):
            return ADMIN_IDENTITY
        return self._used(await self._find(self.cache.peek_hash, self.cache.find_hash, digest))

    def find_blocking(self, text: str) -> Identity | None:
        """Return the identity of a key's text, from a thread. Raises: StoreError."""
        if self._is_admin_key(text):
            return ADMIN_IDENTITY
        return self._used(self.cache.find(text))

    def close(self) -> None:
        """Store the uses of keys, before the store closes."""
        self._uses.close()

    async def any_exists(self) -> bool:
        """Return True if there is an administrator's key, or a key was ever created. Raises: StoreError."""
        if self._admin_hash:
            return True
        try:
            return self.cache.peek_any()
        except UnreadError:
            async with self._reading:
                return await asyncio.to_thread(self.cache.any_exists)

    def _is_admin_key(self, text: str) -> bool:
        # Hashes are compared: they have one length, and their common prefix reveals nothing of the key.
        return bool(self._admin_hash) and hmac.compare_digest(hash_key(text), self._admin_hash)

    def _used(self, key: ApiKey | None) -> Identity | None:
        if key is None:
            return None
        self._uses.note(key.key_id, epoch_ms())
        return key.identity()

    async def _find(
        self, peek: Callable[[str], ApiKey | None], find: Callable[[str], ApiKey | None], text: str
    ) -> ApiKey | None:
        try:
            return peek(text)
        except UnreadError:
            # One at a time: the first one reads the keys for all.
            async with self._reading:
                try:
                    return peek(text)
                except UnreadError:
                    return await asyncio.to_thread(find, text)


class Authenticator:
    """Finds the identity of requests.

    Attributes:
        keys: the verifier of keys.
        verifiers: further ones, tried before keys.
        controlled: True if the service is not open even without a key, since an identity provider is configured.
    """

    def __init__(self, keys: Keys, verifiers: Sequence[Verifier] = (), *, controlled: bool = False) -> None:
        self.keys = keys
        self.verifiers = (*verifiers, keys)
        self._controlled = controlled

    @classmethod
    def over(
        cls, store: Store, settings: AccessSettings, verifiers: Sequence[Verifier] = (), *, controlled: bool = False
    ) -> Authenticator:
        """Return the authenticator of a service with these settings, whose keys are in `store`."""
        keys = Keys(KeyStore(store), settings.admin_key.get_secret_value())
        return cls(keys, verifiers, controlled=controlled)

    async def is_open(self) -> bool:
        """Return True if every request has all scopes. Raises: StoreError."""
        return not self._controlled and not await self.keys.any_exists()

    async def identify(self, headers: Headers) -> Identity | Refusal:
        """Return the identity of a request by its headers, or the answer that refuses it."""
        try:
            if await self.is_open():
                return OPEN_IDENTITY
            return await self._identify(headers)
        except StoreError as error:
            _log.warning("access_keys_unreadable", error=str(error))
            return keys_unavailable()
        except ProviderError as error:
            _log.warning("access_token_not_verifiable", error=str(error))
            return provider_unavailable()
        except TokenError as error:
            return wrong_token(str(error))

    async def _identify(self, headers: Headers) -> Identity | Refusal:
        try:
            credential = read_credential(headers)
        except MalformedCredentialError as error:
            return malformed_credential(str(error))
        if credential is None:
            return no_credential()
        for verifier in self.verifiers:
            identity = await verifier.identify(credential)
            if identity is not None:
                return identity
        # Cookies of other services on the same host are not credentials.
        return no_credential() if credential.kind is CredentialKind.COOKIE else wrong_credential()
