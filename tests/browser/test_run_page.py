"""A run's own page, groups of runs, and the page for everybody (V7): keyboard, screen readers, dark, a phone."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import expect

from browser.window import Site, Window, project_url
from support.factories.points import BEGIN_MS
from support.servers.sdk import eventually

Open = Callable[..., Window]

_SCRIPT = """
import sys, time, stepwell
run = stepwell.init(
    project="pages", id="run", name="a run of its own", config={"lr": 0.25, "model": {"depth": 7}}, tags=["paper"],
    notes="first try", settings={"console": "auto", "system_seconds": 0.2},
)
print("hello from the script")
print("a warning", file=sys.stderr)
for step in range(50):
    run.log({"train/loss": 1 / (step + 1)})
run.log({"page": stepwell.Html("<p>hello</p>")})
run.log({"train/loss": 9.0}, step=3)
# The first sample of the system comes after a second.
time.sleep(1.5)
run.finish()
"""


@pytest.fixture(scope="module")
def run(site: Site) -> str:
    """A run with config, console output, system metrics, a file and a step conflict."""
    site.sdk.run(_SCRIPT)
    eventually(lambda: site.sdk.state("run"), "finished")
    eventually(lambda: site.sdk.count("step_conflicts"), 1)
    return "/me/pages/run"


def test_a_runs_page_has_everything_that_is_known_of_it(window: Open, site: Site, run: str) -> None:
    view = window(run)
    view.drawn("train/loss", 1)
    expect(view.page.get_by_role("heading", level=1)).to_have_text("a run of its own")
    tab = view.page.get_by_role("tab")
    tab.filter(has_text="Overview").click()
    view.has_address("tab=overview")
    expect(view.page.get_by_role("table", name="Config").get_by_role("row", name="model.depth")).to_contain_text("7")
    expect(view.page.get_by_role("table", name="Summary").get_by_role("row", name="train/loss")).to_contain_text("9")
    expect(view.page.get_by_role("table", name="Summary").get_by_role("row", name="page")).to_have_text(
        re.compile(r"^pagepage · \d+ B$")
    )
    expect(view.page.locator(".about")).to_contain_text("first try")
    tab.filter(has_text="System").click()
    view.drawn("system/cpu", 1)
    expect(view.panel("system/cpu").locator(".chart")).to_have_attribute("data-axis", "_runtime")
    expect(view.panel("train/loss")).to_have_count(0)
    tab.filter(has_text="Console").click()
    expect(view.page.locator(".console .line")).to_have_text(["hello from the script\n", "a warning\n"])
    expect(view.page.locator(".console .error")).to_have_text("a warning\n")
    tab.filter(has_text="Files").click()
    link = view.page.get_by_role("link", name="page", exact=True)
    address = link.get_attribute("href")
    assert address is not None
    assert b"<p>hello</p>" in view.page.request.get(site.url + address).body()
    tab.filter(has_text="Step conflicts (1)").click()
    expect(view.page.locator(".list-tab tbody tr")).to_contain_text("(the only one)351")
    view.page.reload()
    expect(view.page.locator(".list-tab tbody tr")).to_have_count(1)
    tab.filter(has_text="Step conflicts").press("ArrowRight")
    view.drawn("train/loss", 1)


def test_a_console_that_can_not_be_read_is_tried_again(window: Open, site: Site, run: str) -> None:
    view = window("/", allowed=("503",))
    view.page.route("**/history?*", lambda route: route.fulfill(status=503, json={"detail": "Out of order."}))
    view.page.goto(f"{site.url}{run}?tab=console")
    expect(view.page.get_by_role("status").filter(has_text="Out of order.")).to_be_visible()
    view.page.unroute("**/history?*")
    view.page.get_by_role("button", name="Try again").click()
    expect(view.page.locator(".console .line")).to_have_count(2)


def test_a_run_that_is_not_there_is_not_found_until_it_is(window: Open, site: Site) -> None:
    view = window("/me/soon/later?tab=overview", allowed=("404",))
    expect(view.page.get_by_role("heading", name="Run not found")).to_be_visible()
    expect(view.page.get_by_role("tablist")).to_be_hidden()
    expect(view.page.get_by_role("link", name="Runs of me/soon")).to_be_visible()
    site.writer("soon", "later", display_name="it came")
    expect(view.page.locator(".about")).to_contain_text("me/soon/later")
    expect(view.page.get_by_role("heading", level=1)).to_have_text("it came")


@pytest.fixture(scope="module")
def groups(site: Site) -> str:
    """A project of two groups of runs with curves that are known."""
    for number in range(4):
        config = {"optimizer": "adam" if number < 2 else "sgd"}
        writer = site.writer("groups", f"r{number}", config=config, state="finished", created_ms=BEGIN_MS + number)
        writer.numbers("loss", range(10), np.full(10, float(number)))
    return project_url("groups", "?group=config.optimizer")


def test_groups_are_drawn_as_mean_and_deviation(window: Open, groups: str) -> None:
    view = window(f"{groups}&legend=1")
    chart = view.drawn("loss", 2)
    expect(view.panel("loss").locator(".legend li")).to_have_text(["sgd (2)", "adam (2)"])
    chart.focus()
    view.page.keyboard.press("ArrowRight")
    tooltip = view.page.locator(".tooltip")
    expect(tooltip.locator(".tooltip-value")).to_have_text(["2.5", "0.5"])
    expect(tooltip.locator(".tooltip-title")).to_contain_text("± 0.70711 · 2 runs")
    view.page.get_by_role("checkbox", name="Show group adam").uncheck()
    view.drawn("loss", 1)
    view.page.get_by_role("checkbox", name="Show group adam").check()
    view.page.get_by_label("x axis", exact=True).select_option("_step")
    view.drawn("loss", 2)


@pytest.mark.parametrize("page", ["charts", "table", "run", "projects", "empty", "phone"])
def test_screen_readers_find_a_name_for_everything(window: Open, run: str, groups: str, page: str) -> None:
    addresses = {
        "charts": groups,
        "table": groups + "&table=1",
        "run": run + "?tab=overview",
        "projects": "/",
        "empty": project_url("nothing here"),
        "phone": groups,
    }
    view = window(addresses[page], size=(400, 800) if page == "phone" else (1280, 800), allowed=("404",))
    ready = {
        "projects": "table.plain tbody tr",
        "empty": ".empty pre",
        "run": ".about dd",
        "table": ".runs-table td.number",
    }
    expect(view.page.locator(ready.get(page, '.chart[data-lines="2"]')).first).to_be_attached()
    for theme in ("light", "dark"):
        expect(view.page.locator("html")).to_have_attribute("data-theme", theme)
        assert view.violations() == {}, theme
        view.page.get_by_role("button", name="Light or dark").click()


def test_the_keyboard_reaches_everything(window: Open, groups: str) -> None:
    view = window(groups.split("?")[0])
    view.drawn("loss", 4)
    view.page.keyboard.press("/")
    expect(view.page.get_by_role("searchbox", name="Search metrics")).to_be_focused()
    view.page.keyboard.type("d/t")
    expect(view.page.locator("html")).to_have_attribute("data-theme", "light")
    view.has_address("q=d/t")
    view.page.get_by_role("searchbox", name="Search metrics").fill("")
    view.drawn("loss", 4)
    expect(view.page).not_to_have_url(re.compile("q="))
    view.page.locator("body").click(position={"x": 700, "y": 790})
    view.page.keyboard.press("?")
    expect(view.page.get_by_role("dialog", name="Keys")).to_contain_text("Search runs")
    view.page.keyboard.press("Escape")
    view.page.keyboard.press("d")
    expect(view.page.locator("html")).to_have_attribute("data-theme", "dark")
    view.page.reload()
    expect(view.page.locator("html")).to_have_attribute("data-theme", "dark")
    view.drawn("loss", 4)
    view.page.keyboard.press("t")
    view.has_address("table=1")
    view.page.keyboard.press("t")
    # Tab alone leads from the top to a chart, whose points the arrows walk.
    reached = []
    for _ in range(60):
        view.page.keyboard.press("Tab")
        reached.append(view.page.evaluate("() => document.activeElement.getAttribute('aria-label') ?? ''"))
        if reached[-1].startswith("loss: "):
            break
    assert reached[-1].startswith("loss: 4 lines"), reached
    view.page.keyboard.press("ArrowRight")
    expect(view.page.get_by_role("status").filter(has_text="step 0")).to_be_visible()


def test_dark_mode_is_the_systems_and_reaches_the_charts(window: Open, groups: str) -> None:
    light = window(groups)
    light.drawn("loss", 2)
    dark = window(groups, dark=True)
    dark.drawn("loss", 2)
    assert dark.page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(18, 22, 27)"
    assert light.picture("loss") != dark.picture("loss")


def test_it_is_usable_on_a_phone(window: Open, groups: str, run: str) -> None:
    for address, ready in (
        (groups, ".chart[data-lines='2']"),
        (run + "?tab=overview", ".about dd"),
        (groups + "&table=1", "td"),
    ):
        view = window(address, size=(400, 800))
        expect(view.page.locator(ready).first).to_be_visible()
        wide = view.page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
        assert wide[0] <= wide[1] == 400
    view = window(groups, size=(400, 800))
    box = view.drawn("loss", 2).bounding_box()
    assert box is not None
    assert box["width"] > 300
    assert box["y"] + box["height"] < 800
