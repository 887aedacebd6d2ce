"""Files of charts and tables (V10), charts of several metrics (V9), and sections in an order of one's own."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Download, Locator, expect

from browser.test_charts import drag, hover
from browser.window import Site, Window, project_url
from support.factories.points import BEGIN_MS

Open = Callable[..., Window]
STEPS = 5_000
PROJECT = "to take/away"


@pytest.fixture(scope="module")
def two(site: Site) -> str:
    """A project of two runs with curves of different sizes, and system metrics."""
    steps = np.arange(STEPS)
    for number, name in enumerate(("one", "=two")):
        writer = site.writer(
            PROJECT.replace("/", " "),
            f"r{number}",
            display_name=name,
            config={"lr": 0.1 / (number + 1), "arm": number},
            state="finished",
            created_ms=BEGIN_MS + number,
        )
        writer.numbers("train/loss", steps, 1 + number + np.exp(-steps / 1_000))
        writer.numbers("val/acc", steps[::100], steps[::100] / STEPS)
        writer.numbers("lr", [0, STEPS - 1], [1e-3, 1e-5])
        writer.stream("system").numbers("system/cpu", steps[:20], np.full(20, 50.0))
        writer.numbers("system/process.memory", steps[:20], np.full(20, 3.0 * 2**30))
    return project_url(PROJECT.replace("/", " "))


def choose(view: Window, panel: Locator, entry: str) -> None:
    """Choose an entry of a chart's menu."""
    panel.hover()
    panel.get_by_role("button", name="Menu of").click()
    view.page.get_by_role("menuitem", name=entry).click()


def saved(view: Window, panel: Locator, entry: str) -> tuple[Download, bytes]:
    """Download a file by a chart's menu; return its content."""
    with view.page.expect_download() as downloading:
        choose(view, panel, entry)
    return downloading.value, Path(downloading.value.path()).read_bytes()


def test_a_chart_is_taken_away_as_picture_and_as_values(window: Open, two: str) -> None:
    view = window(f"{two}?smooth=ema:0.6", dark=True)
    chart = view.drawn("train/loss", 2)
    panel = view.panel("train/loss")
    file, content = saved(view, panel, "Download SVG")
    assert file.suggested_filename == "to-take-away-train-loss.svg"
    tree = ElementTree.fromstring(content)
    texts = [node.text for node in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0] == "train/loss"
    assert {"one", "=two", "step"} <= set(texts)
    assert "exponential smoothing 0.6" in str(texts[1])
    assert b"#ffffff" in content
    file, content = saved(view, panel, "Download PNG")
    assert file.suggested_filename == "to-take-away-train-loss.png"
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    # It does not depend on the theme, and has lines of both colours of the light one.
    assert picture.getpixel((3, 3)) == (255, 255, 255)
    assert picture.width == 1_920
    colors = {color for _, color in picture.getcolors(1 << 24) or []}
    assert {(59, 120, 231), (199, 15, 1)} <= colors
    file, content = saved(view, panel, "Download CSV")
    # The values are means, and the name says so.
    assert file.suggested_filename == "to-take-away-train-loss-sampled.csv"
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    assert {row["name"] for row in rows} == {"one", "'=two"}
    assert sum(int(row["count"]) for row in rows) == 2 * STEPS
    assert len(rows) == int(str(chart.get_attribute("data-points")))
    assert all(float(row["low"]) <= float(row["value"]) <= float(row["high"]) for row in rows)
    drag(view, chart, 0.5, 0.53)
    expect(chart).to_have_attribute("data-sampled", "false")
    file, content = saved(view, panel, "Download CSV")
    assert re.fullmatch(r"to-take-away-train-loss-step-\d+(\.\d+)?-\d+(\.\d+)?\.csv", file.suggested_filename)
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    first, last = (float(end) for end in re.findall(r"\d+(?:\.\d+)?", file.suggested_filename)[-2:])
    assert len(rows) == 2 * len({row["step"] for row in rows}) > 100
    assert all(first - 0.1 <= int(row["step"]) <= last + 0.1 for row in rows)
    # Of single rows, also before smoothing, all digits.
    assert all(float(row["value"]) == 1 + np.exp(-int(row["step"]) / 1_000) for row in rows if row["id"] == "r0")


