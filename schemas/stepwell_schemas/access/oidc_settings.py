"""Settings of sign-in with an identity provider (OpenID Connect)."""

from __future__ import annotations

import json
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from stepwell_schemas.access.grants import Grant
from stepwell_schemas.access.group_grants import parse_group_grants
from stepwell_schemas.settings import ENVIRONMENT, AccessSettings

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class OidcSettings(BaseSettings):
    """The identity provider, the clients that are registered there, and the grants of its groups."""

    model_config = SettingsConfigDict(**{**ENVIRONMENT, "hide_input_in_errors": True})

    oidc_issuer: str = Field(
        "",
        description="Identity provider for sign-in (OpenID Connect), by its issuer URL; its configuration is read from"
        " `/.well-known/openid-configuration` below it. Empty: sign-in with keys alone.",
    )
    oidc_client_id: str = Field(
        "",
        description="Client of the page at the provider; its redirect URI is STEPWELL_BASE_URL followed by"
        " `/signin/callback`.",
    )
    oidc_client_secret: SecretStr = Field(
        SecretStr(""), description="Secret of that client; empty: a public client, which PKCE protects."
    )
    oidc_cli_client_id: str = Field(
        "",
        description="Public client with the device flow, for `stepwell login`; default: `STEPWELL_OIDC_CLIENT_ID` if it"
        " has no secret.",
    )
    oidc_audiences: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Further audiences whose tokens programs may use, separated by commas; the two clients' own tokens"
        " are always accepted.",
    )
    oidc_scopes: str = Field("openid profile email", description="Scopes that are requested at sign-in.")
    oidc_name_claim: str = Field(
        "preferred_username", description="Claim with the user's name; without it, the subject is the name."
    )
    oidc_groups_claim: str = Field(
        "groups", description="Claim with the user's groups; dots lead into a claim, as in `realm_access.roles`."
    )
    oidc_groups: Annotated[dict[str, tuple[str, ...]], NoDecode] = Field(
        {},
        description='Grants by group, as JSON: `{"ml-team": ["write:ml"], "*": ["read"]}`; `*` stands for everyone who'
        " can sign in at the provider.",
    )
    oidc_name: str = Field("", description="Name of the provider on the sign-in page; default: its host.")

    @field_validator("oidc_audiences", mode="before")
    @classmethod
    def _split_audiences(cls, names: object) -> object:
        if isinstance(names, str):
            return tuple(name.strip() for name in names.split(",") if name.strip())
        return names

    @field_validator("oidc_issuer")
    @classmethod
    def _check_issuer(cls, url: str) -> str:
        if url and not is_safe_url(url):
            raise ValueError("must be an https:// URL without query (http:// only on this machine)")
        return url

    @field_validator("oidc_groups", mode="before")
    @classmethod
    def _parse_groups(cls, groups: object) -> object:
        if not isinstance(groups, str):
            return groups
        try:
            return json.loads(groups or "{}")
        except ValueError as error:
            raise ValueError('must be JSON such as {"ml-team": ["write:ml"], "*": ["read"]}') from error

    @field_validator("oidc_groups")
    @classmethod
    def _check_groups(cls, groups: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        parse_group_grants(groups)
        return groups

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if not self.oidc_issuer:
            return self
        if not self.oidc_client_id:
            raise ValueError("STEPWELL_OIDC_CLIENT_ID must name the client that is registered at the provider")
        if not self.oidc_groups:
            raise ValueError(
                'STEPWELL_OIDC_GROUPS must give at least one group a grant, for example {"*": ["read"]}: without one, '
                "no user could do anything"
            )
        if "openid" not in self.oidc_scopes.split():
            raise ValueError("STEPWELL_OIDC_SCOPES must have the scope openid")
        return self

    @property
    def group_grants(self) -> dict[str, tuple[Grant, ...]]:
        """The grants by group."""
        return parse_group_grants(self.oidc_groups)

    @property
    def device_client_id(self) -> str:
        """The client of `stepwell login`; "" if there is none."""
        public = "" if self.oidc_client_secret.get_secret_value() else self.oidc_client_id
        return self.oidc_cli_client_id or public

    @property
    def accepted_audiences(self) -> frozenset[str]:
        """The audiences of which programs may use tokens."""
        return frozenset({self.oidc_client_id, self.oidc_cli_client_id, *self.oidc_audiences} - {""})

    @property
    def provider_name(self) -> str:
        """The provider's name on the sign-in page."""
        return self.oidc_name or urlsplit(self.oidc_issuer).hostname or ""


class SignInSettings(AccessSettings, OidcSettings):
    """All settings of access: keys, sessions of the page and the identity provider."""


def is_safe_url(url: str, *, query: bool = False) -> bool:
    """Return True for a URL of the provider that can't be read or changed on the way: HTTPS, or on this machine.

    With `query`, it may have a query.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if (parts.query and not query) or parts.fragment or parts.username is not None:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK))
