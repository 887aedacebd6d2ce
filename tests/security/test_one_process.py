"""Parts that the services of one process share: the limits of each key, the audit log, and readiness."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from stepwell_deploy.clickhouse_server.guests import Limits
from stepwell_deploy.clickhouse_server.server import ClickHouseHttp
from stepwell_deploy.local import stack as local_stack
from stepwell_deploy.local.service_app import ServiceApp, Shared, create_service_app
from stepwell_gateway.event_log import EventLog
from stepwell_gateway.settings import GatewaySettings
from stepwell_query.readiness import no_parts
from stepwell_query.settings import QuerySettings
from stepwell_schemas.access.authenticate import Authenticator
from stepwell_schemas.access.grants import Grant
from stepwell_schemas.access.key_limits import KeyLimits
from stepwell_schemas.access.key_store import KeyStore
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.events.codec import encode
from stepwell_schemas.events.framing import join_events
from stepwell_schemas.events.models import LogEvent
from support.fakes.acknowledging import AcknowledgingProducer
from support.servers.stack import Stack

from .conftest import ADMIN_KEY

BURST = 5
"""Requests that a key may make immediately, with half a request a second over 10 seconds."""

LIMITED = QuerySettings(admin_key=ADMIN_KEY, key_requests_per_second=BURST / 10)


@pytest.fixture
def shared(chdb_store: Store) -> Iterator[Shared]:
    # A clock that stands still: a slow machine gives a key no further requests.
    limits = KeyLimits(LIMITED.key_requests_per_second, 0, lambda: 0.0)
    made = Shared.over(chdb_store, LIMITED)._replace(limits=limits)
    yield made
    made.audit.close()


@pytest.fixture
def service(chdb_store: Store, shared: Shared) -> Iterator[ServiceApp]:
    gateway = GatewaySettings(admin_key=ADMIN_KEY, key_requests_per_second=BURST / 10)
    made = create_service_app(LIMITED, gateway, chdb_store, no_parts, shared)
    yield made
    made.query.state.context.close()


def make_key(store: Store, name: str) -> dict[str, str]:
    """Create a key that may do everything; return the header that sends it."""
    key = KeyStore(store).create(name, name, [Grant.parse("admin")])[0].text
    return {"authorization": f"Bearer {key}"}


def ask(
    service: ServiceApp, *requests: tuple[str, str], headers: dict[str, str], content: bytes = b""
) -> list[httpx.Response]:
    """Return the answers to requests, in order."""

    async def send() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=service.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
            return [await client.request(*request, content=content) for request in requests]

    return asyncio.run(send())


QUERY, GATEWAY = ("GET", "/api/v1/whoami"), ("POST", "/api/v1/events")


@pytest.mark.parametrize("order", [[QUERY, GATEWAY], [GATEWAY, QUERY], [QUERY], [GATEWAY]])
def test_a_limit_holds_over_the_routes_of_both_services(
    service: ServiceApp, chdb_store: Store, order: list[tuple[str, str]]
) -> None:
    """A key gets its requests once, not once for each service; another key is not concerned."""
    one, two = (make_key(chdb_store, name) for name in ("one", "two"))
    answers = ask(service, *(order * 6), headers=one)
    statuses = [answer.status_code for answer in answers]
    assert (429 in statuses[:BURST], set(statuses[BURST:])) == (False, {429}), statuses
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert ask(service, QUERY, headers=two)[0].status_code == 200


def test_the_clickhouse_port_counts_for_the_same_limit(
    stack: Stack, service: ServiceApp, shared: Shared, chdb_store: Store
) -> None:
    """Statements by either way use up the key's requests; the error has ClickHouse's form and a time to wait."""
    headers = make_key(chdb_store, "tools")
    authenticator = Authenticator.over(chdb_store, LIMITED)
    port = ClickHouseHttp(
        Path(urlsplit(stack.dsn("chdb")).path), "127.0.0.1", 0, "writer", "secret", Limits(seconds=600),
        database=chdb_store.database, authenticator=authenticator, audit=shared.audit, key_limits=shared.limits,
    )  # fmt: skip
    with port:

        def select(**credentials: Any) -> httpx.Response:
            return httpx.get(f"http://127.0.0.1:{port.port}", params={"query": "SELECT 1"}, timeout=60, **credentials)

        assert [select(headers=headers).text for _ in range(3)] == ["1\n"] * 3
        assert [answer.status_code for answer in ask(service, *([QUERY] * 2), headers=headers)] == [200, 200]
        assert ask(service, QUERY, headers=headers)[0].status_code == 429
        refused = select(headers=headers)
        assert (refused.status_code, refused.headers["X-ClickHouse-Exception-Code"]) == (429, "201")
        assert "STEPWELL_KEY_REQUESTS_PER_SECOND" in refused.text
        assert int(refused.headers["retry-after"]) >= 1
        # The stack's own user is no key.
        assert [select(auth=("writer", "secret")).text for _ in range(2 * BURST)] == ["1\n"] * 2 * BURST
    authenticator.keys.close()


def test_bytes_count_on_the_clickhouse_port(stack: Stack, chdb_store: Store) -> None:
    """The bytes of its answers use up what the key may have of the service, too."""
    headers = make_key(chdb_store, "tools")
    authenticator = Authenticator.over(chdb_store, LIMITED)
    port = ClickHouseHttp(
        Path(urlsplit(stack.dsn("chdb")).path), "127.0.0.1", 0, "writer", "secret", Limits(seconds=600),
        database=chdb_store.database, authenticator=authenticator, key_limits=KeyLimits(0, 1_000, lambda: 0.0),
    )  # fmt: skip
    with port:
        url, large = f"http://127.0.0.1:{port.port}", {"query": "SELECT repeat('x', 20000)"}
        assert httpx.get(url, params=large, headers=headers, timeout=60).status_code == 200
        assert httpx.get(url, params={"query": "SELECT 1"}, headers=headers, timeout=60).status_code == 429
    authenticator.keys.close()


def test_a_process_has_one_audit_log(service: ServiceApp, shared: Shared) -> None:
    """Queue, bounds and order are those of the process; it is closed by the process alone."""
    assert service.audit is shared.audit
    assert service.query.state.context.audit is shared.audit
    service.query.state.context.close()
    assert not vars(shared.audit)["_closing"]


def test_without_brokers_the_service_is_not_ready_and_events_are_refused_for_a_while(
    service: ServiceApp, chdb_store: Store
) -> None:
    """503 with `Retry-After`, as the gateway alone answers; reading continues."""
    headers = make_key(chdb_store, "node")
    event = encode(LogEvent(entity="e", project="p", run_id="r", session="s", sequence=0, data={"loss": 1.0}))
    (written,) = ask(service, GATEWAY, headers=headers, content=join_events([event]))
    read, ready = ask(service, QUERY, ("GET", "/readyz"), headers=headers)
    assert (written.status_code, written.json()["type"]) == (503, "urn:stepwell:problem:kafka-unavailable")
    assert int(written.headers["retry-after"]) >= 1
    assert read.status_code == 200
    assert (ready.status_code, ready.json()["detail"]) == (503, "not ready: gateway")
    assert ready.json()["parts"]["gateway"] == {"state": "down", "reason": "not_connected", "restarts": 0}


def run_until_connected(opened: Callable[[], Any], ending: bool) -> tuple[bool, str]:
    """Wait for a log's connection; return whether it was waited for to the end, and the log's reason then."""

    async def wait() -> tuple[bool, str]:
        log = EventLog(GatewaySettings(), opened)
        log.start()
        end = asyncio.create_task(asyncio.sleep(0 if ending else 3600))
        async with asyncio.timeout(20):
            await local_stack.until_connected(log, end)
        done, reason = end.done(), log.reason
        end.cancel()
        await log.close()
        return done, reason

    return asyncio.run(wait())


def test_up_is_ready_when_the_gateway_is_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for the connection, not longer than some time, and not for a process that ends."""

    async def late() -> AcknowledgingProducer:
        await asyncio.sleep(0.2)
        return AcknowledgingProducer()

    async def never() -> AcknowledgingProducer:
        await asyncio.sleep(3600)
        raise AssertionError

    assert run_until_connected(late, ending=False) == (False, "")
    assert run_until_connected(never, ending=True)[0]
    monkeypatch.setattr(local_stack, "_GATEWAY_SECONDS", 0.05)
    assert run_until_connected(never, ending=False) == (False, "the gateway is starting")
