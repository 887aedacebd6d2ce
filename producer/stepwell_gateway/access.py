"""Access to the gateway: the identities of requests, and the events that each of them may write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn, cast

from stepwell_gateway.errors import ForbiddenEventsError
from stepwell_gateway.settings import GatewaySettings
from stepwell_schemas.access.grants import Grant, Resource, Scope
from stepwell_schemas.access.identity import Identity
from stepwell_schemas.access.refusals import forbidden
from stepwell_schemas.access.service_access import ServiceAccess
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.errors import StoreRejectedError
from stepwell_schemas.events.routing import RoutedEvent
from stepwell_schemas.http.problems import field_error

_UNKNOWN_TABLE: Final = 60


class _NoStore:
    """ClickHouse of a gateway that has none: a database without tables."""

    database = ""

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> NoReturn:  # noqa: ARG002 - Store's
        """Raise StoreRejectedError: there is no table."""
        raise StoreRejectedError("this gateway has no ClickHouse", _UNKNOWN_TABLE)

    def insert(self, table: str, rows: object) -> None:
        """Do nothing: without keys, nothing is to be remembered."""


def make_access(settings: GatewaySettings, store: Store | None) -> ServiceAccess:
    """Return the access to a gateway: by what `store` has; without it, by the administrator's key and OIDC alone."""
    tls = settings.tls_certfile is not None
    return ServiceAccess.over(
        cast("Store", _NoStore()) if store is None else store, settings, settings.base_url, tls=tls
    )


def check_events(identity: Identity, events: Sequence[RoutedEvent]) -> None:
    """Raise ForbiddenEventsError, which names the first event of a project that the identity may not write to."""
    allowed: set[tuple[str, str]] = set()
    for index, event in enumerate(events):
        entity, project = place = event.run[:2]
        if place in allowed:
            continue
        if not identity.allows(Scope.WRITE, entity, project):
            refusal = forbidden(identity, Scope.WRITE, entity, project)
            needed = Grant(Scope.WRITE, Resource(entity, project))
            described = field_error(
                f"events.{index}", f"{entity}/{project}", "is a project that this key may not write to",
                f"use a key with the scope {needed}",
            )  # fmt: skip
            raise ForbiddenEventsError(refusal.detail, described)
        allowed.add(place)
