"""Curves (V2): zoom down to the rows, exact values, axes, smoothing, NaN, spikes, live runs; what fails and heals."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Response, Route, expect

from browser.window import Site, Window, project_url
from support.servers.sdk import serving

Open = Callable[..., Window]
STEPS = 100_000
SPIKE_AT = 70_001
SPIKE = 123.0625
COLOR = (59, 120, 231)
"""The first run of a project has the first colour."""


@pytest.fixture(scope="module")
def long(site: Site) -> str:
    """A project of one run of many steps, with a spike and a place of NaN."""
    steps = np.arange(STEPS)
    noisy = 2 + np.sin(steps / 9_000) + np.random.default_rng(0).normal(0, 0.1, STEPS)
    spiky = noisy.copy()
    spiky[SPIKE_AT] = SPIKE
    broken = noisy.copy()
    broken[40_000:41_000] = math.nan
    writer = site.writer("long", "one", display_name="one")
    writer.numbers("spiky", steps, spiky).numbers("broken", steps, broken).numbers("epoch", steps, steps // 100)
    writer.numbers("few", [0, 10, 20], [0.1, 0.1 + 0.2, 1e-9])
    site.writer("long", "two", display_name="two").numbers("few", [5, 30], [2.0, 3.0])
    return project_url("long", "?show=one,two")


def drag(view: Window, chart: Locator, low: float, high: float) -> None:
    """Drag over a part of a chart's plot, given as shares of its width."""
    box = chart.locator(".u-over").bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    view.page.mouse.move(box["x"] + box["width"] * low, y)
    view.page.mouse.down()
    view.page.mouse.move(box["x"] + box["width"] * high, y, steps=3)
    view.page.mouse.up()


def hover(view: Window, chart: Locator, share: float, height: float = 0.5) -> Locator:
    """Move the mouse over a chart; return the tooltip."""
    # A chart that is drawn again has a new element.
    expect(view.page.locator(".charts")).not_to_have_attribute("aria-busy", "true")
    expect(chart.locator(".u-over")).to_be_visible()
    box = chart.locator(".u-over").bounding_box()
    assert box is not None
    view.page.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] * height)
    tooltip = view.page.locator(".tooltip")
    expect(tooltip).to_be_visible()
    return tooltip


def pixel(chart: Locator, share: float, from_bottom: int) -> tuple[int, int, int]:
    """Return the colour of a chart's pixel, at a share of the plot's width and so many pixels above its foot."""
    found: list[int] = chart.evaluate(
        """(chart, [share, up]) => {
          const canvas = chart.querySelector("canvas");
          const [over, all] = [chart.querySelector(".u-over").getBoundingClientRect(), canvas.getBoundingClientRect()];
          const x = (over.left - all.left + over.width * share) * (canvas.width / all.width);
          const y = (over.bottom - all.top - up) * (canvas.height / all.height);
          return [...canvas.getContext("2d").getImageData(Math.round(x), Math.round(y), 1, 1).data];
        }""",
        [share, from_bottom],
    )
    return found[0], found[1], found[2]


def test_a_zoom_asks_again_down_to_the_rows_and_comes_back(window: Open, long: str) -> None:
    view = window(long)
    chart = view.drawn("spiky", 1)
    expect(chart).to_have_attribute("data-sampled", "true")
    whole = view.picture("spiky")
    asked = len(view.asked)
    drag(view, chart, 0.25, 0.75)
    view.has_address("zoom=_step:")
    # All charts show the range: one has nothing there.
    empty = view.panel("few").locator(".panel-status")
    expect(empty).to_contain_text("No values in this range")
    expect(empty.get_by_role("button", name="Show the whole range")).to_be_visible()
    for _ in range(7):
        if chart.get_attribute("data-sampled") == "false":
            break
        before = view.page.url
        drag(view, chart, 0.4, 0.6)
        expect(view.page).not_to_have_url(before)
        view.picture("spiky")
    expect(chart).to_have_attribute("data-sampled", "false")
    assert all("series" in url for url in view.asked[asked:] if "/api/" in url)
    close = view.picture("spiky")
    view.page.reload()
    chart = view.drawn("spiky", 1)
    expect(chart).to_have_attribute("data-sampled", "false")
    assert view.picture("spiky") == close
    chart.locator(".u-over").dblclick()
    expect(chart).to_have_attribute("data-sampled", "true")
    assert view.picture("spiky") == whole
    expect(empty).to_be_hidden()
    chip = view.page.locator(".chips button")
    expect(chip).to_have_count(0)
    drag(view, view.panel("broken").locator(".chart"), 0.25, 0.75)
    expect(chip).to_have_text(re.compile("^step 2[45],"))
    expect(chart).not_to_have_attribute("data-points", "782")
    chip.click()
    expect(chip).to_have_count(0)
    expect(view.page).not_to_have_url(re.compile("zoom="))
    assert view.picture("spiky") == whole


