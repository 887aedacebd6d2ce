"""Media files by their content's SHA-256: whole, in ranges, and never asked for twice."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter, Request, Response
from starlette.responses import StreamingResponse

from stepwell_query.api.dependencies import Context, ContextDep
from stepwell_query.errors import RequestError
from stepwell_query.media.files import (
    PAGE_TYPES,
    MediaFile,
    check_sha256,
    media_gone,
    page_headers,
    parse_range,
    read_media_file,
    safety_headers,
    served_type,
)
from stepwell_schemas.media_store import file_path

router = APIRouter(prefix="/api/v1", tags=["media"])


@router.get("/media/{sha256}", response_class=Response)
@router.head("/media/{sha256}", response_class=Response, include_in_schema=False)
async def media(sha256: str, context: ContextDep, request: Request) -> Response:
    """Return a media file, as the references of media values name it; one range of bytes where `Range` asks for it.

    Pictures, sounds and videos have their media type; all else is sent as `application/octet-stream`, to download. The
    header `stepwell-media-type` has the type that the file was logged with.
    404 says why, in its `type` too: `media-pending`, a logged value refers to the file, whose bytes have not come;
    `media-gone`, it was stored and is no more; `media-unknown`, no logged value refers to it.
    """
    file = await _file(context, sha256)
    headers = safety_headers(sha256, file.content_type)
    return await _answer(context, request, file, served_type(file.content_type), headers)


@router.get("/media/{sha256}/page", response_class=Response)
async def page(sha256: str, context: ContextDep, request: Request) -> Response:
    """Return a logged HTML file as a page: its own scripts run, without an origin and without the network."""
    file = await _file(context, sha256)
    if file.content_type.strip().lower() not in PAGE_TYPES:
        raise RequestError("sha256", sha256, "is no page", f"download /api/v1/media/{sha256}")
    return await _answer(context, request, file, "text/html; charset=utf-8", page_headers())


async def _file(context: Context, sha256: str) -> MediaFile:
    check_sha256(sha256)
    return await context.in_thread(read_media_file, context.store, sha256, context.settings.query_max_seconds)


async def _answer(
    context: Context, request: Request, file: MediaFile, content_type: str, safety: Mapping[str, str]
) -> Response:
    path = file_path(file.sha256)
    etag = f'"{file.sha256}"'
    headers = {
        "etag": etag,
        "cache-control": "public, max-age=31536000, immutable",
        "accept-ranges": "bytes",
        **safety,
    }
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    # A range of another version of the file would be asked for in vain: then the answer is the whole file.
    range_header = request.headers.get("range") if request.headers.get("if-range", etag) == etag else None
    span = parse_range(range_header, file.size)
    if await context.media.size(path) is None:
        raise media_gone(file.sha256)
    headers["content-length"] = str(span.end - span.start)
    if span.partial:
        headers["content-range"] = f"bytes {span.start}-{span.end - 1}/{file.size}"
    status = 206 if span.partial else 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=content_type)
    chunks = context.media.read(path, span.start, span.end)
    return StreamingResponse(chunks, status_code=status, headers=headers, media_type=content_type)
