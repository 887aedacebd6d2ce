"""The transport to the gateway: one request at a time, sent again after a lost answer; errors with code and remedy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import cramjam
import httpx
import pytest

from stepwell.delivery.blocked import Blocked, classify_error
from stepwell.delivery.connection import Connection
from stepwell.delivery.http_transport import REQUEST_BYTES, HttpTransport, request_bytes
from stepwell.delivery.routes import gateway_route
from stepwell.delivery.transport import AfterRefusalError, EventTooLargeError, StalledError, TransportError
from stepwell.errors import NotConnectedError, StepwellError
from stepwell.settings import ProducerSettings
from stepwell_schemas.events.framing import split_events
from stepwell_schemas.limits import MIB

pytestmark = pytest.mark.anyio

Handler = Callable[[list[bytes]], Any]


class Gateway:
    """A gateway that answers as the test says; without a script, it acknowledges."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.requests: list[list[bytes]] = []
        self.headers = httpx.Headers()
        self.open = asyncio.Event()
        self.open.set()
        self.concurrent = self.most = 0

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.headers = request.headers
        coding = request.headers.get("content-encoding", "")
        content = bytes(getattr(cramjam, coding).decompress(request.content)) if coding else request.content
        self.requests.append(split_events(content, 10_000))
        self.concurrent += 1
        self.most = max(self.most, self.concurrent)
        await self.open.wait()
        self.concurrent -= 1
        step = self.script.pop(0) if self.script else httpx.Response(200)
        if isinstance(step, Exception):
            raise step
        return step if isinstance(step, httpx.Response) else step(self.requests[-1])


@asynccontextmanager
async def transport_to(
    gateway: Gateway, most_bytes: int = REQUEST_BYTES, **settings: Any
) -> AsyncIterator[HttpTransport]:
    given = ProducerSettings(base_url="http://s:1", **settings)
    transport = HttpTransport(given, gateway_route("http://s:1"), 10.0, most_bytes, httpx.MockTransport(gateway.answer))
    yield transport
    await transport.stop()


def problem(status: int, kind: str = "", headers: dict[str, str] | None = None, **members: Any) -> httpx.Response:
    body = {"type": f"urn:stepwell:problem:{kind}", "detail": f"because of {kind}", **members}
    return httpx.Response(status, json=body, headers={"content-type": "application/problem+json", **(headers or {})})


async def send_all(transport: HttpTransport, *payloads: bytes) -> None:
    futures = [await transport.send(payload, b"k") for payload in payloads]
    for future in futures:
        await transport.wait(future)


@pytest.mark.parametrize("compression", ["lz4", "zstd", "none"])
async def test_what_waits_goes_with_the_next_request_in_order(compression: str) -> None:
    gateway = Gateway()
    gateway.open.clear()
    async with transport_to(gateway, compression=compression, api_key="secret") as transport:
        first = await transport.send(b"1", b"k")
        async with asyncio.timeout(20):
            while not gateway.requests:  # noqa: ASYNC110 - any condition
                await asyncio.sleep(0)
        rest = [await transport.send(payload, b"k") for payload in (b"2", b"3", b"4")]
        await asyncio.sleep(0.01)
        assert not first.done()
        gateway.open.set()
        for future in (first, *rest):
            await transport.wait(future)
    assert gateway.requests == [[b"1"], [b"2", b"3", b"4"]]
    assert gateway.most == 1
    assert gateway.headers["authorization"] == "Bearer secret"
    assert gateway.headers["content-type"] == "application/vnd.stepwell.events"


async def test_a_request_has_a_bound_and_a_single_event_always_fits() -> None:
    gateway = Gateway()
    gateway.open.clear()
    async with transport_to(gateway, most_bytes=10) as transport:
        futures = [await transport.send(bytes([n]) * size, b"k") for n, size in enumerate((4, 4, 4, 30, 1, 9))]
        gateway.open.set()
        for future in futures:
            await transport.wait(future)
    assert [[len(event) for event in request] for request in gateway.requests] == [[4, 4], [4], [30], [1, 9]]
    assert request_bytes(0) == REQUEST_BYTES
    assert request_bytes(4) == REQUEST_BYTES // 256


@pytest.mark.parametrize("error", [httpx.RemoteProtocolError("gone"), httpx.ReadError("reset"), httpx.WriteError("")])
async def test_a_connection_that_was_closed_is_tried_once_more(error: Exception) -> None:
    gateway = Gateway(error)
    async with transport_to(gateway) as transport:
        await send_all(transport, b"1")
    assert gateway.requests == [[b"1"], [b"1"]]
    gateway = Gateway(error, error)
    async with transport_to(gateway) as transport:
        with pytest.raises(NotConnectedError, match="http://s:1 failed"):
            await send_all(transport, b"1")