def test_no_spike_is_lost_and_the_band_says_how_far_it_goes(window: Open, long: str) -> None:
    view = window(long)
    chart = view.drawn("spiky", 1)
    tooltip = hover(view, chart, SPIKE_AT / STEPS - 0.004)
    # A pixel is wider than a bucket.
    chart.focus()
    for _ in range(12):
        if f"… {SPIKE:.2f}" in tooltip.inner_text():
            break
        view.page.keyboard.press("ArrowRight")
    expect(tooltip).to_contain_text(f"… {SPIKE:.2f}")
    expect(tooltip).to_contain_text("mean of 128")


def test_the_tooltip_has_exact_values_of_all_runs_and_cursors_are_in_step(window: Open, long: str) -> None:
    view = window(long)
    chart = view.drawn("few", 2)
    tooltip = hover(view, chart, 1 / 3)
    expect(tooltip).to_contain_text("step 10")
    rows = tooltip.locator(".tooltip-row")
    expect(rows.locator(".tooltip-name")).to_have_text(["two", "one"])
    expect(rows.locator(".tooltip-value")).to_have_text(["2", "0.3"])
    heights = rows.evaluate_all("(rows) => rows.map((row) => row.clientHeight)")
    assert max(heights) < 25
    copied = view.page.evaluate(
        """() => {
          const clipboardData = new DataTransfer();
          document.dispatchEvent(new ClipboardEvent("copy", { clipboardData, cancelable: true }));
          return clipboardData.getData("text/plain");
        }"""
    )
    assert "one\t10\t0.30000000000000004\t" in copied
    epoch = view.panel("epoch")
    expect(epoch.locator(".u-cursor-x")).to_be_visible()
    expect(view.page.locator(".u-cursor-y:visible")).to_have_count(0)
    chart.focus()
    view.page.keyboard.press("ArrowRight")
    expect(tooltip).to_contain_text("1e-9")


def test_dots_are_only_where_a_chart_has_the_step(window: Open, long: str) -> None:
    view = window(long)
    few = view.drawn("few", 2)
    dots = """(chart) => [...chart.querySelectorAll(".u-cursor-pt")]
      .filter((dot) => !dot.style.transform.includes("-10px")).length"""
    hover(view, view.drawn("spiky", 1), 0.5)
    expect(few.locator(".u-cursor-x")).to_be_attached()
    assert (few.evaluate(dots), view.panel("broken").locator(".chart").evaluate(dots)) == (0, 1)


def test_nan_is_marked_where_it_is(window: Open, long: str) -> None:
    view = window(long)
    chart = view.drawn("broken", 1)
    view.picture("broken")
    share = 40_500 / STEPS
    assert pixel(chart, share, 2) == COLOR
    assert pixel(chart, share + 0.2, 2) != COLOR
    expect(hover(view, chart, share)).to_contain_text("128 × NaN")


def test_the_envelope_is_drawn_below_the_line(window: Open, long: str) -> None:
    view = window(long, dark=True)
    view.drawn("broken", 1)
    drawn = view.picture("broken")
    view.page.evaluate("() => new Promise(requestAnimationFrame)")
    tooltip = hover(view, view.drawn("broken", 1), 0.1)
    expect(tooltip).to_contain_text("mean of 128")
    low, high = (float(part) for part in tooltip.locator(".tooltip-notes").inner_text().split("·")[0].split("…"))
    assert low < high
    assert drawn != view.picture("epoch")


@pytest.mark.parametrize("axis", ["_runtime", "_timestamp", "epoch"])
def test_any_metric_or_time_on_the_x_axis(window: Open, long: str, axis: str) -> None:
    view = window(long)
    view.drawn("few", 2)
    before = view.picture("spiky")
    view.page.get_by_label("x axis").select_option(axis)
    chart = view.drawn("spiky", 1)
    expect(chart).to_have_attribute("data-axis", axis)
    assert view.picture("spiky") != before
    if axis == "epoch":
        # The run that has no epoch has no points over it; the other one has.
        view.drawn("few", 1)
        missing = view.panel("few").locator(".panel-note details")
        expect(missing.locator("summary")).to_have_text("1 run has no epoch")
        missing.locator("summary").click()
        expect(missing.locator(".missing-runs")).to_have_text("two")
        expect(view.panel("spiky").locator(".panel-note")).to_have_text("")
        drag(view, chart, 0.5, 0.53)
        view.has_address("zoom=epoch:")
        view.picture("spiky")
        drag(view, chart, 0.4, 0.6)
        expect(chart).to_have_attribute("data-sampled", "false")
        expect(hover(view, chart, 0.5)).to_contain_text("epoch")


