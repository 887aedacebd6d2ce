"""Logged tables in pages."""

from __future__ import annotations

from typing import Annotated

import pyarrow as pa
from fastapi import APIRouter, Query, Response
from pydantic import Field

from stepwell_query.api.dependencies import Context, ContextDep
from stepwell_query.api.negotiation import encode_response
from stepwell_query.api.params.common import Parameters
from stepwell_query.encoding import Format, json_bytes
from stepwell_query.errors import RequestError
from stepwell_query.media.files import check_sha256, media_gone, read_media_file
from stepwell_query.media.tables import CONTENT_TYPE, TABLE_MAX_BYTES, TableRequest, read_table, table_page
from stepwell_schemas.access.authorize import Target, requires
from stepwell_schemas.access.grants import Scope
from stepwell_schemas.access.identity import Identity
from stepwell_schemas.access.routes import AccessRoute, IdentityDep
from stepwell_schemas.media_store import file_path

router = APIRouter(prefix="/api/v1", tags=["media"], route_class=AccessRoute)

_CELLS_MAX = 10_000


class TableQuery(Parameters):
    """The query of GET media rows."""

    offset: int = Field(0, ge=0, le=2**63 - 1, description="Rows to skip.")
    limit: int = Field(50, ge=1, le=1_000, description="Maximum rows of the page.")
    sort: str | None = Field(
        None,
        max_length=_CELLS_MAX,
        description="The column to sort by; by default the order in which rows were logged.",
    )
    descending: bool = Field(False, description="Sort in descending order.")
    search: str = Field(
        "", max_length=_CELLS_MAX, description="Text that a cell of the row must contain, ignoring case."
    )
    column: str | None = Field(None, max_length=_CELLS_MAX, description="Restrict the search to this column.")


@router.get("/media/{sha256}/rows")
@requires(Scope.READ, Target.ANYTHING)
async def table_rows(
    sha256: str, query: Annotated[TableQuery, Query()], context: ContextDep, identity: IdentityDep
) -> Response:
    """Return a page of a logged table's rows: `columns` (name and type), `rows` (lists of cells), `found`, `total`.

    Cells of type `media` are references with their `kind`, as in rows of a run.
    """
    table = await _table(check_sha256(sha256), context, identity)
    request = TableRequest(**query.model_dump())
    return encode_response(await context.in_thread(lambda: json_bytes(table_page(table, request))), Format.JSON)


async def _table(sha256: str, context: Context, identity: Identity) -> pa.Table:
    # Also for a cached table: its last run may have been deleted, or the key may not read it.
    seconds, readable = context.settings.query_max_seconds, identity.resources(Scope.READ)
    file = await context.in_thread(read_media_file, context.store, sha256, seconds, readable)
    cached = context.tables.get(sha256)
    if cached is not None:
        return cached
    if file.content_type != CONTENT_TYPE:
        raise RequestError("sha256", sha256, f"is not a table but {file.content_type}", "send the SHA-256 of a table")
    if file.size > TABLE_MAX_BYTES:
        rule = f"is a table of {file.size:,} bytes, more than the limit of {TABLE_MAX_BYTES:,} for pages"
        raise RequestError("sha256", sha256, rule, f"download /api/v1/media/{sha256}, a Parquet file")
    path = file_path(sha256)
    if await context.media.size(path) is None:
        raise media_gone(sha256)
    content = b"".join([part async for part in context.media.read(path, 0, file.size)])
    table = await context.in_thread(read_table, content)
    context.tables.put(sha256, table)
    return table
