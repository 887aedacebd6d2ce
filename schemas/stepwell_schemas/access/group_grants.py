"""Grants of the users of an identity provider, by the groups that its tokens name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from stepwell_schemas.access.grants import Grant

EVERYONE: Final = "*"
"""The group of all users who can sign in at the provider."""

NAME_MAX_CHARS: Final = 200

GroupGrants = Mapping[str, Sequence[Grant]]


def parse_group_grants(mapping: Mapping[str, Sequence[str]]) -> dict[str, tuple[Grant, ...]]:
    """Parse `{"ml-team": ["write:ml"], "*": ["read"]}`. Raises: GrantError."""
    return {group: tuple(map(Grant.parse, grants)) for group, grants in mapping.items()}


def grants_of_groups(mapping: GroupGrants, groups: Iterable[str]) -> tuple[Grant, ...]:
    """Return the grants of a user in these groups, each once."""
    names = (*groups, EVERYONE)
    return tuple(dict.fromkeys(grant for name in names for grant in mapping.get(name, ())))


def mapped_groups(mapping: GroupGrants, groups: Iterable[str]) -> tuple[str, ...]:
    """Return the groups that the mapping names: a user may have hundreds, and a cookie has room for few."""
    return tuple(dict.fromkeys(name for name in groups if name in mapping and name != EVERYONE))


def read_claim(claims: Mapping[str, Any], path: str) -> Any:
    """Return a claim, also one within others: `realm_access.roles`; None if it is missing.

    A claim whose name has dots, as `https://example.org/groups`, is found by its whole name first.
    """
    if path in claims:
        return claims[path]
    value: Any = claims
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def read_groups(claims: Mapping[str, Any], path: str) -> tuple[str, ...] | None:
    """Return the groups of a token, in a claim with a list of texts or one text; None if there is no such claim."""
    value = read_claim(claims, path)
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list):
        return tuple(item for item in value if isinstance(item, str))
    return None


def read_name(claims: Mapping[str, Any], path: str) -> str:
    """Return the user's name: the claim of the settings, otherwise the subject, which every token has."""
    value = read_claim(claims, path)
    return (_printable(value) if isinstance(value, str) else "") or _printable(str(claims["sub"])) or "unnamed"


def _printable(text: str) -> str:
    """Return a name without control characters, which could forge lines of a log."""
    return "".join(char for char in text if char.isprintable()).strip()[:NAME_MAX_CHARS]