@pytest.mark.parametrize(
    ("answer", "kind", "blocked", "text"),
    [
        (httpx.ConnectError("refused"), NotConnectedError, Blocked.NO_BROKER, "no server at http://s:1"),
        (httpx.ReadTimeout("late"), StalledError, Blocked.NO_ACKNOWLEDGEMENT, "no answer from http://s:1"),
        (problem(401, "unauthenticated"), TransportError, Blocked.NOT_AUTHORIZED, "refuses the key: because of unauth"),
        (problem(403, "forbidden"), TransportError, Blocked.NOT_AUTHORIZED, "refuses the key: because of forbidden"),
        (httpx.Response(404, text="<html>"), TransportError, Blocked.NO_GATEWAY, "takes no events: it answers 404"),
        (httpx.Response(405), TransportError, Blocked.NO_GATEWAY, "takes no events"),
        (httpx.Response(308, headers={"location": "https://s"}), TransportError, Blocked.NO_GATEWAY, "answers 308"),
        (problem(408, "request-timeout"), StalledError, Blocked.NO_ACKNOWLEDGEMENT, "request-timeout"),
        (problem(413, "event-too-large"), EventTooLargeError, Blocked.MESSAGE_TOO_LARGE, "event-too-large"),
        (httpx.Response(413), EventTooLargeError, Blocked.MESSAGE_TOO_LARGE, "3 bytes: it answers 413"),
        (problem(422, "bad-event"), TransportError, Blocked.BROKER_ERROR, "refuses events: because of bad-event"),
        (httpx.Response(429), TransportError, Blocked.NO_ACKNOWLEDGEMENT, "limits requests"),
        (problem(503, "kafka-unavailable"), TransportError, Blocked.NO_BROKER, "because of kafka-unavailable"),
        (problem(503, "busy"), TransportError, Blocked.NO_ACKNOWLEDGEMENT, "because of busy"),
        (httpx.Response(502, text="bad gateway"), TransportError, Blocked.NO_ACKNOWLEDGEMENT, "it answers 502"),
        (httpx.Response(500, json=[1]), TransportError, Blocked.NO_ACKNOWLEDGEMENT, "it answers 500"),
        (ZeroDivisionError("bug"), TransportError, Blocked.BROKER_ERROR, "ZeroDivisionError"),
    ],
)
async def test_every_answer_has_a_reason(answer: Any, kind: type[StepwellError], blocked: Blocked, text: str) -> None:
    async with transport_to(Gateway(answer)) as transport:
        with pytest.raises(kind, match=text) as caught:
            await send_all(transport, b"abc")
        assert classify_error(caught.value) is blocked
        if blocked is Blocked.NOT_AUTHORIZED:
            assert "STEPWELL_API_KEY" in caught.value.remedy  # type: ignore[attr-defined]
        with pytest.raises(kind):
            await transport.send(b"more", b"k")


@pytest.mark.parametrize(
    ("answer", "may_pass"),
    [
        *((problem(status, "any"), False) for status in (400, 401, 403, 404, 405, 411, 415, 421, 422, 431, 501)),
        *((httpx.Response(status), False) for status in (301, 308, 400, 401, 403, 422)),
        # A proxy answers these while the gateway that it is to reach starts.
        *((httpx.Response(status), True) for status in (404, 405, 421, 501, 502, 503)),
        *((problem(status, "any"), True) for status in (408, 429, 500, 503)),
    ],
)
async def test_an_answer_that_repetition_does_not_change_is_final(answer: httpx.Response, may_pass: bool) -> None:
    async with transport_to(Gateway(answer)) as transport:
        with pytest.raises(TransportError) as caught:
            await send_all(transport, b"abc")
    assert caught.value.retriable is may_pass
    connection = Connection(ProducerSettings(api_key="given"), "run")
    connection.failed(caught.value, progressed=False)
    assert connection.may_succeed(caught.value) is may_pass


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("0.5", 0.5), ("-1", 0.0), ("nan", 0.0), ("9e9", 300.0), ("Mon, 1 Jan", 0.0)]
)
async def test_the_wait_that_the_gateway_asks_for_is_passed_on(header: str, seconds: float) -> None:
    async with transport_to(Gateway(problem(503, "busy", {"retry-after": header}))) as transport:
        with pytest.raises(TransportError) as caught:
            await send_all(transport, b"1")
    assert caught.value.retry_after == seconds


async def test_after_a_failure_everything_pending_fails() -> None:
    gateway = Gateway(problem(503, "busy"))
    gateway.open.clear()
    async with transport_to(gateway, most_bytes=1) as transport:
        futures = [await transport.send(payload, b"k") for payload in (b"1", b"2")]
        gateway.open.set()
        for future in futures:
            with pytest.raises(TransportError, match="busy"):
                await transport.wait(future)
    assert gateway.requests == [[b"1"]]


async def test_a_request_that_is_too_large_for_a_proxy_is_sent_in_parts() -> None:
    def limited(events: list[bytes]) -> httpx.Response:
        return httpx.Response(413 if sum(map(len, events)) > 3 else 200, text="<html>too large")

    gateway = Gateway(*[limited] * 20)
    async with transport_to(gateway) as transport:
        await send_all(transport, *(bytes([n]) for n in range(8)))
        await send_all(transport, *(bytes([n]) for n in range(8, 12)))
    accepted = [event for request in gateway.requests if sum(map(len, request)) <= 3 for event in request]
    assert accepted == [bytes([n]) for n in range(12)]
    assert [len(request) for request in gateway.requests][-2:] == [2, 2]


async def test_a_refused_event_and_what_follows_can_be_sent_one_by_one_after_a_renewal() -> None:
    gateway = Gateway(problem(413, "event-too-large", index=1, event_bytes=MIB))
    async with transport_to(gateway) as transport:
        futures = [await transport.send(payload, b"k") for payload in (b"1", b"2")]
        with pytest.raises(EventTooLargeError):
            await transport.wait(futures[0])
        with pytest.raises(AfterRefusalError):
            await transport.wait(futures[1])
        assert MIB < transport.max_message_bytes < MIB + 10_000
        await transport.renew(1_000)
        assert (transport.generation, transport.max_message_bytes) == (1, 1_000)
        await send_all(transport, b"1", b"2")
    assert gateway.requests == [[b"1", b"2"], [b"1", b"2"]]
