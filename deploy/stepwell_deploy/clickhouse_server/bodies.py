"""Reading of request bodies within bounds of bytes and time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from starlette.types import Receive

from stepwell_deploy.clickhouse_server.bounds import BodyBounds, Bounds
from stepwell_deploy.clickhouse_server.compression import BodyTooLargeError, decompressed, unframed
from stepwell_deploy.clickhouse_server.request import StatementError

PARSE_CODE: Final = 27
TOO_LARGE_CODE: Final = 1002
TIMEOUT_CODE: Final = 209


class ClientLeftError(Exception):
    """The client closed its connection."""


async def read_body(receive: Receive, headers: Mapping[str, str], sizes: BodyBounds, bounds: Bounds) -> bytes:
    """Return a body as it was sent.

    Raises:
        StatementError: when it is longer than the bounds allow, or takes longer.
        ClientLeftError: when the client leaves.
    """
    if int(headers.get("content-length") or 0) > sizes.sent:
        raise too_large(sizes.sent)
    parts: list[bytes] = []
    room = sizes.sent
    try:
        async with asyncio.timeout(bounds.body_seconds):
            while True:
                async with asyncio.timeout(bounds.part_seconds):
                    message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientLeftError
                part = message.get("body", b"")
                room -= len(part)
                if room < 0:
                    raise too_large(sizes.sent)
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise StatementError(
            f"Code: {TIMEOUT_CODE}. DB::Exception: The body took too long. (SOCKET_TIMEOUT)", TIMEOUT_CODE
        ) from None


def decode_body(body: bytes, headers: Mapping[str, str], fields: Mapping[str, str], sizes: BodyBounds) -> bytes:
    """Return a body's content, decompressed. Raises: StatementError when it is too large or broken."""
    try:
        content = decompressed(body, headers.get("content-encoding", ""), sizes.content)
        return unframed(content, sizes.content) if fields.get("decompress") == "1" else content
    except BodyTooLargeError:
        raise too_large(sizes.content) from None
    except ValueError as error:
        message = f"Code: {PARSE_CODE}. DB::Exception: The body can't be read: {error}. (CANNOT_PARSE_INPUT)"
        raise StatementError(message, PARSE_CODE) from error


def too_large(limit: int) -> StatementError:
    """Return the error of a body that is too large."""
    message = f"Code: {TOO_LARGE_CODE}. DB::Exception: The body may have {limit:,} bytes at most. (TOO_LARGE_BODY)"
    return StatementError(message, TOO_LARGE_CODE)
