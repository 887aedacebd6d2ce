"""SQL statements of users."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from stepwell_query.api.cancellation import canceller, run_until_disconnect
from stepwell_query.api.dependencies import Context, ContextDep
from stepwell_query.api.negotiation import encode_response, negotiate_format
from stepwell_query.api.params.common import AnyFormat, SqlBody
from stepwell_query.encoding import Format
from stepwell_query.errors import ClientGoneError, RequestError, TooBusyError
from stepwell_query.sql.execute import answer_bytes, prepare, run
from stepwell_query.sql.recording import CANCELLED_STATUS, record_statement
from stepwell_query.sql.scope import limited_client, row_scope
from stepwell_query.telemetry import SQL_CANCELLED
from stepwell_schemas.access.authorize import Target, requires
from stepwell_schemas.access.grants import Scope
from stepwell_schemas.access.routes import AccessRoute, IdentityDep
from stepwell_schemas.errors import StoreError, StoreRejectedError

router = APIRouter(prefix="/api/v1", tags=["sql"], route_class=AccessRoute)
_POLL_SECONDS: Final = 0.25


@router.post("/sql")
@requires(Scope.READ, Target.ANYTHING)
async def sql(
    body: SqlBody,
    context: ContextDep,
    request: Request,
    identity: IdentityDep,
    named: Annotated[AnyFormat, Query(alias="format")] = None,
) -> Response:
    """Run one statement that reads the public views, within limits of time, rows, size and memory.

    ClickHouse leaves out the rows that the key may not read, wherever the statement reads them.

    Pass values in `parameters` and refer to them as `{name:Type}` in the statement. The JSON answer has `columns` (name
    and type) and `rows` (arrays in the order of the columns). The statement is cancelled if the client disconnects.
    """
    fmt = negotiate_format(request, named, tuple(Format))
    address = request.client.host if request.client else ""
    scope = row_scope(identity)

    async with AsyncExitStack() as stack:
        recording = record_statement(context.audit, identity, address, body.sql, _status, "api")
        outcome = stack.enter_context(recording)
        await _enter(stack, context, request, limited_client(identity, address))
        statement = await context.in_thread(prepare, context.store, body.sql, body.parameters, scope)

        def read() -> bytes:
            table = run(context.store, statement, context.settings)
            outcome.rows = table.num_rows
            return answer_bytes(table, fmt)

        end = canceller(SQL_CANCELLED, partial(statement.mark.end, context.store))
        answer = await run_until_disconnect(context, request, read, end)
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


def _status(error: Exception) -> int:
    """Return the status of the answer to a statement that fails, for the audit log."""
    match error:
        case RequestError():
            return 422
        case ClientGoneError():
            return CANCELLED_STATUS
        case StoreRejectedError():
            return 500
        case TooBusyError() | StoreError():
            return 503
    return 500
