"""Rules of the administration of keys: an administrator of a resource manages the keys within it, and no others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from stepwell_schemas.access.expiry import format_time
from stepwell_schemas.access.grants import Grant, Resource, Scope
from stepwell_schemas.access.identity import Identity
from stepwell_schemas.access.keys import ApiKey
from stepwell_schemas.errors import GrantError

FIRST_KEY_RULE = "the first key must have the scope admin:*, since access control begins with it"


def parse_grants(texts: Sequence[str]) -> tuple[Grant, ...]:
    """Return the grants of a key from their text forms, each once. Raises: GrantError."""
    grants = tuple(dict.fromkeys(Grant.parse(text.strip()) for text in texts))
    if not grants:
        raise GrantError("scopes", "", "must name one scope at least, such as write:entity/project")
    return grants


def may_manage(identity: Identity, grants: Iterable[Grant]) -> bool:
    """Return True if an identity may create, see and revoke a key with these grants."""
    return not missing_grants(identity, grants)


def missing_grants(identity: Identity, grants: Iterable[Grant]) -> list[Grant]:
    """Return the grants over resources that the identity does not administer."""
    return [grant for grant in grants if not identity.allows(Scope.ADMIN, *grant.resource)]


def is_full_admin(grants: Iterable[Grant]) -> bool:
    """Return True if the grants include administration of all data."""
    return Grant(Scope.ADMIN, Resource()) in set(grants)


def describe_key(key: ApiKey, now: int) -> dict[str, Any]:
    """Return the fields of a key that administrators see: neither its text nor its hash."""
    state = "revoked" if key.revoked else "valid" if key.is_valid(now) else "expired"
    return {
        "key_id": key.key_id,
        "name": key.name,
        "owner": key.owner,
        "scopes": [str(grant) for grant in key.grants],
        "state": state,
        "created": format_time(key.created),
        "expires": format_time(key.expires),
        "revoked": format_time(key.revoked),
        "last_used": format_time(key.last_used),
    }


def describe_identity(identity: Identity) -> dict[str, Any]:
    """Return the fields of an identity that it may see itself."""
    return {
        "name": identity.name,
        "method": str(identity.method),
        "key_id": identity.key_id,
        "scopes": [str(grant) for grant in identity.grants],
    }
