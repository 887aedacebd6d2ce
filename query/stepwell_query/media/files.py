"""Media files: what is known of one by its content's SHA-256, and which bytes of it a request asks for."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from stepwell_query.errors import MediaNotFoundError, RangeError, RequestError
from stepwell_schemas.clickhouse.store import Store

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_RANGE: Final = re.compile(r"bytes=(?P<first>[0-9]*)-(?P<last>[0-9]*)")
_MAX_DIGITS: Final = 18
_INERT: Final = ("image/", "audio/", "video/")
_SANDBOX: Final = (
    "sandbox allow-scripts; default-src data: blob: https: 'unsafe-inline' 'unsafe-eval'; "
    "form-action 'none'; base-uri 'none'"
)

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


class Span(NamedTuple):
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
    found = store.query(_FILE, {"sha256": sha256}).to_pylist()
    if found:
        return MediaFile(sha256, found[0]["size"], found[0]["content_type"])
    limit = f"SETTINGS max_execution_time = {max_seconds:f}"
    references = store.query(f"{_REFERENCE} {limit}", {"sha256": sha256}).to_pylist()
    if references:
        first = references[0]
        where = f"run {first['run']} refers to it (key {first['key']!r}, step {first['step']})"
        raise MediaNotFoundError("pending", f"file {sha256} has not arrived: {where}, but its bytes are not here yet")
    raise MediaNotFoundError("unknown", f"file {sha256} is not known: no logged value refers to it")


def gone(sha256: str) -> MediaNotFoundError:
    """Return the error that says that a file was stored and its bytes are no more."""
    return MediaNotFoundError("gone", f"file {sha256} is gone: it was stored, and the media store has it no more")


def span_of(header: str | None, size: int) -> Span:
    """Return which bytes a Range header asks for: one range in bytes; of anything else, the whole file.

    Raises:
        RangeError: when the range lies outside the file.
    """
    whole = Span(0, size, partial=False)
    match = None if header is None else _RANGE.fullmatch(header.strip())
    if match is None or max(len(match["first"]), len(match["last"])) > _MAX_DIGITS:
        return whole
    first, last = match["first"], match["last"]
    if not first and not last:
        return whole
    if first and last and int(first) > int(last):
        return whole
    start = int(first) if first else max(size - int(last), 0)
    end = min(int(last) + 1, size) if first and last else size
    if start >= end:
        raise RangeError(size)
    return Span(start, end, partial=True)


def safety_headers(content_type: str) -> dict[str, str]:
    """Return the headers that keep a file from acting as a page of this service.

    A document (HTML, SVG) may run its scripts, which charts need, in an origin of its own: it reads nothing of ours.
    """
    headers = {"x-content-type-options": "nosniff"}
    if not content_type.startswith(_INERT) or "svg" in content_type:
        headers["content-security-policy"] = _SANDBOX
    return headers
