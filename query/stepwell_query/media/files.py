"""Media files: metadata by SHA-256, byte ranges, and security headers."""

# ruff: noqa: S608 - statements are put together from constants; values travel as parameters.

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from stepwell_query.errors import MediaNotFoundError, RangeError, RequestError
from stepwell_schemas.access.conditions import RESOURCES_CONDITION, resources_parameters
from stepwell_schemas.access.grants import Resource
from stepwell_schemas.clickhouse.store import Store

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_RANGE: Final = re.compile(r"bytes=(?P<first>[0-9]*)-(?P<last>[0-9]*)")
_MAX_DIGITS: Final = 18
PAGE_TYPES: Final = frozenset({"text/html", "text/html; charset=utf-8", "text/html;charset=utf-8"})
"""Media types of files that `/page` serves."""

_INERT: Final = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/avif": "avif",
    "image/bmp": "bmp",
    "image/svg+xml": "svg",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/flac": "flac",
    "audio/x-flac": "flac",
    "audio/aac": "aac",
    "audio/mp4": "m4a",
    "audio/webm": "weba",
    "video/mp4": "mp4",
    "video/webm": "webm",
    "video/ogg": "ogv",
    "video/quicktime": "mov",
}
"""Media types that elements of the page display, and the suffixes of their files.

All others are sent as bytes for download. A type must match exactly: some browsers read `image/png, text/html` as the
latter.
"""

_SVG: Final = "image/svg+xml"
_BYTES: Final = "application/octet-stream"
_SANDBOX: Final = "sandbox; default-src 'none'"
_PAGE_SANDBOX: Final = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "style-src 'unsafe-inline' data: blob:; img-src data: blob:; media-src data: blob:; font-src data:; "
    "connect-src data: blob:; worker-src data: blob:; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
"""The page's own scripts run in an opaque origin without network access."""

_SAFETY: Final = {
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-dns-prefetch-control": "off",
}

# Each run that logs a file has a row, also where another run has logged the same bytes.
_FILE: Final = f"""
SELECT size, toString(content_type) AS content_type, removed FROM {{db}}.media_files FINAL
WHERE sha256 = {{sha256:String}} AND {RESOURCES_CONDITION} ORDER BY removed, version LIMIT 1
"""
_REFERENCE: Final = f"""
SELECT concat(entity, '/', project, '/', run_id) AS run, toString(key) AS key, step FROM {{db}}.points_media
WHERE hasToken(value, {{sha256:String}}) AND {RESOURCES_CONDITION} LIMIT 1
"""


class MediaFile(NamedTuple):
    """A media file: its SHA-256, its size in bytes and its media type."""

    sha256: str
    size: int
    content_type: str


class ByteRange(NamedTuple):
    """The bytes [start, end) of a file; `partial` if a Range header requested them."""

    start: int
    end: int
    partial: bool


def check_sha256(text: str) -> str:
    """Return a valid SHA-256. Raises: RequestError."""
    if _SHA256.fullmatch(text) is None:
        rule, remedy = "is not a SHA-256", "send the 64 lower-case hexadecimal digits of the reference"
        raise RequestError("sha256", text, rule, remedy)
    return text


def read_media_file(
    store: Store, sha256: str, max_seconds: float, readable: Sequence[Resource] = (Resource(),)
) -> MediaFile:
    """Return the metadata of a stored file.

    Args:
        readable: only files and values of runs of these resources exist.

    Raises:
        MediaNotFoundError: when it is not stored; its state depends on whether a logged value refers to it.
        StoreError: when ClickHouse does not answer.
    """
    parameters = {"sha256": sha256, **resources_parameters(readable)}
    stored = store.query(_FILE, parameters).to_pylist()
    if stored and stored[0]["removed"]:
        raise MediaNotFoundError("gone", f"file {sha256} is removed: its project keeps media files no longer")
    if stored:
        return MediaFile(sha256, stored[0]["size"], stored[0]["content_type"])
    limit = f"SETTINGS max_execution_time = {max_seconds:f}"
    references = store.query(f"{_REFERENCE} {limit}", parameters).to_pylist()
    if references:
        first = references[0]
        where = f"run {first['run']} refers to it (key {first['key']!r}, step {first['step']})"
        raise MediaNotFoundError("pending", f"file {sha256} has not arrived: {where}, but it is not stored yet")
    raise MediaNotFoundError("unknown", f"file {sha256} is not known: no logged value refers to it")


def media_gone(sha256: str) -> MediaNotFoundError:
    """Return the error for a file that was stored and has been deleted."""
    return MediaNotFoundError(
        "gone", f"file {sha256} is gone: it was stored, and has been deleted from the media store"
    )


def parse_range(header: str | None, size: int) -> ByteRange:
    """Parse a Range header; return the whole file for anything but a single range of bytes.

    Raises:
        RangeError: when the range lies outside the file.
    """
    whole_file = ByteRange(0, size, partial=False)
    match = None if header is None else _RANGE.fullmatch(header.strip())
    if match is None or max(len(match["first"]), len(match["last"])) > _MAX_DIGITS:
        return whole_file
    first, last = match["first"], match["last"]
    if not first and not last:
        return whole_file
    if first and last and int(first) > int(last):
        return whole_file
    start = int(first) if first else max(size - int(last), 0)
    end = min(int(last) + 1, size) if first and last else size
    if start >= end:
        raise RangeError(size)
    return ByteRange(start, end, partial=True)


def served_type(content_type: str) -> str:
    """Return the media type under which a file of some logged type is served."""
    plain = content_type.strip().lower()
    return plain if plain in _INERT else _BYTES


def safety_headers(sha256: str, content_type: str) -> dict[str, str]:
    """Return the headers that prevent a file from acting as a page of this service.

    Images, audio and video are for elements of a page, all other files are downloads. SVG is a download too, since it
    is an active document in a frame or tab; image elements display it nevertheless.
    """
    served = served_type(content_type)
    inline = served != _BYTES and served != _SVG
    name = f"{sha256[:12]}.{_INERT.get(served, 'bin')}"
    disposition = f'{"inline" if inline else "attachment"}; filename="{name}"'
    stored = content_type if content_type.isascii() and content_type.isprintable() else _BYTES
    return {
        **_SAFETY,
        "content-security-policy": _SANDBOX,
        "content-disposition": disposition,
        "stepwell-media-type": stored.strip() or _BYTES,
    }


def page_headers() -> dict[str, str]:
    """Return the headers with which a logged HTML file runs its scripts without network access."""
    return {**_SAFETY, "content-security-policy": _PAGE_SANDBOX}
