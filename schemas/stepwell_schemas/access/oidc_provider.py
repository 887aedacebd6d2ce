"""The identity provider: its configuration and its keys, read over HTTP and kept. Thread-safe.

Both are read when they are first needed, and again after an hour. While the provider does not answer, what is known
stays in use for a day, so that an outage ends no session and refuses no valid token. A token with an unknown key makes
the keys be read again, since providers change keys without notice; forged tokens can do so only every 30 seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, NamedTuple, TypeVar

import httpx
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from stepwell_schemas.access.oidc_settings import is_safe_url
from stepwell_schemas.errors import ProviderError

READ_AGAIN_SECONDS: Final = 3_600.0
RETRY_SECONDS: Final = 10.0
"""Seconds after a failure before the provider is contacted again."""

STALE_SECONDS: Final = 86_400.0
UNKNOWN_KEY_SECONDS: Final = 30.0
"""Least seconds between two readings of the keys that unknown key ids cause."""

_TIMEOUT_SECONDS: Final = 5.0
_ANSWER_MAX_BYTES: Final = 1_000_000
_CONFIGURATION: Final = "/.well-known/openid-configuration"
_SIGNATURE_TYPES: Final = frozenset({"RSA", "EC", "OKP"})
_log = structlog.get_logger("stepwell.access")

T = TypeVar("T")
Fetch = Callable[[str], Mapping[str, Any]]
Start = Callable[[Callable[[], object]], None]
"""Starts work in the background."""


class ProviderMetadata(NamedTuple):
    """The provider's configuration; endpoints that it does not have are "".

    `basic_secret`: whether the token endpoint takes the client's secret in the header Authorization.
    """

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str
    device_authorization_endpoint: str
    end_session_endpoint: str
    basic_secret: bool
    states_issuer: bool


def parse_metadata(issuer: str, document: Mapping[str, Any]) -> ProviderMetadata:
    """Check and return a provider's configuration. Raises: ProviderError."""
    named = document.get("issuer")
    if named != issuer:
        raise ProviderError(
            f"the provider at STEPWELL_OIDC_ISSUER={issuer} says that its issuer is {named!r}; both must be the same"
        )

    def endpoint(name: str, *, needed: bool = False) -> str:
        url = document.get(name) or ""
        if not isinstance(url, str) or (url and not is_safe_url(url, query=True)) or (needed and not url):
            raise ProviderError(f"the configuration of the provider {issuer} has no usable {name}")
        return url

    ways = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    return ProviderMetadata(
        issuer,
        endpoint("authorization_endpoint", needed=True),
        endpoint("token_endpoint", needed=True),
        endpoint("jwks_uri", needed=True),
        endpoint("userinfo_endpoint"),
        endpoint("device_authorization_endpoint"),
        endpoint("end_session_endpoint"),
        isinstance(ways, list) and "client_secret_basic" in ways,
        document.get("authorization_response_iss_parameter_supported") is True,
    )


def signature_keys(document: Mapping[str, Any]) -> KeySet:
    """Return the public keys for signatures of a key set; others, and those that can't be read, are left out.

    Raises:
        ProviderError: when the document is no key set.
    """
    listed = document.get("keys")
    if not isinstance(listed, list):
        raise ProviderError("the provider's key set has no list `keys`")
    keys: list[Any] = []
    for key in listed:
        if not isinstance(key, dict) or key.get("kty") not in _SIGNATURE_TYPES or key.get("use", "sig") != "sig":
            continue
        try:
            keys += KeySet.import_key_set({"keys": [key]}).keys
        except (JoseError, ValueError, TypeError, KeyError):
            continue
    return KeySet(keys)


def read_bounded(answer: httpx.Response) -> bytes:
    """Return the body of a streamed answer of the provider. Raises: ProviderError if it is too large."""
    body = b""
    for part in answer.iter_bytes():
        body += part
        if len(body) > _ANSWER_MAX_BYTES:
            raise ProviderError(f"{answer.url} answers with more than {_ANSWER_MAX_BYTES:,} bytes")
    return body


