"""The ClickHouse port as an ASGI application.

Supports the part of the protocol that clickhouse-connect, curl and BI tools use: the statement in `query=` or the body,
`param_x` parameters, settings in the URL, inserts of any format in the body, Basic or X-ClickHouse-User credentials,
compressed bodies, and errors with their code in a header. Guests read within limits, with access control the rows that
their key may read; the configured user writes. Formats whose blocks can be concatenated are sent block by block; an
answer in another format is held in memory before it is sent.

The cheapest checks come first: origin, credentials, then the size of the body. Calls of the engine block, so they run
in threads. If the client disconnects, its statement is killed, or removed from the queue.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

import structlog
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from stepwell_deploy.clickhouse_server.access import (
    ACCESS_CODE,
    AUTHENTICATION_CODE,
    Caller,
    Credentials,
    check_browser,
)
from stepwell_deploy.clickhouse_server.bodies import (
    TIMEOUT_CODE,
    TOO_LARGE_CODE,
    ClientLeftError,
    decode_body,
    read_body,
)
from stepwell_deploy.clickhouse_server.bounds import Bounds
from stepwell_deploy.clickhouse_server.compression import frames
from stepwell_deploy.clickhouse_server.protocol import ABORT
from stepwell_deploy.clickhouse_server.request import Request, StatementError, form_fields
from stepwell_deploy.clickhouse_server.responses import (
    PLAIN,
    Head,
    answer_head,
    busy,
    error_head,
    error_status,
    head,
    key_above_limits,
)
from stepwell_deploy.clickhouse_server.statements import Engine, Statement
from stepwell_query.errors import TooBusyError
from stepwell_query.slots import StatementSlots
from stepwell_query.sql.recording import CANCELLED_STATUS, Outcome, record_statement
from stepwell_query.sql.scope import limited_client, row_scope
from stepwell_schemas.access.audit import Action, AuditEntry, AuditLog
from stepwell_schemas.access.key_limits import ByteCounter, KeyLimits
from stepwell_schemas.limits import AUDIT_DETAIL_MAX_CHARS
from stepwell_schemas.quick_compression import compress

_STATEMENT_PATHS: Final = frozenset({"/", "/query"})
_PING_PATHS: Final = frozenset({"/ping", "/replicas_status"})
_MAX_FIELDS: Final = 1_000
_LZ4_FROM_BYTES: Final = 1 << 16
_SYNTAX_CODE: Final = 62
# Errors before the body was read. The connection is closed, so that the rest is not parsed as another request.
_CLOSING: Final = frozenset({ACCESS_CODE, AUTHENTICATION_CODE, TOO_LARGE_CODE, TIMEOUT_CODE})
_VIA: Final = {"via": "clickhouse"}
_log = structlog.get_logger("stepwell.clickhouse_server")


@dataclass(frozen=True, slots=True)
class _HttpRequest:
    """One request: its headers, the fields of its URL, the client's address, its caller, and if it may write."""

    headers: Mapping[str, str]
    fields: dict[str, str]
    client: str
    caller: Caller
    writer: bool

    @property
    def framed(self) -> bool:
        return self.fields.get("compress") == "1"


