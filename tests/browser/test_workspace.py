"""A project's page: sections and search (V1), curves (V2), what to do first (V4), the runs (V5), the address (V6)."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from playwright.sync_api import Route, expect

from browser.window import Site, Window, project_url
from stepwell_query.runs.metrics import read_run_metrics
from support.factories.points import BEGIN_MS, RunWriter

Open = Callable[..., Window]
PROJECT = "the tour's 🚀 project"


@pytest.fixture(scope="module")
def tour(site: Site) -> str:
    """A project of three runs with curves, tags and configs."""
    for number, (rate, tag, state) in enumerate(
        [(0.1, "paper", "finished"), (0.03, "old", "failed"), (0.3, "paper", "running")]
    ):
        noise = np.random.default_rng(number)
        config = {"lr": rate, "model": {"depth": 4 + number}}
        writer = site.writer(
            PROJECT,
            f"run {number}",
            display_name=f"rate {rate}",
            config=config,
            tags=[tag],
            state=state,
            created_ms=BEGIN_MS + number * 1_000,
        )
        length = (3_000, 5_000, 800)[number]
        steps = np.arange(length)
        for key in ("train/gen/loss", "train/disc/loss", "val/loss", "loss"):
            writer.numbers(key, steps, np.exp(-steps / length * 3) + noise.normal(0, 0.03, length))
        writer.stream("system").numbers("system/cpu", steps[:20], noise.random(20))
    return project_url(PROJECT)


def test_sections_by_the_first_or_every_slash_fold_and_are_searched(window: Open, tour: str) -> None:
    # What is not in view does not exist: the window holds all sections.
    view = window(tour, size=(1280, 2_400))
    view.drawn("loss", 3)
    heads = view.page.locator(".section-head .section-name")
    expect(heads).to_have_text(["Charts", "train", "val", "system"])
    view.page.get_by_role("button", name="every /").click()
    expect(heads).to_have_text(["Charts", "train/disc", "train/gen", "val", "system"])
    view.section("train/disc").click()
    expect(view.section("train/disc")).to_have_attribute("aria-expanded", "false")
    expect(view.panel("train/disc/loss")).to_have_count(0)
    # The system's metrics are there for whoever opens them.
    expect(view.panel("system/cpu")).to_have_count(0)
    view.section("system").click()
    view.drawn("system/cpu", 3)
    view.page.reload()
    expect(view.section("train/disc")).to_have_attribute("aria-expanded", "false")
    search = view.page.get_by_role("searchbox", name="Search metrics")
    search.fill("^(VAL|train/gen)/")
    expect(heads).to_have_text(["train/gen", "val"])
    search.fill("no such metric")
    expect(view.page.get_by_role("heading", name="No metric matches")).to_be_visible()
    expect(view.page.locator(".toolbar .field-error")).to_be_hidden()
    search.fill("(")
    expect(view.page.locator(".toolbar .field-error")).to_be_visible()
    expect(search).to_have_attribute("aria-invalid", "true")
    expect(view.page.get_by_role("heading", name="No metric matches")).to_have_count(0)
    search.fill("")
    view.section("val").evaluate("(head) => { head.click(); location.reload() }")
    expect(view.section("val")).to_have_attribute("aria-expanded", "false")


def test_all_selected_runs_are_drawn_and_a_legend_is_a_choice(window: Open, tour: str) -> None:
    view = window(tour, size=(1280, 1_600))
    chart = view.drawn("val/loss", 3)
    # The list next to the charts shows the colours already.
    legend = view.panel("val/loss").locator(".legend li")
    expect(legend).to_have_count(0)
    view.page.get_by_role("link", name="rate 0.03", exact=True).hover()
    for key in ("val/loss", "train/gen/loss"):
        expect(view.panel(key).locator(".chart")).to_have_attribute("data-highlighted", "rate 0.03")
    view.page.get_by_role("button", name="legend").click()
    view.has_address("legend=1")
    expect(legend).to_have_text(["rate 0.3", "rate 0.03", "rate 0.1"])
    expect(chart).to_have_attribute("data-highlighted", "")
    legend.get_by_role("button", name="rate 0.1").click()
    view.has_address("solo=")
    view.drawn("val/loss", 1)
    view.drawn("loss", 1)
    expect(legend).to_have_count(3)
    chip = view.page.get_by_role("button", name="only rate 0.1. Show all lines")
    chip.click()
    expect(chip).to_have_count(0)
    view.drawn("val/loss", 3)
    view.page.get_by_role("checkbox", name="Show rate 0.03", exact=True).uncheck()
    view.drawn("val/loss", 2)
    view.page.get_by_role("checkbox", name="Show all runs of the list").check()
    view.drawn("val/loss", 3)


def test_panels_of_one_screen_are_asked_for_together(window: Open, tour: str) -> None:
    view = window(tour, size=(1280, 1_600))
    view.drawn("val/loss", 3)
    assert len([url for url in view.asked if url.endswith("/api/v1/series")]) == 1
    # The document's headers name the first question; the scripts find it answered, and don't ask it again.
    assert len([url for url in view.asked if "/runs?" in url]) == 1


def test_the_address_shows_a_colleague_the_same_picture(window: Open, tour: str) -> None:
    view = window(tour)
    view.drawn("loss", 3)
    view.page.get_by_role("checkbox", name="Show rate 0.03", exact=True).uncheck()
    view.page.get_by_label("Smoothing", exact=True).select_option("ema")
    view.page.get_by_role("button", name="log y").click()
    view.drawn("loss", 2)
    picture = view.picture("loss")
    view.has_address("smooth=ema:0.6", "show=", "logy=1")
    address = view.page.url
    colleague = window(address, apart=True)
    colleague.drawn("loss", 2)
    assert colleague.picture("loss") == picture
    colleague.page.reload()
    colleague.drawn("loss", 2)
    assert colleague.picture("loss") == picture
    colleague.page.get_by_role("button", name="log y").click()
    assert colleague.picture("loss") != picture
    colleague.page.go_back()
    assert colleague.picture("loss") == picture


def test_runs_are_searched_sorted_grouped_and_coloured(window: Open, tour: str) -> None:
    view = window(tour, allowed=("422",))
    view.drawn("loss", 3)
    names = view.page.locator(".runs-table .run-name a")
    expect(names).to_have_text(["rate 0.3", "rate 0.03", "rate 0.1"])
    search = view.page.get_by_role("searchbox", name="Search runs")
    search.fill("tag:paper config.lr<0.2")
    expect(names).to_have_text(["rate 0.1"])
    view.drawn("loss", 1)
    colleague = window(view.page.url, apart=True)
    expect(colleague.page.locator(".runs-table .run-name a")).to_have_text(["rate 0.1"])
    colleague.drawn("loss", 1)
    search.fill('config.lr in (0.3, 0.03) and not tags has "old" RATE')
    expect(names).to_have_text(["rate 0.3"])
    # The service reports what is wrong with a filter; the list stays as it was.
    search.fill("config.lr >")
    expect(view.page.locator(".search-error")).to_contain_text("column 12")
    expect(names).to_have_text(["rate 0.3"])
    # Without an earlier result, it excludes no runs.
    search.fill("no such run")
    expect(names).to_have_count(0)
    search.fill("rate config.lr >")
    expect(view.page.locator(".search-error")).to_contain_text("column 17")
    expect(names).to_have_count(3)
    search.fill("")
    view.page.get_by_label("Order of runs").select_option("config.lr")
    expect(names).to_have_text(["rate 0.03", "rate 0.1", "rate 0.3"])
    before = view.picture("loss")
    color = view.page.get_by_role("button", name="Colour of rate 0.1", exact=True)
    color.click()
    swatches = view.page.get_by_role("dialog", name="Colour of rate 0.1")
    expect(swatches.get_by_role("button")).to_have_count(31)
    swatches.get_by_role("button", name="Colour 9", exact=True).click()
    expect(swatches).to_have_count(0)
    view.has_address("colors=run%200:1f7e3f")
    assert view.picture("loss") != before
    color.click()
    swatches.get_by_role("button", name="Default").click()
    expect(view.page).not_to_have_url(re.compile("colors="))
    assert view.picture("loss") == before
    view.page.get_by_label("Group runs").select_option("tags")
    expect(view.page.locator(".group-row .run-line span[title]")).to_have_text(["old", "paper"])
    view.drawn("loss", 2)
    before = view.picture("loss")
    view.page.get_by_role("button", name="Colour of group paper", exact=True).click()
    view.page.keyboard.press("ArrowRight")
    view.page.keyboard.press("Enter")
    view.has_address("colors=paper:")
    assert view.picture("loss") != before


def test_runs_as_a_table_with_columns_of_choice(window: Open, tour: str) -> None:
    view = window(tour)
    view.page.get_by_role("button", name="Runs as a table").click()
    heads = view.page.locator(".runs-table thead th[scope=col] button")
    metrics = ["loss", "train/disc/loss", "train/gen/loss", "val/loss"]
    expect(heads).to_have_text(["Name", "State", "Created ↓", "Duration", *metrics, "lr", "model.depth", "Tags"])
    # The first column stays where it is.
    view.page.set_viewport_size({"width": 800, "height": 800})
    moved = view.page.locator(".runs-scroll").evaluate(
        """(list) => {
          const left = () => document.querySelector('.runs-table tbody .run-name').getBoundingClientRect().left;
          const before = left();
          list.scrollTo(100, 0);
          return [list.scrollLeft, left() - before];
        }"""
    )
    assert moved == [100, 0]
    view.page.set_viewport_size({"width": 1280, "height": 800})
    # Each head is as wide as its text.
    cut = "(all) => all.filter((one) => one.scrollWidth > one.parentElement.clientWidth).map((one) => one.textContent)"
    assert heads.evaluate_all(cut) == []
    expect(view.page.locator(".runs-table tbody tr").first).to_contain_text("running")
    view.page.get_by_role("button", name="Choose columns").click()
    dialog = view.page.get_by_role("dialog", name="Choose columns")
    dialog.get_by_role("button", name="None").click()
    dialog.get_by_role("searchbox").fill("^config.lr$")
    dialog.get_by_role("checkbox", name="config.lr").check()
    dialog.get_by_role("button", name="Show these").click()
    expect(heads).to_have_text(["Name", "lr"])
    heads.filter(has_text="lr").click()
    expect(view.page.locator(".runs-table tbody td.number")).to_have_text(["0.03", "0.1", "0.3"])
    view.has_address("columns=config.lr", "sort=config.lr")
    # An order is found by its name.
    order = view.page.get_by_role("combobox", name="Order of runs", exact=True)
    order.click()
    view.page.get_by_role("combobox", name="Search: Order of runs").fill("gen lo")
    expect(view.page.locator(".option-list li")).to_have_text(["train/gen/loss"])
    assert view.violations() == {}
    view.page.keyboard.press("Enter")
    view.has_address("sort=summary.train/gen/loss")
    expect(order).to_be_focused()
    view.page.get_by_role("button", name="Reverse the order").click()
    view.has_address("sort=-summary.train/gen/loss")


def test_long_names_and_tags_keep_their_room_in_a_list_of_any_width(window: Open, site: Site) -> None:
    tags = ["a tag that is as long as the list", "second", "third"]
    for seed in range(2):
        site.writer("sweep", f"s{seed}", display_name=f"resnet-lion-lr0.001-wd0.1-epochs90-seed{seed}", tags=tags)
    view = window(project_url("sweep"))
    row = view.page.locator(".runs-table tbody tr").first
    expect(row.locator(".tag")).to_have_text([tags[0], "+2"])
    expect(row.locator(".run-name a")).to_have_attribute(
        "title", re.compile("^resnet-lion-lr0.001-wd0.1-epochs90-seed")
    )
    end = row.locator(".name-end")
    for width in (200, 292):
        view.page.evaluate("(width) => localStorage.setItem('stepwell-runs-width', width)", width)
        view.page.reload()
        expect(end).to_have_text(re.compile("-seed[01]$"))
        list_box, end_box = view.page.locator(".runs").bounding_box(), end.bounding_box()
        assert list_box is not None
        assert end_box is not None
        assert list_box["width"] == width
        assert end_box["x"] + end_box["width"] <= list_box["x"] + width
    edge = view.page.get_by_role("separator", name="Width of the list of runs")
    edge.press("ArrowRight")
    expect(edge).to_have_attribute("aria-valuenow", "308")
    view.page.reload()
    expect(edge).to_have_attribute("aria-valuenow", "308")


def test_wide_configs_offer_500_columns_and_find_the_rest(window: Open, site: Site) -> None:
    site.writer("wide", "a", config={f"key{number:04d}": number for number in range(1_200)})
    view = window(project_url("wide", "?table=1"))
    view.page.get_by_role("button", name="Choose columns").click()
    dialog = view.page.get_by_role("dialog", name="Choose columns")
    expect(dialog.get_by_role("checkbox")).to_have_count(500)
    expect(dialog.get_by_role("status")).to_contain_text("search for them")
    dialog.get_by_role("searchbox").fill("key1199")
    expect(dialog.get_by_role("checkbox")).to_have_count(1)
    dialog.get_by_role("button", name="None").click()
    dialog.get_by_role("checkbox", name="config.key1199").check()
    dialog.get_by_role("button", name="Show these").click()
    # The list of runs leaves it out: the table, the order and the search have its values nevertheless.
    cells = view.page.locator(".runs-table tbody td.number")
    expect(cells).to_have_text(["1199"])
    names = view.page.locator(".runs-table .run-name a")
    expect(names).to_have_text(["a"])
    search = view.page.get_by_role("searchbox", name="Search runs")
    search.fill("config.key1198>1198")
    expect(names).to_have_count(0)
    search.fill("config.key1198=1198")
    expect(names).to_have_text(["a"])


def test_runs_that_can_not_be_loaded_are_told_and_tried_again(window: Open, site: Site) -> None:
    for number in range(60):
        site.writer("sixty", f"run {number:02d}", state="finished")
    view = window("/", allowed=("503",))
    view.page.route("**/runs?*cursor=*", lambda route: route.fulfill(status=503, json={"detail": "Out of order."}))
    view.page.goto(site.url + project_url("sixty"))
    failed = view.page.locator(".runs-failed")
    expect(failed).to_contain_text(re.compile(r"\b50\b.*Out of order\."))
    view.page.unroute("**/runs?*cursor=*")
    failed.get_by_role("button", name="Try again").click()
    expect(failed).to_be_hidden()
    expect(view.page.locator(".runs-total")).to_have_text("60")


def test_before_anything_is_logged_it_says_what_to_do_and_then_shows_it(window: Open, site: Site) -> None:
    view = window(project_url("fresh"), allowed=("404",))
    expect(view.page.get_by_role("heading", name="Project not found")).to_be_visible()
    view.page.get_by_text("How to log to it").click()
    expect(view.page.locator("pre").first).to_contain_text(f"export STEPWELL_BASE_URL={site.url}")
    expect(view.page.locator("pre").last).to_contain_text('stepwell.init(entity="me", project="fresh")')
    writer = site.writer("fresh", "first", display_name="the first")
    expect(view.page.locator(".runs-table .run-name a")).to_have_text(["the first"])
    expect(view.page.get_by_role("heading", name="Nothing logged")).to_be_visible()
    expect(view.page.locator("pre").last).to_contain_text('id="first", resume="allow"')
    writer.numbers("loss", range(10), np.ones(10))
    view.drawn("loss", 1)
    expect(view.page.locator(".empty")).to_have_count(0)


def test_projects_are_listed_also_those_of_an_entity(window: Open, tour: str) -> None:
    view = window("/unknown")
    expect(view.page.get_by_role("heading", name="Entity not found")).to_be_visible()
    view.page.get_by_role("link", name="All projects").last.click()
    view.page.get_by_role("link", name="me", exact=True).first.click()
    expect(view.page.get_by_role("heading", level=1)).to_have_text("Projects of me")
    view.has_address("/me")
    view.page.get_by_role("searchbox", name="Search projects").fill("tour's")
    view.page.get_by_role("link", name=PROJECT).click()
    view.drawn("loss", 3)
    expect(view.page.get_by_role("link", name=PROJECT)).to_have_attribute("aria-current", "page")
    view.page.locator(".crumbs a").first.click()
    expect(view.page.get_by_role("heading", level=1)).to_have_text("Projects of me")


def test_two_thousand_metrics_do_not_slow_the_first_screen(window: Open, site: Site) -> None:
    writer = site.writer("many", "wide")
    _write_metrics(writer, 2_000)
    assert len(read_run_metrics(site.sdk.store, "me", "many", ["wide"])["key"]) == 2_000
    view = window(project_url("many"))
    view.drawn("group00/metric0", 1)
    assert view.page.locator(".grid article").count() < 40
    requests = [url for url in view.asked if url.endswith("/series")]
    assert len(requests) == 1
    view.page.locator(".charts").evaluate("(charts) => charts.scrollTo(0, charts.scrollHeight)")
    view.drawn("group99/metric19", 1)
    assert view.page.locator(".grid article").count() < 40


def test_what_is_scrolled_away_is_not_waited_for(window: Open, site: Site) -> None:
    writer = site.writer("far", "wide")
    for number in range(60):
        writer.numbers(f"group/metric{number:02d}", [0, 1], [0.0, 1.0])
    # The first question is held back, so that there is time to scroll.
    view = window("/")
    held: list[Route] = []
    view.page.route("**/api/v1/series", lambda route: route.continue_() if held else held.append(route))
    view.page.goto(site.url + project_url("far"))
    expect(view.panel("group/metric00")).to_be_visible()
    with view.page.expect_event("requestfailed", lambda request: request.url.endswith("/series")) as given_up:
        view.page.locator(".charts").evaluate("(charts) => charts.scrollTo(0, charts.scrollHeight)")
    assert "group/metric00" in given_up.value.post_data_json["keys"]
    assert "ABORTED" in str(given_up.value.failure)
    expect(view.panel("group/metric59")).to_be_visible()
    view.drawn("group/metric59", 1)


def _write_metrics(writer: RunWriter, count: int) -> None:
    """Write many short series by two inserts."""
    keys = [f"group{number // 20:02d}/metric{number % 20}" for number in range(count)]
    writer.numbers(keys[0], [0, 1], [0.0, 1.0])
    for table in ("points_number", "series"):
        sql = f"SELECT * FROM {{db}}.{table} WHERE project = 'many' ORDER BY ALL LIMIT 1"
        one = writer.store.query(sql)
        place = one.column_names.index("key")
        writer.store.insert(table, pa.concat_tables([one] * (count - 1)).set_column(place, "key", pa.array(keys[1:])))
