from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from stepwell_schemas.access.oidc_settings import OidcSettings, is_safe_url

WHOLE: dict[str, Any] = {
    "oidc_issuer": "https://id.example.org/realms/ml",
    "oidc_client_id": "stepwell",
    "oidc_groups": {"*": ["read"]},
}


def test_a_provider_is_configured_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPWELL_OIDC_ISSUER", "https://id.example.org")
    monkeypatch.setenv("STEPWELL_OIDC_CLIENT_ID", "stepwell")
    monkeypatch.setenv("STEPWELL_OIDC_GROUPS", '{"ml-team": ["write:ml"], "*": ["read"]}')
    monkeypatch.setenv("STEPWELL_OIDC_AUDIENCES", "jobs, ci ,")
    settings = OidcSettings()
    assert {group: [str(one) for one in grants] for group, grants in settings.group_grants.items()} == {
        "ml-team": ["write:ml"],
        "*": ["read:*"],
    }
    assert settings.accepted_audiences == {"stepwell", "jobs", "ci"}
    assert settings.provider_name == "id.example.org"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"oidc_issuer": "http://id.example.org"}, "https://"),
        ({"oidc_issuer": "id.example.org"}, "https://"),
        ({"oidc_issuer": "https://id.example.org?x=1"}, "https://"),
        ({"oidc_client_id": ""}, "STEPWELL_OIDC_CLIENT_ID"),
        ({"oidc_groups": {}}, "STEPWELL_OIDC_GROUPS"),
        ({"oidc_groups": "{"}, "JSON"),
        ({"oidc_groups": {"a": ["own"]}}, "own"),
        ({"oidc_scopes": "profile"}, "openid"),
    ],
)
def test_an_unusable_setting_is_refused_with_its_rule(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        OidcSettings(**WHOLE | changes)


def test_the_device_flow_has_a_public_client() -> None:
    assert OidcSettings(**WHOLE).device_client_id == "stepwell"
    assert OidcSettings(**WHOLE, oidc_client_secret="s").device_client_id == ""
    both = OidcSettings(**WHOLE, oidc_client_secret="s", oidc_cli_client_id="cli")
    assert both.device_client_id == "cli"
    assert both.accepted_audiences == {"stepwell", "cli"}


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://id.example.org/x", True),
        ("http://127.0.0.1:9000", True),
        ("http://localhost", True),
        ("http://[::1]:1", True),
        ("http://10.0.0.1", False),
        ("ftp://localhost", False),
        ("https://user@id.example.org", False),
        ("https://id.example.org/#x", False),
        ("https://", False),
        ("https://[", False),
        ("", False),
    ],
)
def test_a_url_of_the_provider_can_not_be_read_on_the_way(url: str, safe: bool) -> None:
    assert is_safe_url(url) is safe
