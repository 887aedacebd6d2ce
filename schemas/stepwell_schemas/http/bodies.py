"""Bodies of requests: read within limits of size, time and memory, before or by the route that handles them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final

from fastapi import Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepwell_schemas.http.problem_types import ProblemType
from stepwell_schemas.http.problems import field_error, problem
from stepwell_schemas.limits import MIB

BODY_SECONDS: Final = 30.0
"""Seconds within which a body must arrive."""

BODIES_BYTES: Final = 128 * MIB
"""Limit of bytes of all bodies that are being received: 32 of the maximum size."""

_DISCARDED_BYTES: Final = 32 * MIB
_DISCARDED_SECONDS: Final = 2.0
_LENGTH_DIGITS: Final = 19


class BodyReader:
    """Reads bodies of requests.

    Attributes:
        held: bytes of all bodies that are being received.
    """

    def __init__(
        self,
        body_bytes: int,
        setting: str,
        seconds: float = BODY_SECONDS,
        held_bytes: int = BODIES_BYTES,
    ) -> None:
        """Set the limits of one body, its seconds, and the bytes of all bodies.

        `setting` names the setting of the first one; "" if it has none.
        """
        self._most = body_bytes
        self._setting = setting
        self._seconds = seconds
        self._held_bytes = held_bytes
        self.held = 0

    def refuse_length(self, headers: Headers) -> Response | None:
        """Return the refusal of a body that announces too many bytes."""
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length[:_LENGTH_DIGITS]) > self._most:
            return self.too_large()
        return None

    async def read(self, receive: Receive) -> bytes | Response:
        """Return a body, or the refusal of one that is too large, too slow, one too many, or cut off."""
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._seconds):
                while True:
                    message = await receive()
                    part = message.get("body", b"")
                    size += len(part)
                    self.held += len(part)
                    if size > self._most:
                        return self.too_large()
                    if self.held > self._held_bytes:
                        return problem(503, ProblemType.BUSY, "Too many requests", "try again later")
                    if message["type"] == "http.disconnect":
                        detail = "the client closed the connection before the end of the body"
                        return problem(499, ProblemType.CLIENT_GONE, "Client closed the request", detail)
                    parts.append(part)
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            detail = f"a body must arrive within {self._seconds:g} seconds"
            return problem(408, ProblemType.REQUEST_TIMEOUT, "Request timeout", detail)
        finally:
            self.held -= size

    def too_large(self) -> Response:
        """Return the refusal of a body with too many bytes."""
        remedy = "split the request" + (f"; {self._setting} is the limit of the service" if self._setting else "")
        described = field_error("body", None, f"is limited to {self._most:,} bytes", remedy)
        return problem(413, ProblemType.BODY_TOO_LARGE, "Request body too large", remedy, [described])


async def close_after(refusal: Response, headers: Headers, receive: Receive) -> Response:
    """Return a refusal that closes the connection: the unread rest of the body must not be parsed as a request."""
    if refusal.status_code == 413 and "expect" not in headers:
        await _discard(receive)
    refusal.headers["connection"] = "close"
    return refusal


class BodyLimitMiddleware:
    """Reads the body of a request before the request is handled, within limits of size and time."""

    def __init__(
        self,
        app: ASGIApp,
        body_bytes: int,
        body_seconds: float = BODY_SECONDS,
        setting: str = "STEPWELL_QUERY_MAX_BODY_BYTES",
        streamed: Collection[str] = (),
    ) -> None:
        """Protect an application.

        Args:
            app: the application.
            body_bytes: the limit of one body.
            body_seconds: the seconds within which it must arrive.
            setting: the name of the setting of `body_bytes`, "" if it has none.
            streamed: paths of routes that read the body themselves.
        """
        self._app = app
        self._reader = BodyReader(body_bytes, setting, body_seconds)
        self._streamed = frozenset(streamed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reject the request, or pass it on with its body."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        if ("content-length" not in headers and "transfer-encoding" not in headers) or scope["path"] in self._streamed:
            await self._app(scope, receive, send)
            return
        body = self._refuse_coding(headers) or self._reader.refuse_length(headers) or await self._reader.read(receive)
        if isinstance(body, bytes):
            await self._app(scope, _replayed(body, receive), send)
        else:
            await (await close_after(body, headers, receive))(scope, receive, send)

    @staticmethod
    def _refuse_coding(headers: Headers) -> Response | None:
        coding = headers.get("content-encoding", "identity").strip().lower()
        if coding in {"", "identity"}:
            return None
        title, remedy = "Compressed bodies are not supported", "send the body without Content-Encoding"
        return problem(415, ProblemType.COMPRESSED_BODY, title, remedy)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that yields the body in one message, then the messages after it."""
    given = False

    async def next_message() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return next_message


async def _discard(receive: Receive) -> None:
    """Read and drop part of an oversized body, since a client that is still sending does not read the answer."""
    left = _DISCARDED_BYTES
    try:
        async with asyncio.timeout(_DISCARDED_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        return
