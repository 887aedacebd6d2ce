"""Tokens of the identity provider: JSON Web Tokens, verified by its keys and for this service.

Only signatures by asymmetric keys are accepted: neither unsigned tokens (`none`) nor those whose signature is made with
a shared secret (`HS256`), for which a public key could be used as the secret.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Mapping
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from stepwell_schemas.access.oidc_provider import Provider
from stepwell_schemas.errors import TokenError

ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA",
)  # fmt: skip
LEEWAY_SECONDS: Final = 60
"""Difference between the clocks of the provider and this machine that is allowed for."""

TOKEN_MAX_CHARS: Final = 16_384
_PARTS: Final = 3
# Other tokens of a provider, such as those that end sessions (`logout+jwt`), prove no identity.
_TYPES: Final = frozenset({"", "jwt", "at+jwt"})


class UnknownKeyError(TokenError):
    """The token names a key that is not among the known ones."""


def looks_like_token(text: str) -> bool:
    """Return True for a text in the form of a JSON Web Token."""
    return text.count(".") == _PARTS - 1 and len(text) <= TOKEN_MAX_CHARS and text.startswith("ey")


def verify_token(
    token: str, keys: KeySet, issuer: str, audiences: Collection[str], now: int, nonce: str | None = None
) -> dict[str, Any]:
    """Return the claims of a token.

    Args:
        token: its text.
        keys: the provider's keys.
        issuer: the only issuer that is accepted.
        audiences: the audiences of which the token must name one.
        now: seconds since the epoch.
        nonce: the nonce that the token must have, for the answer to a sign-in.

    Raises:
        UnknownKeyError: when it names a key that is not in `keys`.
        TokenError: when it is not valid; the text has the reason.
    """
    if not looks_like_token(token):
        raise TokenError("it is not a JSON Web Token")
    claims = _verify_signature(token, keys)
    registry = jwt.JWTClaimsRegistry(
        now=now,
        leeway=LEEWAY_SECONDS,
        iss={"essential": True, "value": issuer},
        sub={"essential": True},
        aud={"essential": True, "values": sorted(audiences)},
        exp={"essential": True},
    )
    try:
        registry.validate(claims)
    except JoseError as error:
        raise TokenError(_describe(error, issuer)) from error
    if not claims["sub"]:
        raise TokenError("its claim `sub` is empty")
    if nonce is not None and not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
        raise TokenError("its claim `nonce` is not that of this sign-in")
    return claims


def _verify_signature(token: str, keys: KeySet) -> dict[str, Any]:
    def find(guest: Any) -> Any:
        header: Mapping[str, Any] = guest.headers()
        kind = str(header.get("typ") or "").lower().removeprefix("application/")
        if kind not in _TYPES:
            raise TokenError(f"tokens of the type {kind!r} prove no identity")
        return _find_key(header, keys)

    try:
        return dict(jwt.decode(token, find, algorithms=list(ALGORITHMS), registry=_registry()).claims)
    except JoseError as error:
        raise TokenError(f"its signature is not valid ({error.error})") from error
    except (ValueError, TypeError, KeyError, UnicodeError) as error:
        raise TokenError("it is not a JSON Web Token") from error


def _registry() -> JWSRegistry:
    # Providers add header fields of their own.
    return JWSRegistry(algorithms=list(ALGORITHMS), strict_check_header=False)


def _find_key(header: Mapping[str, Any], keys: KeySet) -> Any:
    name = header.get("kid")
    found = [key for key in keys.keys if name is None or key.kid == name]
    fitting = [key for key in found if key.get("alg") in {None, header.get("alg")}]
    if not fitting:
        raise UnknownKeyError("it is signed with a key that the provider does not publish")
    if name is None and len(fitting) > 1:
        raise TokenError("it does not name its key, and the provider has several")
    return fitting[0]


def _describe(error: JoseError, issuer: str) -> str:
    claim = getattr(error, "claim", "")
    if error.error == "missing_claim":
        return f"it has no claim `{claim}`"
    match claim:
        case "iss":
            return f"its issuer is not {issuer}"
        case "aud":
            return "it is for another audience; STEPWELL_OIDC_AUDIENCES lists those that are accepted"
        case "exp":
            return "it has expired"
    return f"its claim `{claim}` is not valid" if claim else str(error.error)


class TokenVerifier:
    """Verifies tokens of one provider. `peek` never blocks; `verify` may read the provider's keys."""

    def __init__(self, provider: Provider, audiences: Collection[str]) -> None:
        self._provider = provider
        self._audiences = audiences

    def peek(self, token: str, now: int) -> dict[str, Any] | None:
        """Return a token's claims; None if the provider's keys have to be read first. Raises: TokenError."""
        keys = self._provider.peek_keys()
        if keys is None:
            return None
        try:
            return verify_token(token, keys, self._provider.issuer, self._audiences, now)
        except UnknownKeyError:
            return None

    def verify(self, token: str, now: int, nonce: str | None = None) -> dict[str, Any]:
        """Return a token's claims. Raises: TokenError; ProviderError, when the keys can't be read."""
        issuer = self._provider.issuer
        if not looks_like_token(token):
            raise TokenError("it is not a JSON Web Token")
        try:
            return verify_token(token, self._provider.keys(), issuer, self._audiences, now, nonce)
        except UnknownKeyError:
            keys = self._provider.keys_again()
            if keys is None:
                raise
            return verify_token(token, keys, issuer, self._audiences, now, nonce)
