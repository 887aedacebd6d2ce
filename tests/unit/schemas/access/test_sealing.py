from __future__ import annotations

import base64
import json

import pytest

from stepwell_schemas.access.sealing import SEALED_MAX_CHARS, Sealer, new_secret

SECRET = "s" * 32


def test_a_sealed_value_is_opened_by_services_with_the_same_secret() -> None:
    value = {"name": "Zoë", "groups": ["a", "b"], "expires": 5}
    assert Sealer(SECRET, "session").open(Sealer(SECRET, "session").seal(value)) == value


def test_a_value_is_not_readable_and_never_sealed_alike_twice() -> None:
    sealer = Sealer(SECRET, "session")
    sealed = sealer.seal({"name": "secret-name"})
    parts = [base64.urlsafe_b64decode(part + "===") for part in sealed.split(".")]
    assert not any(b"secret-name" in part for part in parts)
    assert sealer.seal({"name": "secret-name"}) != sealed


@pytest.mark.parametrize("place", range(0, 200, 7))
def test_a_changed_value_is_not_opened(place: int) -> None:
    sealer = Sealer(SECRET, "session")
    sealed = sealer.seal({"n": "x" * 150})
    changed = sealed[:place] + ("A" if sealed[place] != "A" else "B") + sealed[place + 1 :]
    assert sealer.open(changed) is None


def test_another_secret_or_purpose_opens_nothing() -> None:
    sealed = Sealer(SECRET, "session").seal({})
    assert Sealer("t" * 32, "session").open(sealed) is None
    assert Sealer(SECRET, "sign-in").open(sealed) is None


def plain_text_forgery() -> str:
    def encode(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return ".".join([encode({"alg": "none", "enc": "none"}), "", "", encode({"id": "x"}), ""])


@pytest.mark.parametrize(
    "text",
    ["", ".", "....", "a.b.c.d.e", "é.b.c.d.e", "a" * (SEALED_MAX_CHARS + 1), plain_text_forgery(), '{"id":"x"}', "\0"],
)
def test_any_other_text_opens_nothing(text: str) -> None:
    assert Sealer(SECRET, "session").open(text) is None


def test_secrets_are_random() -> None:
    assert new_secret() != new_secret()
    assert len(new_secret()) >= 43
