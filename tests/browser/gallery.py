"""A gallery of the page's states, in both themes and at a phone's width: `make screenshots`.

The pictures and `index.html` are in build/screenshots/gallery. Those of docs/page.md are written to docs/images.
"""

from __future__ import annotations

import html
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from browser import test_compare, test_media, test_ranks, test_run_page, test_take_away, test_workspace
from browser.conftest import SHOTS
from browser.window import Site, Window, project_url
from support.paths import ROOT

pytestmark = pytest.mark.timeout(3_600)

# Fixtures of the tests, by the name that pytest finds them by.
sweep, media, job, run = test_compare.sweep, test_media.media, test_ranks.job, test_run_page.run
two, tour = test_take_away.two, test_workspace.tour

FOLDER: Final = SHOTS / "gallery"
IMAGES: Final = ROOT / "docs" / "images"
WIDE: Final = (1280, 800)
PHONE: Final = {"width": 400, "height": 800}
VARIANTS: Final = ("light", "dark", "phone")
_COLORS: Final = 128
"""Colours of a picture in the documents: enough for charts, and a third of the size."""


@dataclass(frozen=True)
class State:
    """A state of the page.

    Attributes:
        ready: a selector of what must be visible.
        act: brings the page into the state, once it is ready.
        document: the name of its picture in docs/images, if docs/page.md shows it.
    """

    name: str
    address: str
    ready: str
    act: Callable[[Page], object] | None = None
    document: str = ""


def _hover_chart(page: Page) -> None:
    box = page.locator(".chart .u-over").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.5)
    expect(page.locator(".tooltip")).to_be_visible()


def _click(name: str) -> Callable[[Page], object]:
    return lambda page: page.get_by_role("button", name=name).first.click()


def _open_menu(page: Page) -> None:
    page.locator(".panel").first.hover()
    page.get_by_role("button", name="Menu of").first.click()
    expect(page.get_by_role("menu")).to_be_visible()


def _open_editor(page: Page) -> None:
    page.get_by_role("button", name="New chart").click()
    for key in ("train/loss", "lr"):
        page.get_by_role("checkbox", name=key, exact=True).check()
    page.get_by_label("Axis of lr").select_option("right")


def _side_by_side(page: Page) -> None:
    page.locator(".tile .image").first.click()
    page.get_by_role("button", name="Side by side").click()


def _search(label: str, text: str) -> Callable[[Page], object]:
    def act(page: Page) -> None:
        page.get_by_role("searchbox", name=label).fill(text)
        expect(page.locator(".search-error:visible, .field-error:visible").first).to_be_visible()

    return act


_THIRTY: Final = f"{project_url('thirty')}?show={','.join(f'run-{number:02d}' for number in range(test_compare.RUNS))}"
_TOUR: Final = project_url(test_workspace.PROJECT)
_TWO: Final = project_url("to take away")
_MEDIA: Final = project_url("media")
_RUN: Final = "/me/pages/run"
_JOB: Final = "/me/jobs/ranks"
_CHART: Final = "chart=train/loss,lr;r=lr;rlog;t=Loss%20and%20rate"
_DRAWN: Final = ".chart canvas"
_COMPARED: Final = ".compare-table tbody tr"
_ROW: Final = ".runs-table td"

