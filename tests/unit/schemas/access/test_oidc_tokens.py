"""Tokens that must not be accepted, and those that must be, against keys that are made here."""

from __future__ import annotations

import base64
import hmac
import json
from functools import cache
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey

from stepwell_schemas.access.oidc_provider import signature_keys
from stepwell_schemas.access.oidc_tokens import (
    ALGORITHMS,
    LEEWAY_SECONDS,
    TOKEN_MAX_CHARS,
    UnknownKeyError,
    looks_like_token,
    verify_token,
)
from stepwell_schemas.errors import TokenError

ISSUER = "https://id.example.org"
NOW = 1_800_000_000
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "sub": "u1",
    "aud": "stepwell",
    "exp": NOW + 300,
    "iat": NOW,
    "nonce": "n1",
}


@cache
def rsa() -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"})


@cache
def curve() -> ECKey:
    return ECKey.generate_key("P-256", {"kid": "ec"})


def keys(*more: dict[str, Any]) -> KeySet:
    return signature_keys({"keys": [rsa().as_dict(private=False), curve().as_dict(private=False), *more]})


def sign(claims: dict[str, Any], header: dict[str, Any] | None = None, key: Any = None) -> str:
    return jwt.encode(
        {"alg": "RS256", "kid": "rsa"} | (header or {}), claims, key or rsa(), algorithms=list(ALGORITHMS)
    )


def verify(token: str, nonce: str | None = None, known: KeySet | None = None) -> dict[str, Any]:
    return verify_token(token, known or keys(), ISSUER, {"stepwell", "jobs"}, NOW, nonce)


def encode(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("claims", "header", "key"),
    [
        ({}, {}, None),
        ({"aud": ["other", "jobs"]}, {"typ": "at+jwt"}, None),
        ({}, {"alg": "PS256"}, None),
        ({}, {"alg": "ES256", "kid": "ec", "typ": "JWT"}, "ec"),
        ({"exp": NOW - LEEWAY_SECONDS + 1, "nbf": NOW + LEEWAY_SECONDS}, {}, None),
    ],
)
def test_a_valid_token_gives_its_claims(claims: dict[str, Any], header: dict[str, Any], key: str | None) -> None:
    given = CLAIMS | claims
    assert verify(sign(given, header, curve() if key else None), "n1") == given


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"iss": "https://id.example.org/"}, "issuer"),
        ({"iss": None}, "iss"),
        ({"aud": "other"}, "audience"),
        ({"aud": []}, "aud"),
        ({"aud": ["stepwell", 1]}, "aud"),
        ({"exp": NOW - LEEWAY_SECONDS}, "expired"),
        ({"exp": None}, "exp"),
        ({"exp": "never"}, "exp|expired"),
        ({"nbf": NOW + LEEWAY_SECONDS + 1}, "nbf"),
        ({"iat": NOW + LEEWAY_SECONDS + 1}, "iat"),
        ({"sub": ""}, "sub"),
        ({"sub": None}, "sub"),
        ({"sub": 7}, "sub"),
    ],
)
def test_a_token_with_a_wrong_claim_is_refused(claims: dict[str, Any], words: str) -> None:
    given = {name: value for name, value in (CLAIMS | claims).items() if value is not None}
    with pytest.raises(TokenError, match=words):
        verify(sign(given))


@pytest.mark.parametrize("nonce", ["", "n2", "n1 "])
def test_the_token_of_another_sign_in_is_refused(nonce: str) -> None:
    with pytest.raises(TokenError, match="nonce"):
        verify(sign(CLAIMS), nonce)
    with pytest.raises(TokenError, match="nonce"):
        verify(sign({name: value for name, value in CLAIMS.items() if name != "nonce"}), nonce or "x")


