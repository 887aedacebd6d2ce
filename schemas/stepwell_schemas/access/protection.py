"""The protection of a service: the check of its routes, and the middlewares that a request passes before them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from fastapi import FastAPI

from stepwell_schemas.access.audit import AuditLog
from stepwell_schemas.access.middleware import AccessMiddleware
from stepwell_schemas.access.routes import check_routes, describe_security, public_bodies
from stepwell_schemas.access.service_access import ServiceAccess
from stepwell_schemas.access.session_middleware import SessionMiddleware
from stepwell_schemas.http.bodies import BodyLimitMiddleware
from stepwell_schemas.http.guard import OriginCheckMiddleware, UnexpectedErrorMiddleware
from stepwell_schemas.http.headers import SecurityHeadersMiddleware
from stepwell_schemas.http.request_metrics import HttpTelemetry, RequestMetricsMiddleware
from stepwell_schemas.settings import HttpSettings


def protect(
    app: FastAPI,
    access: ServiceAccess,
    settings: HttpSettings,
    *,
    base_url: str,
    host: str,
    audit: AuditLog | None,
    telemetry: HttpTelemetry,
    bodies: Mapping[str, Any],
    framework_routes: Collection[str],
) -> None:
    """Check that all routes of an application declare their access, and add the middlewares.

    Args:
        app: the application, with all its routes.
        access: finds the identity of requests, and limits them.
        settings: allowed hosts and HSTS.
        base_url: the URL by which browsers reach the service.
        host: the address that it listens on.
        audit: records requests with a wrong credential.
        telemetry: metrics of the requests.
        bodies: arguments of BodyLimitMiddleware.
        framework_routes: public routes that the framework adds.

    Raises:
        UndeclaredAccessError: when a route declares no access.
    """
    declared = check_routes(app.routes, framework_routes)
    describe_security(app)
    # The middleware that is added last is the outermost one.
    app.add_middleware(BodyLimitMiddleware, **bodies)
    app.add_middleware(
        AccessMiddleware,
        authenticator=access.authenticator,
        public_bodies=public_bodies(declared),
        limits=access.limits,
        audit=audit,
    )
    app.add_middleware(SessionMiddleware, sessions=access.sessions, base_url=base_url)
    app.add_middleware(OriginCheckMiddleware, allowed_hosts=settings.allowed_hosts, base_url=base_url, host=host)
    app.add_middleware(UnexpectedErrorMiddleware)
    app.add_middleware(SecurityHeadersMiddleware, hsts_seconds=settings.hsts_seconds)
    app.add_middleware(RequestMetricsMiddleware, telemetry=telemetry)
