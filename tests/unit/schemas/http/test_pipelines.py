"""Requests that are sent without waiting for answers: few of them wait, and what follows stays in the kernel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from stepwell_deploy.clickhouse_server.protocol import BoundedProtocol as ClickHouseProtocol
from stepwell_query.telemetry import CONNECTIONS_CLOSED
from stepwell_schemas.http.connections import server_config
from stepwell_schemas.http.pipelines import PIPELINED_MAX, PipelineProtocol

pytestmark = pytest.mark.anyio

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Wire(asyncio.Transport):
    """A transport that keeps what is written, and notes whether its reader is paused."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written = b""
        self.reading = True
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


class Answering:
    """An application that answers when it may."""

    def __init__(self) -> None:
        self.places = asyncio.Semaphore(0)

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await self.places.acquire()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


def connect(app: Answering, kind: str) -> tuple[PipelineProtocol, Wire]:
    config = server_config(app, 10, CONNECTIONS_CLOSED)
    if kind == "clickhouse":
        config = uvicorn.Config(app, http=ClickHouseProtocol, lifespan="off", log_config=None)
    config.load()
    make: Callable[..., asyncio.Protocol] = config.http_protocol_class
    protocol = make(config=config, server_state=ServerState(), app_state={})
    assert isinstance(protocol, PipelineProtocol)
    wire = Wire()
    protocol.connection_made(wire)
    return protocol, wire


async def settle() -> None:
    for _ in range(5 * PIPELINED_MAX):
        await asyncio.sleep(0)


@pytest.mark.parametrize("kind", ["service", "clickhouse"])
async def test_nothing_is_read_while_requests_wait(kind: str) -> None:
    app = Answering()
    protocol, wire = connect(app, kind)
    protocol.data_received(REQUEST * 3)
    for left in (1, 0):
        assert not wire.reading
        app.places.release()
        await settle()
        assert len(protocol.pipeline) == left
    assert wire.reading
    app.places.release()
    await settle()
    assert wire.written.count(b"200 OK") == 3
    assert not wire.closed
    protocol.connection_lost(None)


@pytest.mark.parametrize("kind", ["service", "clickhouse"])
async def test_a_connection_with_too_many_is_closed_after_those_that_wait(kind: str) -> None:
    app = Answering()
    protocol, wire = connect(app, kind)
    protocol.data_received(REQUEST * 10 * PIPELINED_MAX)
    protocol.data_received(REQUEST * 10 * PIPELINED_MAX)
    assert len(protocol.pipeline) == PIPELINED_MAX
    for _ in range(PIPELINED_MAX + 1):
        app.places.release()
        await settle()
        assert not wire.reading
    assert wire.written.count(b"200 OK") == PIPELINED_MAX + 1
    assert wire.written.endswith(b"connection: close\r\n\r\n")
    assert wire.closed
    protocol.connection_lost(None)


async def test_a_lost_connection_keeps_no_requests() -> None:
    protocol, _ = connect(Answering(), "service")
    protocol.data_received(REQUEST * 9)
    assert len(protocol.pipeline) == 8
    protocol.connection_lost(None)
    assert not protocol.pipeline
