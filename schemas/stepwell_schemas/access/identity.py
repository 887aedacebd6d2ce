"""The identity of a request: its name, how it was proved, and its grants."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from stepwell_schemas.access.grants import ANY, Grant, Resource, Scope, allows, resources


class Method(StrEnum):
    """The ways in which an identity is proved."""

    OPEN = "open"
    KEY = "key"
    OIDC = "oidc"


@dataclass(frozen=True, slots=True)
class Identity:
    """The user or program that makes a request.

    Attributes:
        name: the user: a key's owner, or the subject's name at the identity provider.
        method: how the name was proved.
        grants: what it may do.
        key_id: the key that proved it; empty if none did.
    """

    name: str
    method: Method
    grants: tuple[Grant, ...]
    key_id: str = ""

    def allows(self, scope: Scope, entity: str = ANY, project: str = ANY) -> bool:
        """Return True if it has `scope` for a project; without names, for all of them."""
        return allows(self.grants, scope, entity, project)

    def resources(self, scope: Scope) -> tuple[Resource, ...]:
        """Return the resources for which it has `scope`; those that another one includes are left out."""
        return resources(self.grants, scope)

    def reads_all(self) -> bool:
        """Return True if it may read everything, so that nothing has to be filtered."""
        return self.allows(Scope.READ)


OPEN_IDENTITY: Final = Identity("anonymous", Method.OPEN, (Grant(Scope.ADMIN),))
"""The identity of every request to a service without access control, which listens on loopback only."""