def test_scales_and_smoothing_change_the_picture_and_stay_in_the_address(window: Open, long: str) -> None:
    view = window(long)
    view.drawn("spiky", 1)
    pictures = {view.picture("spiky")}
    view.panel("spiky").hover()
    view.panel("spiky").get_by_role("button", name="log", exact=True).click()
    view.has_address("p=spiky;log")
    pictures.add(view.picture("spiky"))
    view.page.get_by_role("button", name="no outliers").click()
    pictures.add(view.picture("spiky"))
    view.page.get_by_role("button", name="log x").click()
    pictures.add(view.picture("spiky"))
    kind = view.page.get_by_label("Smoothing", exact=True)
    amount = view.page.get_by_label("Amount of smoothing")
    for name in ("ema", "average", "gaussian"):
        kind.select_option(name)
        view.has_address(f"smooth={name}:")
        pictures.add(view.picture("spiky"))
        amount.press("ArrowRight")
        pictures.add(view.picture("spiky"))
    assert len(pictures) == 10
    expect(hover(view, view.drawn("spiky", 1), 0.5)).to_contain_text("not smoothed")


def is_smoothed_by(weight: float) -> Callable[[Response], bool]:
    def smoothed(response: Response) -> bool:
        body: Any = response.request.post_data_json if response.url.endswith("/api/v1/series") else {}
        return bool(body.get("smoothing") == weight)

    return smoothed


def test_a_smoothed_line_is_the_same_in_a_zoom(window: Open, long: str) -> None:
    view = window(f"{long}&smooth=ema:0.9")
    chart = view.drawn("broken", 1)
    with view.page.expect_response("**/api/v1/series") as answered:
        drag(view, chart, 0.5, 0.6)
    body: Any = answered.value.request.post_data_json
    assert (body["smoothing"], body["smoothing_parts"], body["from"] > 0) == (0.9, 1_000, True)
    # What lies before the zoom bears on it: the service begins at the first step.
    assert len(answered.value.json()["runs"][0]["series"][0]["smoothed"]) > 100
    expect(chart).not_to_have_attribute("data-points", "782")
    with view.page.expect_response(is_smoothed_by(0.901)):
        view.page.get_by_label("Amount of smoothing").press("ArrowRight")
    view.has_address("smooth=ema:0.901")
    expect(chart).to_have_attribute("aria-busy", "false")
    picture = view.picture("broken")
    view.page.reload()
    chart = view.drawn("broken", 1)
    expect(chart).not_to_have_attribute("data-points", "782")
    expect(chart).to_have_attribute("aria-busy", "false")
    assert view.picture("broken") == picture


def test_groups_are_summed_up_by_the_service(window: Open, site: Site) -> None:
    steps = np.arange(20_000)
    for number in range(4):
        writer = site.writer("arms", f"run {number}", display_name=f"run {number}", config={"arm": number % 2})
        for key in ("loss", "acc"):
            writer.numbers(key, steps[: 20_000 - number], np.full(20_000 - number, float(number)))
        writer.numbers("eval", np.arange(20) * 500 + number * 60, np.arange(20.0))
    view = window(project_url("arms", "?group=config.arm"))
    chart = view.drawn("loss", 2)
    assert [url.rsplit("/", 1)[1] for url in view.asked if "/api/v1/" in url].count("groups") == 1
    assert not [url for url in view.asked if url.endswith("/api/v1/series")]
    # Arms are 0 and 2, and 1 and 3.
    expect(hover(view, chart, 0.5)).to_contain_text("± 1.41")
    expect(view.page.locator(".tooltip")).to_contain_text("2 runs")
    # Runs that log at different steps meet in one bucket.
    expect(hover(view, view.drawn("eval", 2), 0.5)).to_contain_text("2 runs")
    with view.page.expect_request("**/api/v1/groups") as asked:
        drag(view, chart, 0.25, 0.5)
    body: Any = asked.value.post_data_json
    assert body["groups"] == {
        "0": ["me/arms/run 0", "me/arms/run 2"],
        "1": ["me/arms/run 1", "me/arms/run 3"],
    }
    # Over another axis each run is asked for, and the page sums them up.
    with view.page.expect_request("**/api/v1/series"):
        view.page.get_by_label("x axis").select_option("_runtime")
    expect(hover(view, view.drawn("loss", 2), 0.5)).to_contain_text("± 1.41")


def test_one_panel_over_the_whole_window(window: Open, long: str) -> None:
    view = window(long)
    view.drawn("spiky", 1)
    view.panel("spiky").hover()
    view.page.get_by_role("button", name="Enlarge spiky").click()
    dialog = view.page.get_by_role("dialog", name="spiky")
    expect(dialog.locator(".chart")).to_have_attribute("data-lines", "1")
    view.has_address("full=line%3Aspiky")
    expect(hover(view, dialog.locator(".chart"), 0.5)).to_contain_text("one")
    view.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


