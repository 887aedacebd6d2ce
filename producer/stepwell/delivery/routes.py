"""Decisions about routes: which transports to try, at which addresses, and in which order.

The service's `/api/v1/connect` names the brokers and the transports that it advises, in the order of its preference.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from stepwell.settings import ProducerSettings
from stepwell_schemas.limits import MAX_EVENT_BYTES

EVENTS_PATH: Final = "/api/v1/events"
_KAFKA: Final = "kafka"
_HTTP: Final = "http"
_LOCALHOST: Final = "localhost"


class Brokers(NamedTuple):
    """The address of a cluster's brokers, and the topic of events there."""

    servers: str
    security_protocol: str
    topic: str


class HttpRoute(NamedTuple):
    """The URL that takes events, and the bytes that an event may have there."""

    url: str
    event_bytes: int = MAX_EVENT_BYTES


Route = Brokers | HttpRoute


class Advice(NamedTuple):
    """The service's answer: its brokers, if it has any, the URL of its gateway, and the transports that it advises."""

    brokers: Brokers | None
    http: HttpRoute
    transports: tuple[str, ...]


def gateway_route(base_url: str, event_bytes: int = MAX_EVENT_BYTES) -> HttpRoute:
    """Return the route to the gateway at a base URL."""
    return HttpRoute(base_url.rstrip("/") + EVENTS_PATH, event_bytes)


def parse_advice(body: dict[str, Any], settings: ProducerSettings) -> Advice:
    """Parse the answer of `/api/v1/connect`; an earlier service advises nothing, and takes events by Kafka alone.

    Raises: LookupError, ValueError, TypeError.
    """
    kafka = body["kafka"]
    servers = str(kafka["bootstrap_servers"])
    protocol = kafka.get("security_protocol", settings.kafka_security_protocol)
    brokers = Brokers(servers, protocol, body["topics"]["events"]) if servers else None
    gateway = body.get("gateway") or {}
    event_bytes = int(body.get("limits", {}).get("event_bytes", MAX_EVENT_BYTES))
    http = gateway_route(str(gateway.get("url") or settings.base_url), event_bytes)
    return Advice(brokers, http, tuple(map(str, body.get("transports", [_KAFKA]))))


def given_brokers(settings: ProducerSettings) -> Brokers | None:
    """Return the brokers that the settings name, None if they name none, or choose HTTP."""
    if not settings.kafka_bootstrap_servers or settings.transport == _HTTP:
        return None
    return Brokers(settings.kafka_bootstrap_servers, settings.kafka_security_protocol, settings.events_topic)


def advised_routes(settings: ProducerSettings, advice: Advice) -> list[Route]:
    """Return the routes to try, in order, for brokers that the settings don't name.

    With the transport `auto`: those that the service advises. Brokers are left out if they can't be meant for this
    machine, or need a user that the settings don't have, as long as there is another route.
    """
    if settings.transport == _HTTP:
        return [advice.http]
    if settings.transport == _KAFKA:
        return [advice.brokers] if advice.brokers is not None else []
    routes: dict[str, Route | None] = {_KAFKA: advice.brokers, _HTTP: advice.http}
    found = [route for name in advice.transports if (route := routes.get(name)) is not None]
    usable = [route for route in found if not isinstance(route, Brokers) or is_usable(settings, route)]
    return usable or found


def is_usable(settings: ProducerSettings, brokers: Brokers) -> bool:
    """Return whether this machine can be meant to reach the brokers that the service names."""
    if "SASL" in brokers.security_protocol and not settings.kafka_sasl_username:
        return False
    hosts = [server.strip().rpartition(":")[0] for server in brokers.servers.split(",")]
    # Loopback addresses are those of the service's machine, which is another one.
    return _is_loopback(urlsplit(settings.base_url).hostname or "") or not all(map(_is_loopback, hosts))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == _LOCALHOST


def routes_to_try(answered: Sequence[Route], known: Route | None) -> list[Route]:
    """Return the routes to try, in order: those that the service names, then the one that worked before.

    The service may be away, or may name an address that was right before the brokers moved. Routes of the kind that
    worked before come first, so that a session stays with its transport.
    """
    tried = list(answered)
    if known is not None:
        tried = [*tried, *([] if known in tried else [known])]
        tried.sort(key=lambda route: type(route) is not type(known))
    return tried