class ClickHouseApp:
    """Answers ClickHouse's HTTP protocol over an engine."""

    def __init__(
        self,
        engine: Engine,
        credentials: Credentials,
        hosts: Collection[str],
        bounds: Bounds,
        audit: AuditLog | None = None,
        limits: KeyLimits | None = None,
    ) -> None:
        self._engine = engine
        self._audit = audit
        self._limits = limits
        self._credentials = credentials
        self._hosts = hosts
        self._bounds = bounds
        self._guests = StatementSlots(bounds.guests)
        self._writers = StatementSlots(bounds.writers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        fields: dict[str, str] = {}
        try:
            headers = Headers(scope=scope)
            check_browser(headers, self._hosts)
            if scope["path"] in _PING_PATHS or scope["method"] == "HEAD":
                await self._send(send, 200, head(PLAIN), b"Ok.\n")
            elif scope["path"] not in _STATEMENT_PATHS:
                await self._send(send, 404, head(PLAIN), b"There is no handle " + scope["path"].encode() + b".\n")
            elif scope["method"] not in {"GET", "POST"}:
                await self._send(send, 405, head(PLAIN, {"Allow": "GET, HEAD, POST"}), b"Use GET or POST.\n")
            else:
                fields |= _fields(scope["query_string"])
                await self._statement(scope, headers, fields, receive, send)
        except StatementError as error:
            await self._fail(send, error, framed=fields.get("compress") == "1")
        except TooBusyError as error:
            await self._fail(send, busy(error), framed=fields.get("compress") == "1")
        except ClientLeftError:
            _abort(scope)
        except Exception as error:
            _log.error("clickhouse_request_failed", path=scope["path"], exc_info=error)
            raise

    async def _statement(
        self, scope: Scope, headers: Mapping[str, str], fields: dict[str, str], receive: Receive, send: Send
    ) -> None:
        client = scope["client"][0] if scope["client"] else ""
        caller = await self._identify(fields, headers, client)
        # GET is read-only, as in ClickHouse.
        writer = caller.writer and scope["method"] == "POST"
        http_request = _HttpRequest(headers, fields, client, caller, writer)
        if self._limits is None or caller.writer:
            await self._run(http_request, receive, send)
            return
        wait = self._limits.admit(caller.identity)
        if wait:
            raise key_above_limits(wait)
        counter = ByteCounter(receive, send)
        try:
            await self._run(http_request, counter.receive, counter.send)
        finally:
            self._limits.charge(caller.identity, counter.size)

    async def _run(self, http_request: _HttpRequest, receive: Receive, send: Send) -> None:
        sizes = self._bounds.writer_body if http_request.writer else self._bounds.guest_body
        body = await read_body(receive, http_request.headers, sizes, self._bounds)
        work = asyncio.create_task(self._answer(http_request, body, send))
        left = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait({work, left}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            left.cancel()
            if not work.done():
                work.cancel()
            await asyncio.wait({work, left})
        if not work.cancelled():
            work.result()

    async def _identify(self, fields: Mapping[str, str], headers: Mapping[str, str], client: str) -> Caller:
        try:
            return await self._credentials.identify(fields, headers)
        except StatementError as error:
            if self._audit is not None and error.code in {AUTHENTICATION_CODE, ACCESS_CODE}:
                entry = AuditEntry(Action.ACCESS_DENIED, status=error_status(error), address=client, detail=_VIA)
                self._audit.record(entry)
            raise

    async def _answer(self, http_request: _HttpRequest, body: bytes, send: Send) -> None:
        # What the writer does is no action of a user.
        audit = None if http_request.caller.writer else self._audit
        identity = http_request.caller.identity
        with record_statement(audit, identity, http_request.client, "", _status, "clickhouse") as outcome:
            await self._answer_statement(http_request, body, send, outcome)

    async def _answer_statement(self, http_request: _HttpRequest, body: bytes, send: Send, outcome: Outcome) -> None:
        fields = http_request.fields
        sizes = self._bounds.writer_body if http_request.writer else self._bounds.guest_body
        # Raises before the statement runs if the query id can't be returned in a header.
        head(PLAIN, {"X-ClickHouse-Query-Id": fields.get("query_id", "")})
        fields.setdefault("database", http_request.headers.get("x-clickhouse-database", ""))
        slots = self._writers if http_request.writer else self._guests
        statement = Statement(self._engine, uuid.uuid4().hex)
        scope = None if http_request.caller.writer else row_scope(http_request.caller.identity)

        def parsed() -> Request:
            content = decode_body(body, http_request.headers, fields, sizes)
            # Clients send parameters that are too long for a URL as a form.
            content_type = http_request.headers.get("content-type", "")
            if content_type.startswith("multipart/form-data"):
                fields.update(form_fields(content_type, content))
                content = b""
            request = Request.parse(fields, content, http_request.headers.get("x-clickhouse-format"))
            outcome.statement = request.statement[:AUDIT_DETAIL_MAX_CHARS].decode("utf-8", "replace")
            return request

        async with slots.acquire(limited_client(http_request.caller.identity, http_request.client)), statement:
            started = time.perf_counter_ns()
            answer = await statement.run(parsed, http_request.writer, scope)
            values = answer_head(
                answer, fields.get("query_id", ""), time.perf_counter_ns() - started, framed=http_request.framed
            )
            if isinstance(answer.body, bytes):
                await self._send_buffered(send, http_request, values, answer.body)
            else:
                await self._send_blocks(send, http_request, values, statement)
            outcome.answered = True

    async def _send_buffered(self, send: Send, http_request: _HttpRequest, values: Head, body: bytes) -> None:
        if http_request.framed:
            body = await asyncio.to_thread(_framed, body)
        elif "lz4" in _encodings(http_request.headers) and len(body) > _LZ4_FROM_BYTES:
            # LZ4 is the only compression that is faster than loopback; small answers gain nothing.
            values.append((b"content-encoding", b"lz4"))
            body = await asyncio.to_thread(compress, "lz4", body)
        await self._send(send, 200, values, body)

    async def _send_blocks(self, send: Send, http_request: _HttpRequest, values: Head, statement: Statement) -> None:
        await self._timed(send, {"type": "http.response.start", "status": 200, "headers": values})
        try:
            async for block in statement.blocks(_framed if http_request.framed else bytes):
                await self._timed(send, {"type": "http.response.body", "body": block, "more_body": True})
        except RuntimeError as error:
            # The engine aborted: without the last chunk, the client knows that the answer is incomplete.
            raise ClientLeftError from error
        await self._timed(send, {"type": "http.response.body", "body": b""})

    async def _fail(self, send: Send, error: StatementError, *, framed: bool) -> None:
        body = f"{error}\n".encode("utf-8", "replace")
        content = _framed(body) if framed else body
        values = error_head(error)
        if error.code in _CLOSING:
            values.append((b"connection", b"close"))
        await self._send(send, error_status(error), values, content)

    async def _send(self, send: Send, status: int, values: Head, body: bytes) -> None:
        values = [*values, (b"content-length", str(len(body)).encode())]
        await self._timed(send, {"type": "http.response.start", "status": status, "headers": values})
        await self._timed(send, {"type": "http.response.body", "body": body})

    async def _timed(self, send: Send, message: Message) -> None:
        """Send a part of an answer. Raises: ClientLeftError if the client does not read it in time."""
        try:
            async with asyncio.timeout(self._bounds.send_seconds):
                await send(message)
        except TimeoutError:
            raise ClientLeftError from None


def _status(error: Exception) -> int:
    """Return the status of the answer to a statement that fails, for the audit log."""
    match error:
        case StatementError():
            return error_status(error)
        case TooBusyError():
            return error_status(busy(error))
        case ClientLeftError():
            return CANCELLED_STATUS
    return 500


def _framed(content: bytes) -> bytes:
    return b"".join(frames(content))


def _abort(scope: Scope) -> None:
    abort = scope.get("extensions", {}).get(ABORT)
    if abort is not None:
        abort()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _fields(query: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(query.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS))
    except ValueError as error:
        message = f"Code: {_SYNTAX_CODE}. DB::Exception: The URL can't be read: {error}. (SYNTAX_ERROR)"
        raise StatementError(message, _SYNTAX_CODE) from error


def _encodings(headers: Mapping[str, str]) -> set[str]:
    return {item.split(";")[0].strip() for item in headers.get("accept-encoding", "").split(",")}
