"""A user's own SQL."""

from __future__ import annotations

from typing import Annotated

import structlog
from fastapi import APIRouter, Query, Request, Response

from stepwell_query.context import Shared, chosen_format, encoded
from stepwell_query.encode import Format
from stepwell_query.metrics import SQL_CANCELLED
from stepwell_query.parameters import AnyFormat, SqlBody
from stepwell_query.sql import answer_bytes, cancel, prepare, run
from stepwell_schemas.errors import StoreError

router = APIRouter(prefix="/api/v1", tags=["sql"])
_log = structlog.get_logger("stepwell.query")


@router.post("/sql")
async def sql(
    body: SqlBody,
    context: Shared,
    request: Request,
    named: Annotated[AnyFormat, Query(alias="format")] = None,
) -> Response:
    """Run one statement that reads the public views; within limits of time, rows, size and memory.

    Values belong into `parameters`, written `{name:Type}` in the statement. The JSON answer has `columns` (name and
    type) and `rows` (arrays in the columns' order). A statement ends when whoever sent it leaves.
    """
    fmt = chosen_format(request, named, tuple(Format))
    statement = await context.in_thread(prepare, context.store, body.sql, body.parameters)

    def read() -> bytes:
        return answer_bytes(run(context.store, statement, context.settings), fmt)

    def gone() -> None:
        SQL_CANCELLED.inc()
        try:
            cancel(context.store, statement)
        except StoreError as error:
            _log.warning("statement_not_ended", error=str(error))

    return encoded(await context.while_wanted(request, read, gone), fmt)
