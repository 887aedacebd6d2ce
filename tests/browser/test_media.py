"""Media (V3): the slider, runs side by side, tables, sound, video, figures; pages that can't leave their frame."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import FrameLocator, Page, expect

from browser.window import Site, Window, project_url
from stepwell_schemas.rules.kinds import Kind
from support.servers.sdk import eventually

# The first test waits for a broker, and for a script that imports several large libraries.
pytestmark = pytest.mark.timeout(300)

Open = Callable[..., Window]
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def media(site: Site) -> str:
    """Two runs with media of every kind, and two projects of one value each, logged by a real script."""
    with site.sdk.start(HERE / "log_media.py") as process:
        _, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    for run in ("dim", "bright", "escape", "chart"):
        eventually(partial(site.sdk.state, run), "finished")
    return project_url("media")


def only(window: Open, media: str, key: str, **options: object) -> Window:
    """Open the page with one panel."""
    return window(f"{media}?q=^{key}$", **options)


def test_images_of_runs_stand_side_by_side_and_a_slider_walks_their_steps(window: Open, media: str) -> None:
    view = only(window, media, "picture")
    panel = view.panel("picture")
    expect(panel.locator(".tile-name")).to_have_text(["bright", "dim"])
    expect(panel.locator(".caption")).to_have_text(["step 2 of bright", "step 2 of dim"])
    slider = panel.get_by_role("slider", name="Step of picture")
    slider.press("ArrowLeft")
    expect(panel.locator(".caption")).to_have_text(["step 1 of bright", "step 1 of dim"])
    view.has_address("p=picture;@1")
    view.page.reload()
    expect(panel.locator(".caption")).to_have_text(["step 1 of bright", "step 1 of dim"])
    image = panel.get_by_role("img", name="step 1 of dim")
    assert image.evaluate("async (image) => { await image.decode(); return image.naturalWidth }") == 16
    slider.press("End")
    expect(panel.locator(".caption").first).to_have_text("step 2 of bright")
    view.page.get_by_role("checkbox", name="Show dim").uncheck()
    expect(panel.locator(".tile-name")).to_have_text(["bright"])


def test_a_picture_is_opened_zoomed_and_left_by_keys(window: Open, media: str) -> None:
    view = only(window, media, "picture", dark=True)
    panel = view.panel("picture")
    panel.get_by_role("img", name="step 2 of bright").click()
    dialog = view.page.get_by_role("dialog", name="Pictures of picture")
    title = dialog.locator(".lightbox-title")
    expect(title).to_have_text("bright · step 2")
    view.page.keyboard.press("ArrowLeft")
    expect(title).to_have_text("bright · step 1")
    view.has_address("p=picture;@1")
    view.page.keyboard.press("ArrowDown")
    expect(title).to_have_text("dim · step 1")
    image = dialog.get_by_role("img", name="step 1 of dim")
    before = image.bounding_box()
    assert before is not None
    assert before["height"] > 400
    view.page.keyboard.press("+")
    expect(dialog.locator(".lightbox-frame")).to_have_attribute("data-scale", "1.25")
    after = image.bounding_box()
    assert after is not None
    assert after["height"] == pytest.approx(before["height"] * 1.25, rel=0.01)
    assert view.violations() == {}
    view.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(panel.locator(".caption")).to_have_text(["step 1 of bright", "step 1 of dim"])


def test_two_pictures_are_side_by_side_and_zoomed_together(window: Open, media: str) -> None:
    view = only(window, media, "picture")
    view.panel("picture").get_by_role("img", name="step 2 of bright").click()
    dialog = view.page.get_by_role("dialog", name="Pictures of picture")
    dialog.get_by_role("button", name="Side by side").click()
    captions = dialog.locator(".caption:visible")
    expect(captions).to_have_text(["bright · step 2 · step 2 of bright", "dim · step 2 · step 2 of dim"])
    # The left one stays, the right one walks: also to another step of the same run.
    view.page.keyboard.press("ArrowLeft")
    view.page.keyboard.press("ArrowUp")
    expect(captions).to_have_text(["bright · step 2 · step 2 of bright", "bright · step 1 · step 1 of bright"])
    view.page.keyboard.press("+")
    frames = dialog.locator(".lightbox-frame")
    scales = "(frames) => frames.map((frame) => frame.firstElementChild.style.transform)"
    assert frames.evaluate_all(scales) == ["translate(0px, 0px) scale(1.25)"] * 2
    boxes = [frame.bounding_box() for frame in frames.all()]
    assert boxes[0] is not None
    assert boxes[1] is not None
    assert boxes[0]["width"] == pytest.approx(boxes[1]["width"], abs=1)
    assert boxes[0]["width"] > 500
    assert view.violations() == {}
    view.page.keyboard.press("s")
    expect(captions).to_have_text(["step 1 of bright"])


def test_media_are_thumbnails_in_the_table_of_runs(window: Open, media: str) -> None:
    columns = "summary.picture,summary.several,summary.tone,summary.weights,summary.loss"
    view = window(f"{media}?table=1&columns={columns}")
    cells = view.page.locator(".runs-table tbody tr", has_text="dim").locator("td")
    image = cells.nth(1).locator("img")
    assert image.evaluate("async (image) => { await image.decode(); return image.naturalWidth }") == 16
    assert image.evaluate("(image) => image.offsetHeight") <= 26
    expect(image).to_have_attribute("alt", re.compile(r"^picture: image · 16 × 16 · \d+ B$"))
    expect(cells.nth(2)).to_have_text("+1")
    expect(cells.nth(3)).to_have_text(re.compile(r"^audio · "))
    expect(cells.nth(4)).to_have_text("histogram")
    expect(cells.nth(5)).to_have_text("0.3333")


@pytest.mark.parametrize(("key", "shown"), [("picture", "img"), ("tone", "audio"), ("plotly", "iframe")])
def test_what_can_not_be_shown_is_told_and_tried_again(window: Open, media: str, key: str, shown: str) -> None:
    view = window("/", allowed=("503",))
    questions = ("**/history?*", "**/api/v1/media/*")
    for question in questions:
        view.page.route(question, lambda route: route.fulfill(status=503, json={"detail": "Out of order."}))
    view.page.goto(f"{view.site.url}{media}?q=^{key}$")
    panel = view.panel(key)
    expect(panel.locator(".panel-status")).to_contain_text("Out of order.")
    view.page.unroute(questions[0])
    panel.get_by_role("button", name="Try again").click()
    gone = panel.locator(".missing")
    expect(gone).to_have_count(2)
    view.page.unroute(questions[1])
    gone.first.get_by_role("button", name="Try again").click()
    expect(gone).to_have_count(1)
    expect(panel.locator(shown)).to_have_count(1)


def test_boxes_and_masks_lie_over_the_image(window: Open, media: str) -> None:
    view = only(window, media, "seen")
    tile = view.panel("seen").locator(".tile").first
    expect(tile.locator("svg.over rect")).to_have_attribute("x", "4")
    expect(tile.locator("svg.over text")).to_have_text("cat, sure 0.9")
    canvas = tile.locator("canvas.over")
    read = "(canvas, [x, y]) => canvas.getContext('2d').getImageData(x, y, 1, 1).data[3]"
    expect(canvas).to_have_attribute("aria-label", "Mask: cat")
    for _ in range(50):
        if canvas.evaluate(read, [5, 5]):
            break
        view.page.evaluate("() => new Promise(requestAnimationFrame)")
    assert canvas.evaluate(read, [5, 5]) > 0
    assert canvas.evaluate(read, [1, 1]) == 0
    view.panel("seen").get_by_role("button", name="Open the pictures of seen").click()
    dialog = view.page.get_by_role("dialog", name="Pictures of seen")
    expect(dialog.locator(".over")).to_have_count(2)
    dialog.get_by_role("button", name="Boxes guess").click()
    expect(dialog.locator("canvas.over")).to_have_count(1)
    expect(dialog.locator("svg.over")).to_have_count(0)
    expect(dialog.get_by_role("button", name="Boxes guess")).to_be_focused()


def test_sound_and_video_play(window: Open, media: str) -> None:
    view = window(f"{media}?q=^(tone|walk|several|cloud|list|said|weights)$", size=(1280, 1_800))
    sound = view.panel("tone").locator("audio").first
    played = "async (one) => { one.muted = true; await one.play(); return one.duration }"
    assert sound.evaluate(played) == pytest.approx(0.5)
    # A panel of players is as high as they are.
    heights = """(panel) => {
      const hidden = [...panel.querySelectorAll('.tile-body')].map((one) => one.scrollHeight - one.clientHeight);
      return [panel.offsetHeight, ...hidden];
    }"""
    assert view.panel("tone").evaluate(heights) == [126, 0, 0]
    video = view.panel("walk").locator("video").first
    assert video.evaluate(played) == pytest.approx(1.0, abs=0.2)
    expect(view.panel("several").locator(".tile").first.locator("img")).to_have_count(2)
    expect(view.panel("cloud").get_by_role("link", name="Download")).to_have_count(2)
    expect(view.panel("list").locator(".text").first).to_have_text('[1,"two",null]')
    expect(view.panel("said").locator("section").first.locator(".text")).to_have_text(["line 2", "line 1", "line 0"])
    expect(view.panel("weights").locator("svg.bars").first.locator("rect")).to_have_count(16)


def test_figures_are_drawn_with_their_legends(window: Open, media: str) -> None:
    view = window(f"{media}?q=^(plotly|lines)$&show=dim")
    for key, names in (("lines", ["train", "test"]), ("plotly", ["a", "b"])):
        frame = view.panel(key).locator("iframe")
        expect(frame).to_have_attribute("data-drawn", "2")
        expect(frame.content_frame.locator(".legendtext")).to_have_text(names)
    # Plotly is loaded by the frames alone.
    assert view.page.evaluate("() => 'Plotly' in window") is False
    view.page.get_by_role("button", name="Light or dark").click()
    text = view.panel("plotly").locator("iframe").content_frame.locator(".xtick text").first
    expect(text).to_have_css("fill", "rgb(228, 233, 239)")
    # Also if the system is dark, the panel is seen through the frame.
    view.page.emulate_media(color_scheme="dark")
    box = view.panel("plotly").locator("iframe").bounding_box()
    assert box is not None
    shot = view.page.screenshot(clip={"x": box["x"] + 4, "y": box["y"] + 4, "width": 4, "height": 4})
    assert Image.open(io.BytesIO(shot)).convert("RGB").getpixel((1, 1)) == (26, 31, 38)


def test_tables_are_paged_sorted_and_filtered_with_media_in_their_cells(window: Open, media: str) -> None:
    view = only(window, f"{media}", "samples", size=(1280, 900))
    tile = view.panel("samples").locator(".tile").first
    rows = tile.locator("tbody tr")
    expect(rows).to_have_count(25)
    expect(tile.get_by_role("status")).to_have_text("1–25 of 60")
    expect(rows.first.locator("img")).to_have_count(1)
    expect(rows.first.locator("iframe").content_frame.locator("body")).to_contain_text("0 runs")
    # The second click comes before the rows of the first.
    tile.get_by_role("button", name="id").evaluate("(button) => { button.click(); button.click(); }")
    expect(rows.first.locator("td").first).to_have_text("59")
    tile.get_by_role("button", name="Next rows").click()
    tile.get_by_role("button", name="Next rows").click()
    expect(tile.get_by_role("status")).to_have_text("51–60 of 60")
    tile.get_by_role("searchbox").fill("ROW 3")
    expect(tile.get_by_role("status")).to_have_text("1–9 of 9 found of 60")


def outcome(page: FrameLocator | Page) -> dict[str, str]:
    """Return what a page found that tried to get out."""
    out = page.locator("#out")
    expect(out).not_to_be_empty()
    found: dict[str, str] = json.loads(out.inner_text())
    return found


@pytest.mark.usefixtures("media")
def test_a_page_reaches_neither_the_page_around_it_nor_cookies_nor_the_service(window: Open, site: Site) -> None:
    # What it tries is refused, and the browser says so.
    allowed = (
        "Refused",
        "refused",
        "violates",
        "Blocked",
        "sandbox",
        "Unsafe attempt",
        "CORS",
        "ERR_",
        "Access to fetch",
    )
    view = window(project_url("escape"), allowed=allowed)
    view.page.context.add_cookies([{"name": "secret", "value": "1", "url": site.url}])
    frame = view.panel("escape").locator("iframe")
    expect(frame).to_have_attribute("sandbox", "allow-scripts")
    found = outcome(frame.content_frame)
    _is_kept_in(found)
    for name in ("parent", "opener", "top"):
        assert found[name] == "refused SecurityError", found
    assert view.page.url.startswith(site.url + "/me/escape")
    assert len(view.context.pages) == 1
    # Opened by its own address, where it is its own parent, the file is as far from everything.
    address = frame.get_attribute("src")
    assert address is not None
    direct = window(address, allowed=allowed)
    direct.page.context.add_cookies([{"name": "secret", "value": "1", "url": site.url}])
    direct.page.reload()
    _is_kept_in(outcome(direct.page))
    assert direct.page.url == site.url + address


def _is_kept_in(found: dict[str, str]) -> None:
    """Fail unless every attempt was in vain."""
    assert found["origin"] == "null"
    for name in ("cookie", "storage"):
        assert found[name] == "refused SecurityError", found
    assert found["open"] in {"null", "refused SecurityError"}, found
    for name in ("fetch", "blind", "write"):
        assert found[name] == "refused TypeError", found
    assert found["frame"] != "read", found


_SHA256 = "0123456789abcdef" * 4

_BAD_KINDS = {"bars": Kind.HISTOGRAM, "picture": Kind.IMAGE, "page": Kind.HTML, "plot": Kind.PLOTLY}
_BAD_REFERENCES: tuple[str, ...] = (
    "{}",
    "null",
    "3",
    '{"sha256": "../../sql"}',
    '{"sha256": ["x"], "width": "1e9"}',
    '{"items": [null, {"sha256": 3}]}',
    '{"items": {}}',
    '{"bins": 3, "counts": null}',
    '{"bins": [NaN], "counts": [1]}',
    "not JSON",
)


def test_a_bad_reference_is_shown_as_such_and_takes_nothing_beside_it_away(window: Open, site: Site) -> None:
    good = site.writer("bad", "good", display_name="good")
    good.texts("bars", Kind.HISTOGRAM, [0], ['{"bins": [0, 1, 2], "counts": [3, 4]}'])
    for number, text in enumerate(_BAD_REFERENCES):
        run = site.writer("bad", f"run-{number}", display_name=f"run-{number}")
        for key, kind in _BAD_KINDS.items():
            run.texts(key, kind, [0], [text])
        group = 1 if text == "not JSON" else text
        boxes = f'{{"sha256": "{_SHA256}", "width": 4, "height": 4, "boxes": {{"a": {group}}}}}'
        run.texts("boxed", Kind.IMAGE, [0], [boxes])
    # The files of `boxed` are not there, and the browser says so.
    view = window(f"{project_url('bad')}?q=^bars$", allowed=("404",))
    expect(view.panel("bars").locator("svg.bars")).to_have_count(1)
    for key in _BAD_KINDS:
        view.page.goto(f"{site.url}{project_url('bad')}?q=^{key}$")
        expect(view.panel(key).locator(".missing").first).to_be_visible()
        assert view.panel(key).locator("iframe").count() == 0
    assert not [url for url in view.asked if "/api/v1/media/" in url]
    view.page.goto(f"{site.url}{project_url('bad')}?q=^boxed$")
    expect(view.panel("boxed").locator(".tile").first).to_be_visible()


@pytest.mark.usefixtures("media")
def test_a_saved_chart_is_drawn_without_the_network(window: Open) -> None:
    view = window(project_url("chart"))
    frame = view.panel("chart").locator("iframe").content_frame
    expect(frame.locator(".bk-Figure")).to_be_visible()
    assert frame.locator("canvas").count() > 0


def test_the_description_of_the_api_is_drawn_from_this_service_alone(window: Open) -> None:
    view = window("/docs")
    expect(view.page.get_by_role("heading", name="Stepwell").first).to_be_visible()
    view.page.locator("#operations-sql-sql_api_v1_sql_post").click()
    expect(view.page.get_by_role("button", name="Try it out").first).to_be_visible()
