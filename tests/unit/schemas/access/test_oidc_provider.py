"""The provider's documents: checked, kept during an outage, and read again for new keys, at a bounded rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from joserfc.jwk import RSAKey

from stepwell_schemas.access.oidc_provider import (
    READ_AGAIN_SECONDS,
    RETRY_SECONDS,
    STALE_SECONDS,
    UNKNOWN_KEY_SECONDS,
    Provider,
    parse_metadata,
    signature_keys,
)
from stepwell_schemas.errors import ProviderError

ISSUER = "https://id.example.org"
CONFIGURATION = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/auth?tenant=1",
    "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": f"{ISSUER}/jwks",
}
KEYS = {"keys": [RSAKey.generate_key(2048, {"kid": name}).as_dict(private=False) for name in ("k1", "k2")]}


class FakeProvider:
    """A provider that can be away, with a clock; work in the background runs when the test starts it."""

    def __init__(self) -> None:
        self.time = 0.0
        self.away = False
        self.keys = {"keys": KEYS["keys"][:1]}
        self.fetched: list[str] = []
        self.waiting: list[Callable[[], object]] = []
        self.provider = Provider(ISSUER, self.fetch, lambda: self.time, self.waiting.append)

    def fetch(self, url: str) -> Mapping[str, Any]:
        self.fetched.append(url)
        if self.away:
            raise ProviderError("away")
        return CONFIGURATION if url.endswith("openid-configuration") else self.keys

    def names(self) -> list[str | None]:
        return [key.kid for key in self.provider.keys().keys]

    def work(self) -> None:
        while self.waiting:
            self.waiting.pop()()


def test_documents_are_read_once_an_hour() -> None:
    fake = FakeProvider()
    assert fake.provider.peek_keys() is None
    assert [fake.names(), fake.names()] == [["k1"], ["k1"]]
    assert fake.fetched == [f"{ISSUER}/.well-known/openid-configuration", f"{ISSUER}/jwks"]
    fake.keys, fake.time = KEYS, READ_AGAIN_SECONDS
    # In the background: this request has its answer already.
    assert fake.names() == ["k1"]
    fake.work()
    assert fake.names() == ["k1", "k2"]


def test_an_outage_is_survived_for_a_day() -> None:
    fake = FakeProvider()
    assert fake.names() == ["k1"]
    fake.away = True
    fake.time = STALE_SECONDS - 1
    assert fake.provider.peek_keys() is not None
    fake.work()
    fake.time = STALE_SECONDS
    with pytest.raises(ProviderError, match="away"):
        fake.provider.keys()


def test_a_provider_that_is_away_is_contacted_every_ten_seconds() -> None:
    fake = FakeProvider()
    fake.away = True
    for second in range(20):
        fake.time = 100.0 + second
        with pytest.raises(ProviderError):
            fake.provider.keys()
    # Each attempt for the keys needs the configuration first, which has failed.
    assert len(fake.fetched) == 20 // RETRY_SECONDS
    fake.away, fake.time = False, 200.0
    assert fake.names() == ["k1"]


def test_new_keys_are_found_and_forged_tokens_cause_few_requests() -> None:
    fake = FakeProvider()
    fake.names()
    fake.keys = KEYS
    assert fake.provider.keys_again() is None
    fake.time = UNKNOWN_KEY_SECONDS
    found = fake.provider.keys_again()
    assert found is not None
    assert [key.kid for key in found.keys] == ["k1", "k2"]
    requests = len(fake.fetched)
    for _ in range(100):
        assert fake.provider.keys_again() is None
    assert len(fake.fetched) == requests


def test_unknown_keys_do_not_contact_a_provider_that_is_away_each_time() -> None:
    fake = FakeProvider()
    fake.names()
    fake.away, fake.time = True, UNKNOWN_KEY_SECONDS
    requests = len(fake.fetched)
    for _ in range(100):
        assert fake.provider.keys_again() is None
    assert len(fake.fetched) == requests + 1


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": ISSUER + "/"},
        {"issuer": None},
        {"token_endpoint": None},
        {"token_endpoint": "http://id.example.org/token"},
        {"jwks_uri": 5},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"device_authorization_endpoint": "http://evil.example"},
    ],
)
def test_a_configuration_of_another_or_unsafe_provider_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ProviderError):
        parse_metadata(ISSUER, CONFIGURATION | changes)


def test_a_configuration_gives_its_endpoints() -> None:
    metadata = parse_metadata(ISSUER, CONFIGURATION)
    assert metadata.authorization_endpoint == f"{ISSUER}/auth?tenant=1"
    assert metadata.userinfo_endpoint == ""
    assert metadata.basic_secret
    only_post = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert not parse_metadata(ISSUER, CONFIGURATION | only_post).basic_secret


@pytest.mark.parametrize("document", [{}, {"keys": {}}, {"keys": None}])
def test_what_is_no_key_set_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ProviderError):
        signature_keys(document)


def test_keys_that_can_not_be_read_are_left_out() -> None:
    odd: list[Any] = [None, 5, {}, {"kty": "RSA"}, {"kty": "RSA", "n": "!", "e": "!"}, {"kty": "EC", "crv": "x"}]
    assert [key.kid for key in signature_keys({"keys": [*odd, *KEYS["keys"]]}).keys] == ["k1", "k2"]
