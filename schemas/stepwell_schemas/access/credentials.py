"""Credentials of a request: read from its headers, without deciding whose they are."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from stepwell_schemas.limits import CREDENTIAL_MAX_CHARS

Headers = Iterable[tuple[bytes, bytes]]

_TOKEN: Final = re.compile(r"[!-~]+")


class CredentialKind(StrEnum):
    """The places of a credential in a request."""

    BEARER = "bearer"
    PASSWORD = "password"  # noqa: S105 - a kind, not a password
    COOKIE = "cookie"


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential: a bearer token, the user and password of Basic, or the complete header `Cookie`.

    Its secret is no part of its repr, so that it reaches no log.
    """

    kind: CredentialKind
    secret: str = field(repr=False)
    user: str = ""


class MalformedCredentialError(Exception):
    """A header `Authorization` that can't be read; the text has the rule and never the header."""


def read_credential(headers: Headers) -> Credential | None:
    """Return the credential of a request, None if it has none; `Authorization` is preferred to a cookie.

    Raises:
        MalformedCredentialError: when `Authorization` can't be read.
    """
    given = [(name.lower(), value) for name, value in headers]
    sent = [value for name, value in given if name == b"authorization"]
    if len(sent) > 1:
        raise MalformedCredentialError("there are several of it")
    if sent:
        return _read_authorization(sent[0])
    cookies = b"; ".join(value for name, value in given if name == b"cookie")
    if not cookies or len(cookies) > CREDENTIAL_MAX_CHARS:
        return None
    return Credential(CredentialKind.COOKIE, cookies.decode("latin-1"))


def _read_authorization(value: bytes) -> Credential:
    if len(value) > CREDENTIAL_MAX_CHARS:
        raise MalformedCredentialError(f"it has more than {CREDENTIAL_MAX_CHARS:,} characters")
    scheme, _, rest = value.decode("latin-1").strip().partition(" ")
    token = rest.strip()
    if _TOKEN.fullmatch(token) is None:
        raise MalformedCredentialError("it must be a scheme and one token")
    match scheme.lower():
        case "bearer":
            return Credential(CredentialKind.BEARER, token)
        case "basic":
            return _read_basic(token)
    raise MalformedCredentialError("its scheme must be Bearer or Basic")


def _read_basic(token: str) -> Credential:
    try:
        user, colon, password = b64decode(token, validate=True).decode().partition(":")
    except ValueError:
        colon = ""
    if not colon:
        raise MalformedCredentialError("Basic must be followed by the base64 of `user:key`")
    return Credential(CredentialKind.PASSWORD, password, user)