def test_the_table_is_taken_away_with_its_columns_order_and_search_and_all_runs(window: Open, site: Site) -> None:
    for number in range(130):
        config = {"lr": number / 10, "odd, key": f'say "{number}"'}
        site.writer("rows", f"r{number:03d}", display_name=f"n {number}", config=config, state="finished", tags=["x"])
    view = window(project_url("rows", "?table=1&sort=-config.lr&columns=config.lr,config.odd%2C%20key,tags"))
    expect(view.page.locator(".runs-total")).to_have_text("130")

    def table() -> tuple[str, list[list[str]]]:
        with view.page.expect_download() as downloading:
            view.page.get_by_role("button", name="Download the table as CSV").click()
        text = Path(downloading.value.path()).read_text("utf-8")
        return downloading.value.suggested_filename, list(csv.reader(io.StringIO(text)))

    name, rows = table()
    assert name == "rows-runs.csv"
    assert rows[0] == ["name", "run_id", "config.lr", "config.odd, key", "tags"]
    assert rows[1] == ["n 129", "r129", "12.9", 'say "129"', "x"]
    assert [row[1] for row in rows[1:]] == [f"r{number:03d}" for number in reversed(range(130))]
    view.page.get_by_role("searchbox", name="Search runs").fill("config.lr<0.3")
    expect(view.page.locator(".runs-total")).to_have_text("3 of 130")
    name, rows = table()
    assert name == "rows-runs-filtered.csv"
    assert [row[1] for row in rows[1:]] == ["r002", "r001", "r000"]


def test_several_metrics_are_one_chart_with_axes_and_ranges_of_its_own(window: Open, two: str) -> None:
    view = window(two)
    view.drawn("train/loss", 2)
    choose(view, view.panel("train/loss"), "Add other metrics")
    editor = view.page.get_by_role("dialog", name="New chart")
    editor.get_by_label("Title").fill("Loss and rate")
    editor.get_by_role("searchbox").fill("^(lr|val)")
    editor.get_by_role("checkbox", name="lr").check()
    editor.get_by_role("checkbox", name="val/acc").check()
    editor.get_by_label("Axis of lr").select_option("right")
    editor.get_by_role("checkbox", name="Logarithmic right axis").check()
    editor.get_by_label("y from", exact=True).fill("3")
    editor.get_by_label("y to", exact=True).fill("0")
    editor.get_by_role("button", name="Show this chart").click()
    expect(editor.get_by_role("status")).to_have_text("The range of y begins below its end.")
    editor.get_by_label("y from", exact=True).fill("0")
    editor.get_by_label("y to", exact=True).fill("3")
    assert view.violations() == {}
    editor.get_by_role("button", name="Show this chart").click()
    chart = view.drawn("Loss and rate", 6)
    view.has_address("chart=train/loss,lr,val/acc;r=lr;t=Loss%20and%20rate;rlog;y=0..3")
    expect(view.page.locator(".section-name").first).to_have_text("Own charts")
    expect(view.panel("Loss and rate").locator(".legend li")).to_have_text(["train/loss", "lr (right)", "val/acc"])
    tooltip = hover(view, chart, 0.9, 0.9)
    names = tooltip.locator(".tooltip-name").all_inner_texts()
    assert {"one · val/acc", "=two · lr (right)"} <= set(names)
    # The same picture for a colleague; one that opens the project without a view sees the remembered chart.
    picture = view.picture("Loss and rate")
    view.page.mouse.move(2, 2)
    colleague = window(view.page.url, apart=True)
    colleague.drawn("Loss and rate", 6)
    assert colleague.picture("Loss and rate") == picture
    view.page.goto(view.site.url + two)
    view.drawn("Loss and rate", 6)
    view.has_address("chart=train/loss")
    # With one run, colours tell metrics apart; groups are drawn as bands.
    view.page.get_by_role("checkbox", name="Show one").uncheck()
    view.drawn("Loss and rate", 3)
    view.page.get_by_role("checkbox", name="Show one").check()
    view.page.get_by_label("Group runs").select_option("config.arm")
    view.drawn("Loss and rate", 6)
    view.page.get_by_label("Group runs").select_option("")
    drag(view, view.drawn("Loss and rate", 6), 0.4, 0.6)
    view.has_address("zoom=_step:")
    # A file has what the chart shows: the rate has no value in this range.
    _, content = saved(view, view.panel("Loss and rate"), "Download CSV")
    assert {row["metric"] for row in csv.DictReader(io.StringIO(content.decode()))} == {"train/loss", "val/acc"}
    choose(view, view.panel("Loss and rate"), "Edit this chart")
    editor = view.page.get_by_role("dialog", name="Edit the chart")
    editor.get_by_role("button", name="Remove lr").click()
    editor.get_by_label("x axis of the chart").select_option("_runtime")
    editor.get_by_role("button", name="Show this chart").click()
    expect(view.drawn("Loss and rate", 4)).to_have_attribute("data-axis", "_runtime")
    choose(view, view.panel("Loss and rate"), "Edit this chart")
    view.page.get_by_role("button", name="Delete this chart").click()
    expect(view.panel("Loss and rate")).to_have_count(0)
    view.page.goto(view.site.url + two)
    view.drawn("train/loss", 2)
    expect(view.panel("Loss and rate")).to_have_count(0)


