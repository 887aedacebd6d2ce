"""Media files: what is known of one by its content's SHA-256, and which bytes of it a request asks for."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from stepwell_query.errors import MediaNotFoundError, RangeError, RequestError
from stepwell_schemas.clickhouse.store import Store

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_RANGE: Final = re.compile(r"bytes=(?P<first>[0-9]*)-(?P<last>[0-9]*)")
_MAX_DIGITS: Final = 18
PAGE_TYPES: Final = frozenset({"text/html", "text/html; charset=utf-8", "text/html;charset=utf-8"})
"""Media types of files that `/page` shows."""

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
"""The media types that an element of the page shows, and the endings of their files' names.

All others are sent as bytes to download. A type is one of these exactly: of `image/png, text/html` some browsers take
the latter.
"""

_SVG: Final = "image/svg+xml"
_BYTES: Final = "application/octet-stream"
_SANDBOX: Final = "sandbox; default-src 'none'"
_PAGE_SANDBOX: Final = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "style-src 'unsafe-inline' data: blob:; img-src data: blob:; media-src data: blob:; font-src data:; "
    "connect-src data: blob:; worker-src data: blob:; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
"""A page's own scripts run, in an origin that is nobody's, and nothing comes over the network."""

_SAFETY: Final = {
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-dns-prefetch-control": "off",
}

_FILE: Final = """
SELECT size, toString(content_type) AS content_type FROM {db}.media_files
WHERE sha256 = {sha256:String} ORDER BY version LIMIT 1
"""
_REFERENCE: Final = """
SELECT concat(entity, '/', project, '/', run_id) AS run, toString(key) AS key, step FROM {db}.points_media
WHERE hasToken(value, {sha256:String}) LIMIT 1
"""


class MediaFile(NamedTuple):
    """A media file: its name, its bytes' count and its media type."""

    sha256: str
    size: int
    content_type: str


class ByteRange(NamedTuple):
    """The bytes [start, end) of a file; `partial` when they were asked for as a range."""

    start: int
    end: int
    partial: bool


def check_sha256(text: str) -> str:
    """Return a file's name. Raises: RequestError."""
    if _SHA256.fullmatch(text) is None:
        rule, remedy = "is no SHA-256", "send the 64 lower-case hexadecimal digits that the reference gives"
        raise RequestError("sha256", text, rule, remedy)
    return text


def read_media_file(store: Store, sha256: str, max_seconds: float) -> MediaFile:
    """Return what is known of a file that is stored.

    Raises:
        MediaNotFoundError: saying whether a logged value refers to it. StoreError: when ClickHouse does not answer.
    """
    stored = store.query(_FILE, {"sha256": sha256}).to_pylist()
    if stored:
        return MediaFile(sha256, stored[0]["size"], stored[0]["content_type"])
    limit = f"SETTINGS max_execution_time = {max_seconds:f}"
    references = store.query(f"{_REFERENCE} {limit}", {"sha256": sha256}).to_pylist()
    if references:
        first = references[0]
        where = f"run {first['run']} refers to it (key {first['key']!r}, step {first['step']})"
        raise MediaNotFoundError("pending", f"file {sha256} has not arrived: {where}, but its bytes are not here yet")
    raise MediaNotFoundError("unknown", f"file {sha256} is not known: no logged value refers to it")


def media_gone(sha256: str) -> MediaNotFoundError:
    """Return the error that says that a file was stored and its bytes are no more."""
    return MediaNotFoundError("gone", f"file {sha256} is gone: it was stored, and the media store has it no more")


def parse_range(header: str | None, size: int) -> ByteRange:
    """Return which bytes a Range header asks for: one range in bytes; of anything else, the whole file.

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
    """Return the media type that a file is sent as, whatever it was stored as."""
    plain = content_type.strip().lower()
    return plain if plain in _INERT else _BYTES


def safety_headers(sha256: str, content_type: str) -> dict[str, str]:
    """Return the headers that keep a file from acting as a page of this service.

    Pictures and sounds are for elements of a page. Anything else is a download, and so is SVG, a document in a frame or
    a tab of its own; in an image element it shows all the same.
    """
    served = served_type(content_type)
    kept = served != _BYTES and served != _SVG
    name = f"{sha256[:12]}.{_INERT.get(served, 'bin')}"
    disposition = f'{"inline" if kept else "attachment"}; filename="{name}"'
    stored = content_type if content_type.isascii() and content_type.isprintable() else _BYTES
    return {
        **_SAFETY,
        "content-security-policy": _SANDBOX,
        "content-disposition": disposition,
        "stepwell-media-type": stored.strip() or _BYTES,
    }


def page_headers() -> dict[str, str]:
    """Return the headers under which a logged HTML file runs its scripts and reaches nothing, the network included."""
    return {**_SAFETY, "content-security-policy": _PAGE_SANDBOX}
