"""SQL statements of users."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from typing import Annotated, Final

import structlog
from fastapi import APIRouter, Query, Request, Response

from stepwell_query.api.cancellation import run_until_disconnect
from stepwell_query.api.dependencies import Context, ContextDep
from stepwell_query.api.negotiation import encode_response, negotiate_format
from stepwell_query.api.params.common import AnyFormat, SqlBody
from stepwell_query.encoding import Format
from stepwell_query.errors import ClientGoneError
from stepwell_query.sql.execute import Statement, answer_bytes, cancel, prepare, run
from stepwell_query.telemetry import SQL_CANCELLED
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.errors import StoreError

router = APIRouter(prefix="/api/v1", tags=["sql"])
_POLL_SECONDS: Final = 0.25
_log = structlog.get_logger("stepwell.query")


@router.post("/sql")
async def sql(
    body: SqlBody,
    context: ContextDep,
    request: Request,
    named: Annotated[AnyFormat, Query(alias="format")] = None,
) -> Response:
    """Run one statement that reads the public views, within limits of time, rows, size and memory.

    Pass values in `parameters` and refer to them as `{name:Type}` in the statement. The JSON answer has `columns` (name
    and type) and `rows` (arrays in the order of the columns). The statement is cancelled if the client disconnects.
    """
    fmt = negotiate_format(request, named, tuple(Format))
    client = request.client.host if request.client else ""

    async with AsyncExitStack() as stack:
        await _enter(stack, context, request, client)
        statement = await context.in_thread(prepare, context.store, body.sql, body.parameters)

        def read() -> bytes:
            return answer_bytes(run(context.store, statement, context.settings), fmt)

        answer = await run_until_disconnect(context, request, read, partial(_end, context.store, statement))
    return encode_response(answer, fmt)


async def _enter(stack: AsyncExitStack, context: Context, request: Request, client: str) -> None:
    """Wait for a slot, which `stack` releases. Raises: TooBusyError, ClientGoneError."""
    entering = asyncio.ensure_future(stack.enter_async_context(context.sql_slots.acquire(client)))
    try:
        while not (await asyncio.wait({entering}, timeout=_POLL_SECONDS))[0]:
            if await request.is_disconnected():
                raise ClientGoneError
    finally:
        if not entering.done():
            entering.cancel()
            await asyncio.wait({entering})
    await entering


def _end(store: Store, statement: Statement) -> None:
    SQL_CANCELLED.inc()
    try:
        cancel(store, statement)
    except StoreError as error:
        _log.warning("statement_cancel_failed", error=str(error))
