"""The web page's files: their version, their compressed forms, and their security headers.

Every file is served below `/-/assets/<version>/`, where the version is a hash of all files: browsers may cache a file
without limit, and a new release has new URLs. The document itself is revalidated on each visit by its ETag.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

import cramjam

WEB: Final = Path(__file__).with_name("web")
ASSETS: Final = "/-/assets"
"""URL prefix of the page's files; no entity can be named `-`."""

_DOCUMENT: Final = "index.html"
_DOCS: Final = "docs/docs.html"
_SIGN_IN: Final = "signin.html"
_NEEDED: Final = ("vendor/uPlot.js", "vendor/plotly.js", "vendor/swagger-ui.js")
RARE: Final = (
    "css/extras.css",
    "css/signin.css",
    "docs/docs.js",
    "frame/plotly.css",
    "frame/plotly.html",
    "frame/plotly.js",
    "js/charts/export_csv.js",
    "js/charts/export_svg.js",
    "js/charts/histogram.js",
    "js/media/figure_frames.js",
    "js/media/images.js",
    "js/media/lightbox.js",
    "js/media/media_views.js",
    "js/media/missing_file.js",
    "js/media/pan_zoom.js",
    "js/media/table_view.js",
    "js/pages/run_console.js",
    "js/pages/run_overview.js",
    "js/pages/run_ranks.js",
    "js/panels/chart_editor.js",
    "js/panels/media_panel.js",
    "js/panels/panel_menu.js",
    "js/panels/rows_cache.js",
    "js/panels/rows_panel.js",
    "js/panels/take_away.js",
    "js/panels/text_panel.js",
    "js/runs/column_dialog.js",
    "js/runs/compare_view.js",
    "js/runs/comparison.js",
    "js/runs/comparison_markdown.js",
    "js/runs/run_tables.js",
    "js/runs/table_csv.js",
    "js/series/rank_stats.js",
    "js/types.js",
    "js/ui/clipboard.js",
    "js/ui/csv.js",
    "js/ui/download.js",
    "js/ui/style_sheet.js",
    "vendor/plotly.js",
    "vendor/swagger-ui.css",
    "vendor/swagger-ui.js",
    "js/runs/change_dialog.js",
)
"""Files that the page loads only when they are needed; `types.js` has nothing but types."""

_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_BROTLI_LEVEL: Final = 9
_MODULE: Final = re.compile(r"js/.+\.js")

PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self'; "
    "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page runs only its own files, and can't be embedded in other pages."""

DOCS_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Swagger UI uses inline styles; it connects to this service only."""

FRAME_POLICY: Final = (
    "sandbox allow-scripts; default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""Frames that draw users' figures run in an opaque origin and load nothing from the network but their scripts."""


class AssetsMissingError(Exception):
    """The page's libraries `names` are not installed; the message has the remedy."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        super().__init__(f"the page's libraries are missing ({', '.join(names)}): run `make assets`")


@dataclass(frozen=True)
class Asset:
    """One file to serve; `forms` has its compressed forms by content coding."""

    name: str
    content: bytes
    forms: dict[str, bytes] = field(default_factory=dict, compare=False)

    @property
    def content_type(self) -> str:
        """The media type, by the file name's suffix."""
        return _TYPES[Path(self.name).suffix]

    @cached_property
    def etag(self) -> str:
        """A weak validator, equal for all content codings."""
        return f'W/"{hashlib.sha256(self.content).hexdigest()[:32]}"'

    def encoded(self, accepted: str) -> tuple[bytes, str]:
        """Return the bytes and content coding ("": none) for an Accept-Encoding header; compressed forms are cached."""
        codings = {part.split(";")[0].strip() for part in accepted.lower().split(",") if "q=0" not in part.split(";")}
        for coding in ("br", "gzip"):
            if coding in codings:
                if coding not in self.forms:
                    self.forms[coding] = _compress(self.content, coding)
                return self.forms[coding], coding
        return self.content, ""


def _compress(content: bytes, coding: str) -> bytes:
    if coding == "br":
        return bytes(cramjam.brotli.compress(content, level=_BROTLI_LEVEL))
    return gzip.compress(content, mtime=0)


@dataclass(frozen=True)
class Page:
    """All files of the page by name, their version, its document, and those of the API reference and the sign-in."""

    version: str
    assets: Mapping[str, Asset]
    document: Asset
    docs: Asset
    sign_in: Asset

    def compress(self) -> None:
        """Compress the files that every visit loads, which takes about 0.2 seconds."""
        for name, asset in self.assets.items():
            if name not in RARE:
                asset.encoded("br")

    @classmethod
    def read(cls, folder: Path = WEB) -> Page:
        """Read the files of a folder. Raises: AssetsMissingError when libraries are missing."""
        missing = [name for name in _NEEDED if not (folder / name).is_file()]
        if missing:
            raise AssetsMissingError(missing)
        assets = {asset.name: asset for asset in _files(folder)}
        digest = hashlib.sha256()
        for name in sorted(assets):
            digest.update(name.encode() + b"\0" + assets[name].content + b"\0")
        version = digest.hexdigest()[:16]
        documents = [_document(folder, name, version, sorted(assets)) for name in (_DOCUMENT, _DOCS, _SIGN_IN)]
        return cls(version, assets, *documents)


def _files(folder: Path) -> Iterator[Asset]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and path.suffix in _TYPES and name not in (_DOCUMENT, _DOCS, _SIGN_IN):
            yield Asset(name, path.read_bytes())


def _document(folder: Path, document: str, version: str, names: list[str]) -> Asset:
    """Return a document with the URL of the files, and preload links so that modules load in parallel."""
    base = f"{ASSETS}/{version}"
    modules = [name for name in names if _MODULE.fullmatch(name) and name not in RARE]
    preloads = "\n".join(f'<link rel="modulepreload" href="{base}/{name}">' for name in modules)
    text = (folder / document).read_text(encoding="utf-8")
    return Asset(document, text.replace("{{assets}}", base).replace("{{preloads}}", preloads).encode())
