"""Authorisation: what a route requires, and whether an identity has it. One function decides for every route.

A route declares its access where it is defined, with one of the decorators. What an identity may not read does not
exist for it (404), whether or not it exists; what it may read but not change is a 403.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeVar

from stepwell_schemas.access.grants import ANY, Scope
from stepwell_schemas.access.identity import Identity
from stepwell_schemas.access.refusals import Refusal, forbidden, not_visible

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

_ATTRIBUTE: Final = "__stepwell_access__"


class Target(StrEnum):
    """The data that a scope is required for."""

    NONE = "none"
    """No data: the route is public."""
    PATH = "path"
    """The `entity`, or the `entity` and `project`, of the route's path."""
    ANYTHING = "anything"
    """Any data at all: the route itself leaves out what the identity may not read or change."""
    EVERYTHING = "everything"
    """All data."""


@dataclass(frozen=True, slots=True)
class RouteAccess:
    """The access that a route requires."""

    scope: Scope
    target: Target

    def __str__(self) -> str:
        return "public" if self.target is Target.NONE else f"{self.scope} over {self.target}"


PUBLIC: Final = RouteAccess(Scope.READ, Target.NONE)


def public(endpoint: Endpoint) -> Endpoint:
    """Declare a route that needs no identity and shows no data."""
    setattr(endpoint, _ATTRIBUTE, PUBLIC)
    return endpoint


def requires(scope: Scope, target: Target = Target.PATH) -> Callable[[Endpoint], Endpoint]:
    """Declare the scope of a route, and the data for which it is required."""

    def declare(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _ATTRIBUTE, RouteAccess(scope, target))
        return endpoint

    return declare


class UndeclaredAccessError(Exception):
    """A route without a declared access: the service does not start."""


def declared_access(endpoint: Callable[..., Any], path: str) -> RouteAccess:
    """Return the declared access of a route. Raises: UndeclaredAccessError."""
    access = getattr(endpoint, _ATTRIBUTE, None)
    if not isinstance(access, RouteAccess):
        raise UndeclaredAccessError(f"the route {path} declares no access: decorate it with @requires or @public")
    if access.target is Target.PATH and "{entity}" not in path:
        raise UndeclaredAccessError(f"the route {path} requires a scope over its path, which names no entity")
    return access


def check_access(access: RouteAccess, identity: Identity, path_parameters: Mapping[str, Any]) -> Refusal | None:
    """Return the answer that refuses a request, None if the identity may make it."""
    match access.target:
        case Target.NONE:
            return None
        case Target.PATH:
            return check_project(
                access.scope, identity, str(path_parameters["entity"]), str(path_parameters.get("project", ANY))
            )
        case Target.ANYTHING:
            return None if identity.resources(access.scope) else forbidden(identity, access.scope)
        case Target.EVERYTHING:
            return None if identity.allows(access.scope) else forbidden(identity, access.scope)


def check_project(scope: Scope, identity: Identity, entity: str, project: str) -> Refusal | None:
    """Return the answer that refuses a request about a project, None if the identity may make it."""
    if identity.allows(scope, entity, project):
        return None
    if identity.allows(Scope.READ, entity, project):
        return forbidden(identity, scope, entity, project)
    return not_visible(entity, project)
