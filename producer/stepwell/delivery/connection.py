"""Connections to the brokers or the gateway, also after they moved.

Their addresses come from the settings, otherwise from the service's `/api/v1/connect`.
"""

from __future__ import annotations

import random
from typing import Any, Final

import httpx
from pydantic import SecretStr

from stepwell.credentials import find_key
from stepwell.delivery.blocked import Blocked
from stepwell.delivery.http_transport import HttpTransport, request_bytes
from stepwell.delivery.reconnect import is_other_cluster, next_stalls, retry_delay, stall_limit
from stepwell.delivery.routes import (
    Advice,
    Brokers,
    Route,
    advised_routes,
    gateway_route,
    given_brokers,
    parse_advice,
    routes_to_try,
)
from stepwell.delivery.transport import StalledError, Transport, TransportError
from stepwell.errors import NotConnectedError
from stepwell.imports import importing
from stepwell.service_errors import describe_unanswered
from stepwell.service_requests import client_options
from stepwell.settings import ProducerSettings
from stepwell.terminal import notify
from stepwell_schemas.errors import TlsError

_ASK_TIMEOUT_SECONDS: Final = 5.0
_PROBE_SECONDS: Final = 3.0
"""Seconds within which brokers must answer if there is another route: a firewall may drop what is sent to them."""

_UNKNOWN_ROUTE: Final = 404
_UNAUTHORIZED: Final = (401, 403)


async def find_brokers(settings: ProducerSettings) -> ProducerSettings:
    """Return the settings with brokers and topics filled in. Raises: NotConnectedError."""
    if settings.kafka_bootstrap_servers:
        return settings
    brokers = (await _ask_service(settings)).brokers
    if brokers is None:
        raise NotConnectedError(f"the service at {settings.base_url} names no brokers")
    return _with_brokers(settings, brokers)


async def find_routes(settings: ProducerSettings) -> list[Route]:
    """Return the routes that the settings or the service name, in the order to try them. Raises: NotConnectedError."""
    brokers = given_brokers(settings)
    if brokers is not None:
        return [brokers]
    try:
        advice = await _ask_service(settings)
    except NotConnectedError as error:
        # A gateway by itself does not know this path.
        if settings.transport == "http" and _status(error) == _UNKNOWN_ROUTE:
            return [gateway_route(settings.base_url)]
        raise
    routes = advised_routes(settings, advice)
    if not routes:
        raise NotConnectedError(f"the service at {settings.base_url} names no brokers", "set STEPWELL_TRANSPORT=http")
    return routes


async def _ask_service(settings: ProducerSettings) -> Advice:
    try:
        async with httpx.AsyncClient(timeout=_ASK_TIMEOUT_SECONDS, **client_options(settings)) as client:
            response = await client.get(f"{settings.base_url.rstrip('/')}/api/v1/connect")
            response.raise_for_status()
            return parse_advice(response.json(), settings)
    except TlsError as error:
        raise NotConnectedError(str(error)) from error
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, TypeError, AttributeError) as error:
        status = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else 0
        blocked = Blocked.NOT_AUTHORIZED if status in _UNAUTHORIZED else None
        raise NotConnectedError(*describe_unanswered(settings.base_url, error), blocked=blocked) from error


def _status(error: NotConnectedError) -> int:
    cause = error.__cause__
    return cause.response.status_code if isinstance(cause, httpx.HTTPStatusError) else 0


def _with_brokers(settings: ProducerSettings, brokers: Brokers) -> ProducerSettings:
    update: dict[str, Any] = {
        "kafka_bootstrap_servers": brokers.servers,
        "kafka_security_protocol": brokers.security_protocol,
        "events_topic": brokers.topic,
    }
    return settings.model_copy(update=update)


class Connection:
    """The connection of one session, made again after each failure.

    Attributes:
        connected: whether there was a connection before.
    """

    def __init__(self, settings: ProducerSettings, label: str) -> None:
        """Create a connection; `label` begins its notices."""
        self._settings = settings
        self._label = label
        self._follows_login = settings.api_key.get_secret_value() in {"", self._kept_key()}
        self._known: Route | None = None
        self._cluster_id = ""
        self._attempts = 0
        self._stalls = 0
        self._has_new_key = False

    @property
    def connected(self) -> bool:
        """Return whether there was a connection before."""
        return self._known is not None

    async def open(self) -> Transport:
        """Return a transport that is ready, on a route that the service names now or that worked before.

        Raises: NotConnectedError.
        """
        answered: list[Route] = []
        failures: list[NotConnectedError] = []
        try:
            answered = await find_routes(self._settings)
        except NotConnectedError as error:
            failures.append(error)
        routes = routes_to_try(answered, self._known)
        for route in routes:
            try:
                transport = await self._open(route, None if len(routes) == 1 else _PROBE_SECONDS)
            except NotConnectedError as error:
                failures.append(error)
                continue
            self._note_cluster(transport.cluster_id)
            self._known = route
            if isinstance(route, Brokers):
                # A gateway is not asked before the first request.
                self._attempts = 0
            return transport
        raise failures[0]

    async def _open(self, route: Route, start_seconds: float | None) -> Transport:
        ack_seconds = stall_limit(self._settings.ack_timeout_seconds, self._stalls)
        if isinstance(route, Brokers):
            # Where events go over HTTP, aiokafka is not imported.
            with importing():
                from stepwell.delivery.kafka_transport import open_kafka

            return await open_kafka(_with_brokers(self._settings, route), ack_seconds, start_seconds)
        return HttpTransport(self._settings, route, ack_seconds, request_bytes(self._stalls))

    def _note_cluster(self, cluster_id: str) -> None:
        if is_other_cluster(self._cluster_id, cluster_id):
            notify(
                f"{self._label}: the brokers belong to another Kafka cluster now ({cluster_id} instead of "
                f"{self._cluster_id}); it gets all records that the earlier one had not acknowledged"
            )
        self._cluster_id = cluster_id or self._cluster_id

    def _take_kept_key(self) -> None:
        """Use the key that `stepwell login` keeps now, so that a training whose key is refused needs no restart.

        A key that was given explicitly is never replaced: it may have fewer scopes on purpose.
        """
        key = self._kept_key()
        self._has_new_key = bool(self._follows_login and key and key != self._settings.api_key.get_secret_value())
        if self._has_new_key:
            self._settings = self._settings.model_copy(update={"api_key": SecretStr(key)})
            notify(f"{self._label}: uses the key that `stepwell login` keeps now")

    def _kept_key(self) -> str:
        return find_key(self._settings.base_url, self._settings.credentials_file)

    def may_succeed(self, error: BaseException) -> bool:
        """Return whether another attempt after an error, which `failed` was called with, may succeed.

        False if keys or configuration have to change first.
        """
        if getattr(error, "blocked", None) == Blocked.NOT_AUTHORIZED:
            return self._has_new_key
        return not isinstance(error, TransportError) or error.retriable

    def failed(self, error: BaseException, *, progressed: bool) -> float:
        """Return the seconds to wait after an error; `progressed`: this connection delivered records before it."""
        if getattr(error, "blocked", None) == Blocked.NOT_AUTHORIZED:
            self._take_kept_key()
        if isinstance(error, StalledError):
            self._stalls = next_stalls(self._stalls, progressed=progressed)
        if progressed:
            self._attempts = 0
        delay = retry_delay(self._attempts, self._settings.retry_seconds, random.random())  # noqa: S311 - jitter
        self._attempts += 1
        asked = error.retry_after if isinstance(error, TransportError) else 0.0
        return max(delay, asked)
