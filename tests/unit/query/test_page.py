from __future__ import annotations

import gzip
import re
from pathlib import Path

import cramjam
import pytest

from stepwell_query.web_assets import RARE, AssetsMissingError, Page

PAGE_MAX_BYTES = 150_000


def a_folder(folder: Path) -> Path:
    """Return a small page."""
    for name, text in {
        "index.html": '<script src="{{assets}}/js/main.js"></script>{{preloads}}',
        "js/main.js": "export {};" * 100,
        "vendor/uPlot.js": "1",
        "vendor/plotly.js": "2",
        "vendor/swagger-ui.js": "4",
        "docs/docs.html": '<script src="{{assets}}/vendor/swagger-ui.js"></script>',
        "signin.html": '<link href="{{assets}}/css/signin.css">',
        "vendor/uPlot.LICENSE": "3",
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_the_document_names_its_files_by_version(tmp_path: Path) -> None:
    page = Page.read(a_folder(tmp_path))
    base = f"/-/assets/{page.version}"
    assert page.document.content.decode() == (
        f'<script src="{base}/js/main.js"></script><link rel="modulepreload" href="{base}/js/main.js">'
    )
    assert page.docs.content.decode() == f'<script src="{base}/vendor/swagger-ui.js"></script>'
    assert sorted(page.assets) == ["js/main.js", "vendor/plotly.js", "vendor/swagger-ui.js", "vendor/uPlot.js"]


def test_any_changed_file_is_another_version(tmp_path: Path) -> None:
    before = Page.read(a_folder(tmp_path))
    (tmp_path / "vendor" / "plotly.js").write_text("3")
    assert Page.read(tmp_path).version != before.version


def test_libraries_that_are_missing_are_named_with_the_remedy(tmp_path: Path) -> None:
    (a_folder(tmp_path) / "vendor" / "uPlot.js").unlink()
    with pytest.raises(AssetsMissingError) as caught:
        Page.read(tmp_path)
    assert caught.value.names == ["vendor/uPlot.js"]


def test_a_file_is_compressed_as_the_browser_takes_it(tmp_path: Path) -> None:
    asset = Page.read(a_folder(tmp_path)).assets["js/main.js"]
    content, coding = asset.encoded("gzip, deflate, br;q=1.0")
    assert (coding, bytes(cramjam.brotli.decompress(content))) == ("br", asset.content)
    content, coding = asset.encoded("gzip, br;q=0")
    assert (coding, gzip.decompress(content)) == ("gzip", asset.content)
    assert asset.encoded("identity") == (asset.content, "")


def test_what_every_visit_loads_is_compressed_ahead(tmp_path: Path) -> None:
    page = Page.read(a_folder(tmp_path))
    page.compress()
    assert {name for name, asset in page.assets.items() if "br" in asset.forms} == {"js/main.js", "vendor/uPlot.js"}


def test_the_page_weighs_little_without_what_few_visits_load() -> None:
    page = Page.read()
    sent = {name: len(asset.encoded("br")[0]) for name, asset in page.assets.items() if name not in RARE}
    assert sum(sent.values()) + len(page.document.encoded("br")[0]) < PAGE_MAX_BYTES, sent


def test_every_document_loads_what_is_served_here_alone() -> None:
    page = Page.read()
    served = {f"/-/assets/{page.version}/{name}" for name in page.assets}
    for document in (page.document, page.docs):
        loaded = re.findall(r'(?:src|href)="([^"]*)"', document.content.decode())
        assert len(loaded) >= 4
        assert set(loaded) - {"/docs", "#main"} <= served