def test_units_that_differ_have_an_axis_each_and_live_runs_extend_the_chart(window: Open, two: str, site: Site) -> None:
    view = window(two)
    view.drawn("train/loss", 2)
    view.page.get_by_role("button", name="New chart").click()
    editor = view.page.get_by_role("dialog", name="New chart")
    editor.get_by_role("checkbox", name="system/cpu").check()
    editor.get_by_role("checkbox", name="system/process.memory").check()
    expect(editor.get_by_label("Axis of system/process.memory")).to_have_value("right")
    editor.get_by_role("button", name="Show this chart").click()
    chart = view.drawn("system/cpu, system/process.memory", 4)
    expect(chart).to_have_attribute("data-axis", "_runtime")
    expect(hover(view, chart, 0.5)).to_contain_text("3 GiB")
    live = site.writer("growing", "live", display_name="live").numbers("a", [0, 1], [1.0, 2.0])
    live.numbers("b", [0, 1], [1.0, 2.0])
    view.page.goto(site.url + project_url("growing", "?chart=a,b"))
    expect(view.drawn("a, b", 2)).to_have_attribute("data-points", "4")
    live.numbers("a", [2, 3], [1.0, 2.0])
    expect(view.drawn("a, b", 2)).to_have_attribute("data-points", "6")


def test_sections_are_moved_by_mouse_and_keyboard_and_stay_there(window: Open, two: str) -> None:
    # What is not in view does not exist: the window holds all sections.
    view = window(two, size=(1280, 1_600))
    names = view.page.locator(".section-head .section-name")
    expect(names).to_have_text(["Charts", "train", "val", "system"])
    grip = view.page.get_by_role("button", name="Move the section val")
    grip.focus()
    view.page.keyboard.press("ArrowUp")
    expect(names).to_have_text(["Charts", "val", "train", "system"])
    expect(grip).to_be_focused()
    view.has_address("order=Charts,val,train,system")
    view.page.locator(".section", has_text="train").hover()
    box = view.page.get_by_role("button", name="Move the section train").bounding_box()
    top = view.section("Charts").bounding_box()
    assert box is not None
    assert top is not None
    view.page.mouse.move(box["x"] + 5, box["y"] + 5)
    view.page.mouse.down()
    view.page.mouse.move(box["x"] + 5, top["y"] + 2, steps=4)
    # All sections are folded meanwhile.
    expect(view.page.locator(".drop-line")).to_be_visible()
    expect(view.page.locator(".grid article")).to_have_count(0)
    view.page.mouse.up()
    expect(names).to_have_text(["train", "Charts", "val", "system"])
    view.drawn("train/loss", 2)
    # It is remembered, and a link shows it to others.
    view.page.goto(view.site.url + two)
    expect(names).to_have_text(["train", "Charts", "val", "system"])
    colleague = window(view.page.url, apart=True, size=(1280, 1_600))
    expect(colleague.page.locator(".section-head .section-name")).to_have_text(["train", "Charts", "val", "system"])
    stranger = window(two, apart=True, size=(1280, 1_600))
    expect(stranger.page.locator(".section-head .section-name")).to_have_text(["Charts", "train", "val", "system"])


def test_the_menu_of_a_chart_is_left_and_walked_by_keys(window: Open, two: str) -> None:
    view = window(two)
    view.drawn("train/loss", 2)
    button = view.panel("train/loss").get_by_role("button", name="Menu of train/loss")
    button.focus()
    view.page.keyboard.press("Enter")
    expect(view.page.get_by_role("menuitem", name="Download PNG")).to_be_focused()
    view.page.keyboard.press("ArrowDown")
    expect(view.page.get_by_role("menuitem", name="Download SVG")).to_be_focused()
    assert view.violations() == {}
    view.page.keyboard.press("Escape")
    expect(view.page.get_by_role("menu")).to_have_count(0)
    expect(button).to_be_focused()


def test_the_list_is_as_wide_as_its_edge_is_dragged(window: Open, two: str) -> None:
    view = window(two)
    view.drawn("train/loss", 2)
    edge = view.page.get_by_role("separator", name="Width of the list of runs")
    box = edge.bounding_box()
    assert box is not None
    view.page.mouse.move(box["x"] + 3, box["y"] + 300)
    view.page.mouse.down()
    view.page.mouse.move(box["x"] + 123, box["y"] + 300, steps=3)
    view.page.mouse.up()
    expect(edge).to_have_attribute("aria-valuenow", "412")
    view.page.reload()
    runs = view.page.locator(".runs")
    expect(edge).to_have_attribute("aria-valuenow", "412")
    assert runs.evaluate("(list) => list.offsetWidth") == 412
    edge.dblclick()
    expect(edge).to_have_attribute("aria-valuenow", "292")
