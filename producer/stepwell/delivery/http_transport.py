"""The transport to the gateway: events travel in requests, one at a time, which are answered when Kafka has them.

One request at a time keeps the order of each run, and what waits meanwhile goes with the next one, so that the size of
requests follows from the speed of the connection. A request without an answer is sent again: the gateway may have
stored its events, and then they count once, since they are numbered.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Final, NamedTuple

import httpx

from stepwell.delivery.http_answers import Answer, error_from, unanswered
from stepwell.delivery.routes import HttpRoute
from stepwell.delivery.transport import AfterRefusalError, EventTooLargeError, StalledError, TransportError
from stepwell.errors import NotConnectedError
from stepwell.service_requests import client_options
from stepwell.settings import ProducerSettings
from stepwell_schemas.events.framing import MEDIA_TYPE, join_events
from stepwell_schemas.kafka.record_size import batch_bytes
from stepwell_schemas.limits import MIB, REQUEST_EVENTS_MAX
from stepwell_schemas.quick_compression import compress

REQUEST_BYTES: Final = 4 * MIB
"""Bytes of events in one request before compression; a single event may have more."""

_CONNECT_SECONDS: Final = 5.0
_MARGIN_SECONDS: Final = 3.0
"""Time for the gateway's answer after its own limit of time for an acknowledgement."""

_IDLE_SECONDS: Final = 3.0
"""Idle time after which a connection is not used again: servers close theirs after 5 s or more."""


def request_bytes(stalls: int) -> int:
    """Return the bytes of events in one request after some stalls: a quarter for each, for slow connections."""
    return REQUEST_BYTES >> (2 * stalls)


class _Pending(NamedTuple):
    """An event that waits for its acknowledgement."""

    payload: bytes
    future: asyncio.Future[object]


class HttpTransport:
    """Sends events to a gateway. After a failure, all pending events have failed.

    Attributes:
        cluster_id: always "": the gateway's cluster is not the SDK's concern.
        generation: increases with each renewal; futures of an earlier generation are never done.
        max_message_bytes: the largest record batch that the gateway's topic accepts, as far as it is known.
    """

    def __init__(
        self,
        settings: ProducerSettings,
        route: HttpRoute,
        ack_seconds: float,
        most_bytes: int = REQUEST_BYTES,
        http: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Prepare a transport.

        Args:
            settings: the key and the compression.
            route: the address of the gateway.
            ack_seconds: seconds without an answer after which `StalledError` is raised.
            most_bytes: bytes of events in one request, unless a single event has more.
            http: replaces the network.
        """
        self._url = route.url
        self._compression = settings.compression
        self._ack_seconds = ack_seconds
        options = client_options(settings)
        headers = {"Content-Type": MEDIA_TYPE, **options.pop("headers")}
        if self._compression != "none":
            headers["Content-Encoding"] = self._compression
        self._client = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(ack_seconds + _MARGIN_SECONDS, connect=_CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=1, keepalive_expiry=_IDLE_SECONDS),
            transport=http,
            **options,
        )
        self.cluster_id = ""
        self.generation = 0
        self.max_message_bytes = batch_bytes(route.event_bytes)
        self._request_bytes = most_bytes
        self._queue: deque[_Pending] = deque()
        self._failure: Exception | None = None
        self._filled = asyncio.Event()
        self._sending: asyncio.Task[None] | None = None

    async def send(self, payload: bytes, key: bytes) -> asyncio.Future[object]:  # noqa: ARG002 - the event names its run
        """Hand an event over; the future is done when the gateway has acknowledged it. Raises: TransportError."""
        if self._failure is not None:
            raise self._failure
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._queue.append(_Pending(payload, future))
        self._filled.set()
        if self._sending is None:
            self._sending = asyncio.create_task(self._send_queued(), name="stepwell-http")
        return future

    async def wait(self, future: asyncio.Future[object]) -> None:
        """Wait for an acknowledgement. Raises: TransportError, NotConnectedError."""
        await future

    async def renew(self, max_message_bytes: int | None = None) -> None:
        """Start again after a refused event; what was queued is forgotten."""
        await self._cancel()
        if max_message_bytes is not None:
            self.max_message_bytes = min(max_message_bytes, self.max_message_bytes)
        self.generation += 1
        self._failure = None

    async def stop(self) -> None:
        """Close the connection immediately."""
        await self._cancel()
        await self._client.aclose()
        # The event loop closes sockets in a callback, and may end after this.
        await asyncio.sleep(0)

    async def _cancel(self) -> None:
        task, self._sending = self._sending, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._queue.clear()

    async def _send_queued(self) -> None:
        """Send what is queued, until a request fails; then everything pending fails."""
        batch: list[_Pending] = []
        try:
            while True:
                self._filled.clear()
                while batch := self._take_batch():
                    await self._send_batch(batch)
                await self._filled.wait()
        except (TransportError, NotConnectedError) as error:
            self._fail(batch, error)
        except Exception as error:
            # Whatever it is, the events must not wait forever.
            self._fail(batch, TransportError(f"{type(error).__name__}: {error}"))

    def _take_batch(self) -> list[_Pending]:
        batch: list[_Pending] = []
        size = 0
        while self._queue and len(batch) < REQUEST_EVENTS_MAX:
            size += len(self._queue[0].payload)
            if batch and size > self._request_bytes:
                break
            batch.append(self._queue.popleft())
        return batch

    async def _send_batch(self, batch: list[_Pending]) -> None:
        """Send one request; one that is too large for the way to the gateway is sent in two parts."""
        answer = await self._post([event.payload for event in batch])
        if answer.is_too_large and len(batch) > 1:
            half = (len(batch) + 1) // 2
            self._request_bytes = max(1, sum(len(event.payload) for event in batch[:half]))
            await self._send_batch(batch[:half])
            # If this part fails, all of the batch does: what is acknowledged already stays so.
            await self._send_batch(batch[half:])
            return
        error = error_from(answer, self._url, len(batch[0].payload))
        if answer.event_bytes:
            self.max_message_bytes = min(self.max_message_bytes, batch_bytes(answer.event_bytes))
        if error is not None:
            raise error
        for event in batch:
            if not event.future.done():
                event.future.set_result(None)

    async def _post(self, payloads: list[bytes]) -> Answer:
        """Send events; return the answer. Raises: StalledError, NotConnectedError."""
        body = join_events(payloads)
        if self._compression != "none":
            body = compress(self._compression, body)
        for attempt in range(2):
            try:
                response = await self._client.post(self._url, content=body)
                return Answer.read(response)
            except httpx.TimeoutException as error:
                if isinstance(error, httpx.ConnectTimeout):
                    raise unanswered(self._url, error) from error
                seconds = self._ack_seconds + _MARGIN_SECONDS
                raise StalledError(f"no answer from {self._url} for {seconds:g} s") from error
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as error:
                # The server may have closed a connection that was idle; one more attempt finds out.
                if attempt:
                    raise unanswered(self._url, error) from error
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise unanswered(self._url, error) from error
        raise AssertionError("the last attempt returns or raises")

    def _fail(self, batch: list[_Pending], error: Exception) -> None:
        self._failure = error
        failed, self._queue = [*batch, *self._queue], deque()
        for number, event in enumerate(failed):
            if event.future.done():
                continue
            refused_before = number and isinstance(error, EventTooLargeError)
            event.future.set_exception(AfterRefusalError(str(error)) if refused_before else error)