@pytest.mark.parametrize("header", [{"alg": "none"}, {"alg": "none", "kid": "rsa"}, {"alg": "None", "kid": "rsa"}, {}])
def test_an_unsigned_token_is_refused(header: dict[str, Any]) -> None:
    for signature in ("", "AAAA"):
        with pytest.raises(TokenError):
            verify(f"{encode(header)}.{encode(CLAIMS)}.{signature}")


@pytest.mark.parametrize("alg", ["HS256", "HS512"])
def test_a_public_key_is_no_shared_secret(alg: str) -> None:
    head = f"{encode({'alg': alg, 'kid': 'rsa'})}.{encode(CLAIMS)}"
    for secret in (rsa().as_pem(private=False), json.dumps(rsa().as_dict(private=False)).encode()):
        mac = hmac.new(secret, head.encode(), "sha256" if alg == "HS256" else "sha512").digest()
        with pytest.raises(TokenError, match="signature"):
            verify(f"{head}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}")


def test_a_shared_secret_in_the_key_set_is_not_used() -> None:
    secret = OctKey.generate_key(256, {"kid": "oct"})
    token = jwt.encode({"alg": "HS256", "kid": "oct"}, CLAIMS, secret, algorithms=["HS256"])
    with pytest.raises(TokenError, match="signature"):
        verify(token, known=keys(secret.as_dict()))
    assert "oct" not in [key.kid for key in keys(secret.as_dict()).keys]


def test_a_key_for_encryption_is_not_used() -> None:
    other = RSAKey.generate_key(2048, {"kid": "enc"})
    published = other.as_dict(private=False) | {"use": "enc"}
    with pytest.raises(UnknownKeyError):
        verify(sign(CLAIMS, {"kid": "enc"}, other), known=keys(published))


def test_a_forged_token_is_refused() -> None:
    other = RSAKey.generate_key(2048, {"kid": "rsa"})
    with pytest.raises(TokenError, match="signature"):
        verify(sign(CLAIMS, key=other))
    head, body, signature = sign(CLAIMS).split(".")
    with pytest.raises(TokenError, match="signature"):
        verify(f"{head}.{encode(CLAIMS | {'sub': 'root'})}.{signature}")
    # A key within the token, or one to fetch, is not used.
    embedded = sign(CLAIMS, {"jwk": other.as_dict(private=False), "jku": "https://evil.example"}, other)
    with pytest.raises(TokenError, match="signature"):
        verify(embedded)
    assert body


def test_a_token_names_its_key_unless_there_is_only_one() -> None:
    unnamed = jwt.encode({"alg": "RS256"}, CLAIMS, rsa())
    with pytest.raises(TokenError, match="several"):
        verify(unnamed)
    assert verify(unnamed, known=signature_keys({"keys": [rsa().as_dict(private=False)]})) == CLAIMS
    with pytest.raises(UnknownKeyError):
        verify(sign(CLAIMS, {"kid": "unknown"}))


@pytest.mark.parametrize("kind", ["logout+jwt", "application/logout+jwt", "dpop+jwt", "secevent+jwt"])
def test_a_token_for_something_else_proves_no_identity(kind: str) -> None:
    with pytest.raises(TokenError, match="prove no identity"):
        verify(sign(CLAIMS, {"typ": kind}))


def test_an_extension_that_is_not_understood_is_refused() -> None:
    head = encode({"alg": "RS256", "kid": "rsa", "crit": ["x"], "x": 1})
    with pytest.raises(TokenError):
        verify(f"{head}.{encode(CLAIMS)}.AAAA")


@pytest.mark.parametrize(
    "text",
    ["", "ey", "ey..", "eyé.a.b", "a.b.c", "ey" + "A" * TOKEN_MAX_CHARS + ".b.c", encode([1]) + ".e.e", "eyJ9.e30.x\0"],
)
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(TokenError):
        verify(text)


def test_keys_of_the_service_do_not_look_like_tokens() -> None:
    assert looks_like_token(sign(CLAIMS))
    assert not looks_like_token("stepwell-" + "a" * 64)