_TRAINING = """
import os, sys, time, stepwell
run = stepwell.init(project="live", id="run", name="live run")
for step in range(3_000):
    run.log({"loss": 1 / (step + 1)})
    if step == 999:
        while not os.path.exists(sys.argv[1]):
            time.sleep(0.02)
run.finish()
"""


def test_a_live_run_moves_by_itself_and_only_it_is_asked_for_again(window: Open, site: Site, tmp_path: Path) -> None:
    site.writer("live", "old", display_name="old run", state="finished").numbers("loss", range(50), np.ones(50))
    view = window(project_url("live"))
    view.drawn("loss", 1)
    seen = tmp_path / "seen"
    with site.sdk.start(_TRAINING, str(seen)) as process:
        chart = view.drawn("loss", 2)
        expect(chart).to_have_attribute("data-points", "1050")
        asked: list[Any] = []
        view.page.on(
            "request", lambda request: asked.append(request.post_data_json) if "series" in request.url else None
        )
        seen.touch()
        # Of 3,000 rows a sample of 750, of 4 each.
        expect(chart).to_have_attribute("data-points", "800")
        process.communicate(timeout=60)
    expect(view.page.locator(".runs-table .state.finished")).to_have_count(2)
    assert {run for body in asked for run in body["runs"]} == {"me/live/run"}
    assert view.asked.count(site.url + "/me/live") == 1


def test_a_lost_connection_shows_and_heals(window: Open, site: Site) -> None:
    site.writer("healing", "one", display_name="one").numbers("loss", [0, 1], [1.0, 2.0])
    with serving(site.sdk.store) as url:
        view = window(
            url + project_url("healing"), allowed=("left the site", "ERR_CONNECTION_REFUSED", "Failed to load")
        )
        view.drawn("loss", 1)
        banner = view.page.locator("#banner")
        expect(banner).to_be_hidden()
    expect(banner).to_be_visible()
    site.writer("healing", "two", display_name="two").numbers("loss", [0, 1], [1.0, 2.0])
    with serving(site.sdk.store, port=int(url.rpartition(":")[2])):
        expect(banner).to_be_hidden()
        view.drawn("loss", 2)
        view.page.goto("about:blank")


def test_requests_stay_within_the_limits_of_the_service(window: Open, site: Site) -> None:
    for name in ("one", "two"):
        site.writer("limited", name, display_name=name).numbers("a", [0], [1.0]).numbers("b", [0], [1.0])
    with serving(site.sdk.store, query_max_series=1) as url:
        view = window(url + project_url("limited"), allowed=("left the site",))
        for key in ("a", "b"):
            view.drawn(key, 2)
        view.page.goto("about:blank")


def test_a_chart_that_loads_has_a_skeleton_and_no_axis(window: Open, site: Site) -> None:
    site.writer("slow", "one", display_name="one").numbers("a", [0, 1], [1.0, 2.0])
    view = window("/")
    held: list[Route] = []
    view.page.route("**/api/v1/series", lambda route: held.append(route))
    view.page.goto(site.url + project_url("slow"))
    panel = view.panel("a")
    expect(panel.locator(".skeleton")).to_be_visible()
    expect(panel).to_have_attribute("aria-busy", "true")
    expect(panel.locator("canvas")).to_have_count(0)
    expect(panel).to_be_visible()
    held[0].continue_()
    view.drawn("a", 1)
    expect(panel.locator(".skeleton")).to_be_hidden()


def test_what_fails_is_reported_and_can_be_tried_again(window: Open, site: Site) -> None:
    site.writer("failing", "one", display_name="one").numbers("a", [0], [1.0])
    view = window("/", allowed=("422",))
    view.page.route("**/api/v1/series", lambda route: route.fulfill(status=422, json={"detail": "Out of order."}))
    view.page.goto(site.url + project_url("failing"))
    panel = view.panel("a")
    expect(panel.locator(".panel-status")).to_contain_text("Out of order.")
    view.page.unroute("**/api/v1/series")
    panel.get_by_role("button", name="Try again").click()
    view.drawn("a", 1)


def test_spellings_of_a_metric_are_one_panel(window: Open, site: Site) -> None:
    for name, key in (("one", "Straße"), ("two", "STRASSE")):
        site.writer("spelt", name, display_name=name).numbers(key, [0, 1], [1.0, 2.0]).spelling(key)
    view = window(project_url("spelt"))
    expect(view.page.locator(".grid .panel-title")).to_have_text(["STRASSE"])
    view.drawn("STRASSE", 2)
