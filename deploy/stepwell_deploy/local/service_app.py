"""The application on the port of `stepwell up`: the query service and the gateway at one address."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Self

from fastapi import FastAPI
from starlette.types import ASGIApp

from stepwell_deploy.local.dispatcher import Dispatcher, merge_documents
from stepwell_gateway.app import ROUTERS
from stepwell_gateway.app import create_app as create_gateway
from stepwell_gateway.event_log import EventLog
from stepwell_gateway.settings import GatewaySettings
from stepwell_query.api.app import create_app
from stepwell_query.readiness import DOWN, UP, PartReport, Parts
from stepwell_query.settings import QuerySettings
from stepwell_schemas.access.audit import AuditLog
from stepwell_schemas.access.key_limits import KeyLimits
from stepwell_schemas.access.service_access import ServiceAccess
from stepwell_schemas.clickhouse.store import Store

GATEWAY: Final = "gateway"
"""The name of the gateway among the parts in `/readyz`."""


class Shared(NamedTuple):
    """Parts of a process that all its services use: the audit log, and the limits of each key, None without any."""

    audit: AuditLog
    limits: KeyLimits | None

    @classmethod
    def over(cls, store: Store, settings: QuerySettings) -> Self:
        """Return new ones, as the settings say."""
        return cls(AuditLog(store, settings.audit_days), KeyLimits.from_settings(settings))


class ServiceApp(NamedTuple):
    """The combined application, the query service in it, the log that the gateway writes to, and the audit log."""

    app: ASGIApp
    query: FastAPI
    log: EventLog
    audit: AuditLog


def create_service_app(
    query: QuerySettings,
    gateway: GatewaySettings,
    store: Store,
    parts: Parts,
    shared: Shared | None = None,
) -> ServiceApp:
    """Return the application; the caller starts and closes its log, and closes the audit log.

    `shared`: what the process uses elsewhere, too; default: its own.
    """
    shared = shared or Shared.over(store, query)
    log, audit = EventLog(gateway), shared.audit
    access = ServiceAccess.over(store, query, query.base_url, tls=query.tls_certfile is not None, limits=shared.limits)

    def all_parts() -> Sequence[PartReport]:
        return [*parts(), _report_log(log)]

    query_app = create_app(query, store, all_parts, access, audit)
    gateway_app = create_gateway(gateway, log, access, store, audit)
    dispatcher = Dispatcher(query_app, gateway_app, ROUTERS)
    merge_documents(query_app, gateway_app)
    return ServiceApp(dispatcher, query_app, log, audit)


def _report_log(log: EventLog) -> PartReport:
    """Return the gateway's state: up while it is connected to the brokers."""
    return PartReport(GATEWAY, DOWN, "not_connected") if log.reason else PartReport(GATEWAY, UP)
