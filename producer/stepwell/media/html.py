"""`Html`: a page from text, a file, or a chart that its library exports as HTML."""

from __future__ import annotations

import re
import sys
from io import BytesIO, StringIO
from typing import Any, ClassVar, Final

from stepwell.errors import UnstorableError
from stepwell.media.base import Keep, Media, file_reference
from stepwell.media.detect import detect_library
from stepwell.media.sources import FileSource, Snapshot, is_file_source
from stepwell_schemas.rules.kinds import Kind

_ENDINGS: Final = (".html", ".htm")
_HEAD: Final = re.compile(rb"<head(\s[^>]*)?>", re.IGNORECASE)
_HTML: Final = re.compile(rb"<html(\s[^>]*)?>", re.IGNORECASE)
_DOCTYPE: Final = re.compile(rb"\s*<!doctype[^>]*>", re.IGNORECASE)
# Links open outside the frame; the page's own styles come later and take precedence.
_INJECTED: Final = (
    b'<base target="_blank"><meta charset="utf-8"><style>body{margin:0;font-family:system-ui,sans-serif}</style>'
)


class Html(Media):
    """An HTML page, shown in a sandboxed frame: its scripts run, without access to the surrounding page.

    Args:
        data: text; a path to a .html file (read when it is logged); bytes; an open file; a Bokeh, Panel or HoloViews
            object, which its library exports immediately.
        inject: insert a base element and a plain style before the page's own head.
        data_is_not_path: treat text as HTML even if it looks like a path.
    """

    kind: ClassVar[Kind] = Kind.HTML

    def __init__(self, data: Any, inject: bool = True, data_is_not_path: bool = False) -> None:
        self._inject = inject
        self._source: FileSource | None = None
        self._text: Snapshot[bytes] | None = None
        if isinstance(data, str) and (data_is_not_path or not _is_path(data)):
            self._text = Snapshot(data.encode)
        elif is_file_source(data):
            self._source = FileSource(data)
        else:
            self._text = Snapshot(lambda: _render_page(data).encode())

    def take(self, keep: Keep) -> dict[str, Any]:
        """Store the page; see `Media.take`."""
        if self._text is not None:
            content = self._text.get()
        else:
            assert self._source is not None  # noqa: S101 - a page has text or a source
            content = self._source.read(keep)
        return file_reference(keep, _with_head(content) if self._inject else content, "text/html")


def _is_path(text: str) -> bool:
    """Return whether text is a path: one line with the extension of a page and without markup."""
    return text.lower().endswith(_ENDINGS) and "<" not in text and "\n" not in text


def _with_head(content: bytes) -> bytes:
    for pattern, before, after in ((_HEAD, b"", b""), (_HTML, b"<head>", b"</head>"), (_DOCTYPE, b"", b"")):
        match = pattern.match(content) if pattern is _DOCTYPE else pattern.search(content)
        if match is not None:
            return content[: match.end()] + before + _INJECTED + after + content[match.end() :]
    return _INJECTED + content


def _render_page(chart: Any) -> str:
    """Return a chart as a page, exported by its own library. Raises: UnstorableError if that is not supported."""
    library = detect_library(chart)
    # The library's scripts are part of the page: a page that is shown loads nothing over the network.
    if library == "bokeh":
        from bokeh.embed import file_html
        from bokeh.resources import INLINE

        return str(file_html(chart, INLINE))
    if library == "panel":
        from bokeh.resources import INLINE

        text = StringIO()
        chart.save(text, resources=INLINE)
        return text.getvalue()
    if library == "holoviews":
        page = BytesIO()
        sys.modules["holoviews"].save(chart, page, fmt="html", resources="inline")
        return page.getvalue().decode()
    raise UnstorableError(f"a {type(chart).__name__} is not a page: pass text, a path or an open file")