STATES: Final = (
    State("projects", "/", "table.plain tbody tr"),
    State("entity-not-found", "/stranger", ".empty"),
    State("project-not-found", project_url("nothing here"), ".empty"),
    State("run-not-found", "/me/thirty/none", ".empty"),
    State("nothing-logged", project_url("silent"), ".empty"),
    State("charts", _TOUR, _DRAWN),
    State("charts-of-30-runs", f"{_THIRTY}&base=run-04", _DRAWN, _hover_chart, "page-charts"),
    State("legend-and-smoothing", f"{_TOUR}?legend=1&smooth=ema:0.9", _DRAWN),
    State("groups", f"{_TOUR}?group=tags", _DRAWN),
    State("zoom-and-solo", f"{_TOUR}?zoom=_step:100..900&solo=run%202&legend=1", _DRAWN),
    State("no-values-in-range", f"{_TOUR}?zoom=_step:100000..200000", ".panel-status:visible"),
    State("no-axis", f"{_TOUR}?x=epoch", ".panel-status:visible"),
    State("logarithmic", f"{_TOUR}?logy=1&logx=1", _DRAWN),
    State("enlarged", f"{_TOUR}?full=line%3Aloss", "dialog .chart canvas"),
    State("run-search-error", _TOUR, _DRAWN, _search("Search runs", "config.lr >")),
    State("metric-search-error", _TOUR, _DRAWN, _search("Search metrics", "(")),
    State("colours", _TOUR, _DRAWN, _click("Colour of")),
    State("keys", _TOUR, _DRAWN, lambda page: page.keyboard.press("?")),
    State("menu", _TOUR, _DRAWN, _open_menu),
    State("table", f"{_TOUR}?table=1", _ROW),
    State("table-with-baseline", f"{_THIRTY}&table=1&base=run-04&sort=diverged", _ROW),
    State("columns", f"{_TOUR}?table=1", _ROW, _click("Choose columns")),
    State("compare", f"{_THIRTY}&compare=diff&base=run-04&sort=diverged", _COMPARED, document="page-compare"),
    State("compare-all", f"{project_url('thirty')}?show=run-01,run-07,run-13&compare=all", _COMPARED),
    State("own-chart", f"{_TWO}?{_CHART}", _DRAWN),
    State("own-chart-enlarged", f"{_TWO}?{_CHART}&full=chart%3A0", "dialog .chart canvas", None, "page-own-chart"),
    State("chart-editor", _TWO, _DRAWN, _open_editor),
    State("media", _MEDIA, ".tile"),
    State("picture", f"{_MEDIA}?q=^seen$", ".tile .image", lambda page: page.locator(".tile .image").first.click()),
    State("side-by-side", f"{_MEDIA}?q=^seen$", ".tile .image", _side_by_side, "page-side-by-side"),
    State("run", _RUN, _DRAWN),
    State("run-overview", f"{_RUN}?tab=overview", ".about dd"),
    State("run-system", f"{_RUN}?tab=system", _DRAWN),
    State("run-console", f"{_RUN}?tab=console", ".line"),
    State("run-files", f"{_RUN}?tab=files", "td"),
    State("run-conflicts", f"{_RUN}?tab=conflicts", "td"),
    State("ranks-as-lines", f"{_JOB}?ranks=lines", _DRAWN),
    State("ranks-as-band", f"{_JOB}?ranks=band", _DRAWN),
    State("ranks", f"{_JOB}?tab=ranks", ".slowest-rank"),
)


@pytest.fixture(scope="module")
def data(site: Site, sweep: str, media: str, job: str, run: str, two: str, tour: str) -> set[str]:
    """The data of all states; return the addresses that have it."""
    site.writer("silent", "first", display_name="the first")
    return {sweep, media, job, run, two, tour}


def enter(page: Page, state: State) -> None:
    """Bring a page into its state."""
    expect(page.locator(state.ready).first).to_be_visible()
    if state.act:
        state.act(page)


def shoot(page: Page) -> bytes:
    """Return a picture as PNG, once no chart waits for its values, and images are decoded."""
    expect(page.locator(".waiting")).to_have_count(0)
    page.evaluate("() => Promise.all([...document.images].map((image) => image.decode().catch(() => null)))")
    for _ in range(4):
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 60)))")
    return page.screenshot()


def take(view: Window, state: State) -> dict[str, bytes]:
    """Bring a window into a state; return its pictures by variant."""
    page = view.page
    enter(page, state)
    pictures = {"light": shoot(page)}
    page.emulate_media(color_scheme="dark")
    pictures["dark"] = shoot(page)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    if state.act:
        # Menus and tooltips are placed when they open.
        page.goto(view.site.url + state.address)
        enter(page, state)
    pictures["phone"] = shoot(page)
    return pictures


def write_index(folder: Path) -> None:
    """Write a page with all pictures, the variants of a state next to each other."""
    rows = "".join(
        f"<h2>{html.escape(state.name)}</h2><p>"
        + "".join(f'<img src="{state.name}-{variant}.png" alt="{state.name}, {variant}">' for variant in VARIANTS)
        for state in STATES
    )
    style = "<style>img{height:480px;border:1px solid #888;margin:4px}body{font-family:sans-serif}</style>"
    (folder / "index.html").write_text(f"<!doctype html><meta charset=utf-8><title>Gallery</title>{style}{rows}")


@pytest.fixture(scope="module")
def folder() -> Path:
    """The folder of the gallery, with its index."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    write_index(FOLDER)
    return FOLDER


def test_the_addresses_have_the_data(data: set[str]) -> None:
    assert data == {project_url("thirty"), _MEDIA, _JOB, _RUN, _TWO, _TOUR}


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
def test_gallery(window: Callable[..., Window], state: State, folder: Path) -> None:
    view = window(state.address, size=WIDE, allowed=("404", "422", "Failed to load"))
    pictures = take(view, state)
    for variant, picture in pictures.items():
        (folder / f"{state.name}-{variant}.png").write_bytes(picture)
    if state.document:
        image = Image.open(io.BytesIO(pictures["light"])).convert("RGB")
        small = image.quantize(_COLORS, dither=Image.Dither.NONE)
        small.save(IMAGES / f"{state.document}.png", optimize=True)
