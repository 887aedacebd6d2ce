"""Sign-in at the identity provider: authorization code with PKCE; and sign-out there (RP-initiated logout).

`begin` gives the address at the provider, and what the browser keeps sealed until it comes back. `finish` checks that
the answer belongs to this browser's sign-in (state), that its token does (nonce), and exchanges the code.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import quote_plus, urlencode

import httpx

from stepwell_query.access.sign_in_page import SIGN_IN, SIGNED_OUT
from stepwell_schemas.access.group_grants import mapped_groups, read_groups, read_name
from stepwell_schemas.access.oidc_provider import Provider, ProviderMetadata, read_bounded
from stepwell_schemas.access.oidc_settings import OidcSettings
from stepwell_schemas.access.oidc_tokens import TokenVerifier
from stepwell_schemas.errors import ProviderError, TokenError
from stepwell_schemas.http.trust import client_trust

CALLBACK: Final = "/signin/callback"
PENDING_SECONDS: Final = 600
"""Seconds within which a user signs in at the provider."""

_RANDOM_BYTES: Final = 32
_TIMEOUT_SECONDS: Final = 10.0
_SHOWN_CHARS: Final = 200
_DENIED: Final = "access_denied"


class SignInError(Exception):
    """A sign-in that failed; the text says why to the user who tried, and has no secret."""


@dataclass(frozen=True, slots=True)
class PendingSignIn:
    """A sign-in that was begun: its secrets, the page to return to, and the time (s) until which it may be finished."""

    state: str
    nonce: str
    code_verifier: str
    return_to: str
    expires: int

    def to_json(self) -> dict[str, Any]:
        """Return the document to seal."""
        return asdict(self)

    @classmethod
    def parse(cls, value: Mapping[str, Any]) -> PendingSignIn:
        """Return the sign-in of a document that `to_json` gave."""
        return cls(**value)


class SignedIn(NamedTuple):
    """A user who has signed in: the name, and those of the groups that the settings name."""

    name: str
    groups: tuple[str, ...]


class OidcSignIn:
    """The page's sign-in at one provider. Synchronous: `finish` waits for the provider."""

    def __init__(self, settings: OidcSettings, provider: Provider, base_url: str) -> None:
        self._settings = settings
        self._provider = provider
        self._redirect_uri = base_url.rstrip("/") + CALLBACK
        self._signed_out_uri = base_url.rstrip("/") + SIGN_IN
        self._verifier = TokenVerifier(provider, frozenset({settings.oidc_client_id}))

    def begin(self, return_to: str, now: int) -> tuple[str, PendingSignIn]:
        """Return the address at the provider to send the browser to. Raises: ProviderError."""
        metadata = self._provider.metadata()
        state, nonce, verifier = (secrets.token_urlsafe(_RANDOM_BYTES) for _ in range(3))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = urlencode(
            {
                "response_type": "code",
                "client_id": self._settings.oidc_client_id,
                "redirect_uri": self._redirect_uri,
                "scope": self._settings.oidc_scopes,
                "state": state,
                "nonce": nonce,
                "code_challenge": challenge,
                "code_challenge_method": "S256",
            }
        )
        pending = PendingSignIn(state, nonce, verifier, return_to, now + PENDING_SECONDS)
        return _with_query(metadata.authorization_endpoint, query), pending

    def sign_out_address(self) -> str:
        """Return the address at the provider that ends the user's session there, too; "" if it has none.

        Raises: ProviderError.
        """
        endpoint = self._provider.metadata().end_session_endpoint
        # Without the ID token, which no session keeps, the provider has the user confirm the sign-out.
        query = urlencode(
            {
                "client_id": self._settings.oidc_client_id,
                "post_logout_redirect_uri": self._signed_out_uri,
                "state": SIGNED_OUT,
            }
        )
        return _with_query(endpoint, query) if endpoint else ""

    def finish(self, answer: Mapping[str, str], pending: PendingSignIn | None, now: int) -> SignedIn:
        """Return the user that the provider's answer (the query of the redirect) names.

        Raises:
            SignInError: when the answer is not valid, or not that of this sign-in.
            ProviderError: when the provider can't be reached.
        """
        metadata = self._provider.metadata()
        code = _check_answer(answer, pending, metadata, now)
        assert pending is not None  # noqa: S101 - `_check_answer` rejects an answer without one
        tokens = self._exchange(metadata, code, pending.code_verifier)
        try:
            claims = self._verifier.verify(str(tokens.get("id_token", "")), now, pending.nonce)
        except TokenError as error:
            raise SignInError(f"the provider's token is not valid: {error}") from error
        _check_authorized_party(claims, self._settings.oidc_client_id)
        claims = self._with_user_info(metadata, claims, tokens)
        groups = read_groups(claims, self._settings.oidc_groups_claim) or ()
        name = read_name(claims, self._settings.oidc_name_claim)
        return SignedIn(name, mapped_groups(self._settings.group_grants, groups))

    def _exchange(self, metadata: ProviderMetadata, code: str, code_verifier: str) -> Mapping[str, Any]:
        client_id = self._settings.oidc_client_id
        secret = self._settings.oidc_client_secret.get_secret_value()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": code_verifier,
        }
        headers = {}
        if secret and metadata.basic_secret:
            # RFC 6749, 2.3.1: both are form-encoded first.
            pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": client_id} | ({"client_secret": secret} if secret else {})
        answer = _send("POST", metadata.token_endpoint, headers, form)
        if answer.is_success:
            return _document(answer)
        if answer.is_server_error:
            raise ProviderError(f"the provider's token endpoint answers {answer.status_code}")
        reason = _printable(str(_document(answer).get("error", answer.status_code)))
        raise SignInError(f"the provider does not accept the sign-in ({reason}); try again")

    def _with_user_info(
        self, metadata: ProviderMetadata, claims: dict[str, Any], tokens: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Add claims of the userinfo endpoint if the token lacks the name or the groups, as some providers do."""
        wanted = (self._settings.oidc_groups_claim, self._settings.oidc_name_claim)
        complete = read_groups(claims, wanted[0]) is not None and read_name(claims, wanted[1]) != claims["sub"]
        access_token = tokens.get("access_token")
        if complete or not metadata.userinfo_endpoint or not isinstance(access_token, str):
            return claims
        answer = _send("GET", metadata.userinfo_endpoint, {"Authorization": f"Bearer {access_token}"})
        if not answer.is_success:
            return claims
        info = _document(answer)
        # OpenID Connect Core, 5.3.4: the answer of another user must not be used.
        if info.get("sub") != claims["sub"]:
            raise SignInError("the provider's user information is that of another user")
        return {**info, **claims}


def _check_answer(
    answer: Mapping[str, str], pending: PendingSignIn | None, metadata: ProviderMetadata, now: int
) -> str:
    """Return the code of a provider's answer, which must be the one to this sign-in. Raises: SignInError."""
    state = answer.get("state", "")
    if pending is None or not hmac.compare_digest(state.encode(), pending.state.encode()):
        raise SignInError("this is not the answer to a sign-in that this browser has begun; sign in again")
    if now >= pending.expires:
        raise SignInError(f"the sign-in took more than {PENDING_SECONDS // 60} minutes; sign in again")
    # RFC 9207: an answer of another provider must not reach this one's token endpoint.
    issuer = answer.get("iss")
    if (issuer is not None or metadata.states_issuer) and issuer != metadata.issuer:
        raise SignInError("the answer is from another identity provider")
    if "error" in answer:
        if answer["error"] == _DENIED:
            raise SignInError("the provider has not given access")
        raise SignInError(f"the provider reports: {_printable(answer.get('error_description') or answer['error'])}")
    code = answer.get("code", "")
    if not code:
        raise SignInError("the provider's answer has no code")
    return code


def _check_authorized_party(claims: Mapping[str, Any], client_id: str) -> None:
    party = claims.get("azp")
    several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    if (party is not None or several) and party != client_id:
        raise SignInError("the provider's token was issued to another client")


def _with_query(address: str, query: str) -> str:
    return f"{address}{'&' if '?' in address else '?'}{query}"


def _send(method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None = None) -> httpx.Response:
    headers = {"Accept": "application/json", **headers}
    try:
        with (
            httpx.Client(timeout=_TIMEOUT_SECONDS, verify=client_trust()) as client,
            client.stream(method, url, headers=headers, data=form) as answer,
        ):
            return httpx.Response(answer.status_code, content=read_bounded(answer))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ProviderError(f"the provider at {url} can't be reached ({type(error).__name__})") from error


def _document(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        document = answer.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _printable(text: str) -> str:
    return "".join(char for char in text if char.isprintable())[:_SHOWN_CHARS]
