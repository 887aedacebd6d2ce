"""Grants: a scope over all data, an entity or a project, in the text form `scope:resource`."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final, NamedTuple, Self

from stepwell_schemas.errors import GrantError, IdentifierError
from stepwell_schemas.rules.identifiers import check_identifier

ANY: Final = "*"
_SEPARATOR: Final = ":"


class Scope(StrEnum):
    """The kinds of access. Each includes those before it: a key that writes also reads what it wrote."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"

    def includes(self, other: Scope) -> bool:
        """Return True if this scope permits what `other` permits."""
        return _RANK[self] >= _RANK[other]


_RANK: Final = {scope: rank for rank, scope in enumerate(Scope)}


class Resource(NamedTuple):
    """All data (`*`), the projects of an entity (`entity`), or one project (`entity/project`)."""

    entity: str = ANY
    project: str = ANY

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a resource. Raises: GrantError."""
        if text in {ANY, f"{ANY}/{ANY}"}:
            return cls()
        entity, slash, project = text.partition("/")
        try:
            if entity == ANY:
                raise GrantError("resource", text, "must name an entity before its project")
            check_identifier("entity", entity)
            if slash and project != ANY:
                return cls(entity, check_identifier("project", project))
        except IdentifierError as error:
            raise GrantError("resource", text, f"{error.field}: {error.rule}") from error
        return cls(entity)

    def covers(self, entity: str, project: str) -> bool:
        """Return True if the resource includes a project; `*` stands for all projects, or all entities."""
        return self.entity in {ANY, entity} and self.project in {ANY, project}

    def touches(self, entity: str) -> bool:
        """Return True if the resource includes a project of the entity, at least."""
        return self.entity in {ANY, entity}

    def __str__(self) -> str:
        if self.project != ANY:
            return f"{self.entity}/{self.project}"
        return self.entity


class Grant(NamedTuple):
    """A scope over a resource."""

    scope: Scope
    resource: Resource = Resource()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `read`, `write:entity` or `admin:entity/project`; without a resource, all data. Raises: GrantError."""
        scope, separator, resource = text.partition(_SEPARATOR)
        if scope not in _RANK:
            raise GrantError("grant", text, f"must begin with one of {', '.join(Scope)}")
        return cls(Scope(scope), Resource.parse(resource if separator else ANY))

    def __str__(self) -> str:
        return f"{self.scope}{_SEPARATOR}{self.resource}"


def allows(grants: Iterable[Grant], scope: Scope, entity: str = ANY, project: str = ANY) -> bool:
    """Return True if one of the grants permits `scope` for a project, all of an entity, or all data."""
    return any(grant.scope.includes(scope) and grant.resource.covers(entity, project) for grant in grants)


def resources(grants: Iterable[Grant], scope: Scope) -> tuple[Resource, ...]:
    """Return what the grants permit `scope` for, without resources that others include, in the order of their names."""
    found = {grant.resource for grant in grants if grant.scope.includes(scope)}
    return tuple(sorted(one for one in found if not any(o != one and o.covers(*one) for o in found)))
