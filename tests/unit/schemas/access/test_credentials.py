"""Credentials are read from headers without ever failing in another way, and are not shown."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_schemas.access.credentials import (
    Credential,
    CredentialKind,
    MalformedCredentialError,
    read_credential,
)
from stepwell_schemas.limits import CREDENTIAL_MAX_CHARS

BASIC = b64encode(b"api:stepwell-key").decode()


def read(*headers: str, cookie: str | None = None) -> Credential | None:
    sent = [(b"authorization", value.encode("latin-1")) for value in headers]
    return read_credential(sent if cookie is None else [*sent, (b"Cookie", cookie.encode())])


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Bearer stepwell-key", Credential(CredentialKind.BEARER, "stepwell-key")),
        ("bearer   stepwell-key ", Credential(CredentialKind.BEARER, "stepwell-key")),
        (f"Basic {BASIC}", Credential(CredentialKind.PASSWORD, "stepwell-key", "api")),
        (f"BASIC {BASIC}", Credential(CredentialKind.PASSWORD, "stepwell-key", "api")),
        (f"Basic {b64encode(b':a:b').decode()}", Credential(CredentialKind.PASSWORD, "a:b", "")),
    ],
)
def test_known_schemes_are_read(header: str, expected: Credential) -> None:
    """Both schemes, in any case; a password may contain colons."""
    assert read(header) == expected


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer a b",
        "Bearer é",
        "stepwell-key",
        "Digest x",
        "Basic !",
        f"Basic {b64encode(b'no colon').decode()}",
        f"Basic {b64encode(bytes([255, 58])).decode()}",
        "Bearer " + "a" * CREDENTIAL_MAX_CHARS,
    ],
)
def test_malformed_headers_are_refused_without_their_text(header: str) -> None:
    """The error has the rule, and nothing of what was sent."""
    with pytest.raises(MalformedCredentialError) as refused:
        read(header)
    assert not header or header not in str(refused.value)


def test_two_headers_are_refused() -> None:
    """A proxy and the service could otherwise check different ones."""
    with pytest.raises(MalformedCredentialError, match="several"):
        read("Bearer a", "Bearer b")


def test_the_header_is_preferred_to_a_cookie() -> None:
    """A cookie is a credential only without the header; several headers are one cookie."""
    assert read(cookie="a=1") == Credential(CredentialKind.COOKIE, "a=1")
    assert read("Bearer k", cookie="a=1") == Credential(CredentialKind.BEARER, "k")
    assert read() is None


@given(st.lists(st.binary(max_size=60), max_size=2))
def test_any_bytes_are_read_or_refused(values: list[bytes]) -> None:
    """No header causes another error."""
    try:
        found = read_credential([(b"authorization", value) for value in values])
    except MalformedCredentialError:
        return
    assert (found is None) == (not values)


def test_the_secret_is_not_shown() -> None:
    """Neither repr nor str of a credential has its secret."""
    assert "stepwell-key" not in f"{read('Bearer stepwell-key')!r} {read('Bearer stepwell-key')}"
