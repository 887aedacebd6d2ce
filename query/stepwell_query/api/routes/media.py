"""Media files by the SHA-256 of their content, complete or in ranges, cacheable without limit."""

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
from stepwell_schemas.access.authorize import Target, requires
from stepwell_schemas.access.grants import Scope
from stepwell_schemas.access.identity import Identity
from stepwell_schemas.access.routes import AccessRoute, IdentityDep
from stepwell_schemas.media_store import file_path

router = APIRouter(prefix="/api/v1", tags=["media"], route_class=AccessRoute)


@router.get("/media/{sha256}", response_class=Response)
@router.head("/media/{sha256}", response_class=Response, include_in_schema=False)
@requires(Scope.READ, Target.ANYTHING)
async def media(sha256: str, context: ContextDep, request: Request, identity: IdentityDep) -> Response:
    """Return a media file that a media value refers to, or one range of its bytes if `Range` is sent.

    Images, audio and video are sent with their media type, other files as `application/octet-stream` for download. The
    header `stepwell-media-type` has the media type that was logged.

    The `type` of a 404 gives the reason: `media-pending`, a logged value refers to the file, but it is not stored yet;
    `media-gone`, the file was stored and has been deleted; `media-unknown`, no logged value refers to it. Files and
    values of runs that the key may not read do not exist for it.
    """
    file = await _file(context, sha256, identity)
    headers = safety_headers(sha256, file.content_type)
    return await _answer(context, request, file, served_type(file.content_type), headers)


@router.get("/media/{sha256}/page", response_class=Response)
@requires(Scope.READ, Target.ANYTHING)
async def page(sha256: str, context: ContextDep, request: Request, identity: IdentityDep) -> Response:
    """Return a logged HTML file as a page whose scripts run in an opaque origin without network access."""
    file = await _file(context, sha256, identity)
    if file.content_type.strip().lower() not in PAGE_TYPES:
        raise RequestError("sha256", sha256, "is not an HTML file", f"download /api/v1/media/{sha256}")
    return await _answer(context, request, file, "text/html; charset=utf-8", page_headers())


async def _file(context: Context, sha256: str, identity: Identity) -> MediaFile:
    check_sha256(sha256)
    seconds, readable = context.settings.query_max_seconds, identity.resources(Scope.READ)
    return await context.in_thread(read_media_file, context.store, sha256, seconds, readable)


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
    # If-Range with another entity tag: the answer is the complete file.
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
