"""Media files by their content's SHA-256: whole, in ranges, and never asked for twice."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from starlette.responses import StreamingResponse

from stepwell_query.api.context import Shared
from stepwell_query.media.files import check_sha256, gone, read_media_file, safety_headers, span_of
from stepwell_schemas.media_store import file_path

router = APIRouter(prefix="/api/v1", tags=["media"])


@router.get("/media/{sha256}", response_class=Response)
@router.head("/media/{sha256}", response_class=Response, include_in_schema=False)
async def media(sha256: str, context: Shared, request: Request) -> Response:
    """Return a media file, as the references of media values name it; one range of bytes where `Range` asks for it.

    404 says why, in its `type` too: `media-pending`, a logged value refers to the file, whose bytes have not come;
    `media-gone`, it was stored and is no more; `media-unknown`, no logged value refers to it.
    """
    path = file_path(check_sha256(sha256))
    file = await context.in_thread(read_media_file, context.store, sha256, context.settings.query_max_seconds)
    etag = f'"{sha256}"'
    headers = {
        "etag": etag,
        "cache-control": "public, max-age=31536000, immutable",
        "accept-ranges": "bytes",
        **safety_headers(file.content_type),
    }
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    # A range of another version of the file would be asked for in vain: then the answer is the whole file.
    wanted = request.headers.get("range") if request.headers.get("if-range", etag) == etag else None
    span = span_of(wanted, file.size)
    if await context.media.size(path) is None:
        raise gone(sha256)
    headers["content-length"] = str(span.end - span.start)
    if span.partial:
        headers["content-range"] = f"bytes {span.start}-{span.end - 1}/{file.size}"
    status = 206 if span.partial else 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=file.content_type)
    chunks = context.media.read(path, span.start, span.end)
    return StreamingResponse(chunks, status_code=status, headers=headers, media_type=file.content_type)