def fetch_json(url: str) -> Mapping[str, Any]:
    """Return the JSON object at a URL of the provider. Raises: ProviderError."""
    from stepwell_schemas.http.trust import client_trust

    try:
        with (
            httpx.Client(timeout=_TIMEOUT_SECONDS, verify=client_trust()) as client,
            client.stream("GET", url, headers={"Accept": "application/json"}) as answer,
        ):
            body = read_bounded(answer)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ProviderError(f"{url} can't be read ({type(error).__name__})") from error
    if not answer.is_success:
        raise ProviderError(f"{url} answers {answer.status_code}")
    try:
        document = httpx.Response(200, content=body).json()
    except ValueError as error:
        raise ProviderError(f"{url} does not answer with JSON") from error
    if not isinstance(document, dict):
        raise ProviderError(f"{url} does not answer with a JSON object")
    return document


class _Kept(Generic[T]):
    """A document of the provider that is kept: `known` never blocks, `read` fetches it if it is not known.

    A known document is read again by a thread, so that no request waits for a provider that does not answer.
    """

    def __init__(self, fetch: Callable[[], T], clock: Callable[[], float], start: Start) -> None:
        self._fetch = fetch
        self._clock = clock
        self._start = start
        self._lock = threading.Lock()
        self._value: T | None = None
        self._read_at = 0.0
        self._tried_at: float | None = None
        self._next_at = 0.0
        self._failure = ""

    def known(self) -> T | None:
        """Return the document if it is known, and not too old."""
        now = self._clock()
        if self._value is None or now - self._read_at >= STALE_SECONDS:
            return None
        if now >= self._next_at:
            # Before the thread starts: the next request must not start another one.
            self._next_at = now + RETRY_SECONDS
            self._start(lambda: self.read_again(0.0))
        return self._value

    def read(self) -> T:
        """Return the document, fetched if it is not known. Raises: ProviderError."""
        known = self.known()
        if known is not None:
            return known
        with self._lock:
            known = self.known()
            if known is None and self._clock() >= self._next_at:
                self._try_to_fetch()
                known = self.known()
            if known is None:
                raise ProviderError(self._failure)
            return known

    def read_again(self, seconds: float) -> bool:
        """Fetch the document unless that was tried within `seconds`, or is being done; return True with success."""
        tried_at = self._tried_at
        if tried_at is not None and self._clock() - tried_at < seconds:
            return False
        if not self._lock.acquire(blocking=False):
            return False
        try:
            return self._try_to_fetch()
        finally:
            self._lock.release()

    def _try_to_fetch(self) -> bool:
        self._tried_at = self._clock()
        try:
            self._value = self._fetch()
        except ProviderError as error:
            self._failure = str(error)
            self._next_at = self._clock() + RETRY_SECONDS
            _log.warning("identity_provider_unavailable", error=self._failure)
            return False
        self._read_at = self._clock()
        self._next_at = self._read_at + READ_AGAIN_SECONDS
        return True


def _start_thread(work: Callable[[], object]) -> None:
    threading.Thread(target=work, name="identity-provider", daemon=True).start()


class Provider:
    """The provider at an issuer URL. `peek_` methods never block: they return None if something has to be read."""

    def __init__(
        self,
        issuer: str,
        fetch: Fetch = fetch_json,
        clock: Callable[[], float] = time.monotonic,
        start: Start = _start_thread,
    ) -> None:
        self.issuer = issuer
        self._fetch = fetch
        self._metadata = _Kept(self._fetch_metadata, clock, start)
        self._keys = _Kept(self._fetch_keys, clock, start)

    def metadata(self) -> ProviderMetadata:
        """Return the configuration. Raises: ProviderError."""
        return self._metadata.read()

    def keys(self) -> KeySet:
        """Return the keys. Raises: ProviderError."""
        return self._keys.read()

    def peek_keys(self) -> KeySet | None:
        """Return the keys if they are known."""
        return self._keys.known()

    def keys_again(self) -> KeySet | None:
        """Return newly read keys, for a token with an unknown one; None if they were read a short time ago."""
        return self._keys.read() if self._keys.read_again(UNKNOWN_KEY_SECONDS) else None

    def _fetch_metadata(self) -> ProviderMetadata:
        return parse_metadata(self.issuer, self._fetch(self.issuer.rstrip("/") + _CONFIGURATION))

    def _fetch_keys(self) -> KeySet:
        return signature_keys(self._fetch(self.metadata().jwks_uri))
