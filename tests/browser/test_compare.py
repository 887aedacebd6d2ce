"""Runs compared side by side (V8), from the list to a link that a colleague opens."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from urllib.parse import unquote

import numpy as np
import pytest
from playwright.sync_api import Locator, expect

from browser.window import Site, Window, project_url
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.points import BEGIN_MS, RunWriter, gathered

Open = Callable[..., Window]
RUNS = 30
STEPS = 120
DIVERGED = {"run-07": math.nan, "run-13": 6.5, "run-22": math.inf}
"""Runs whose loss leaves the others halfway, and what it becomes."""


def losses(number: int) -> list[float]:
    """Return the loss of a run."""
    noise = np.random.default_rng(number)
    values = 0.2 + number / 200 + 2 * np.exp(-np.arange(STEPS) / 20) + noise.normal(0, 0.01, STEPS)
    values[STEPS // 2 :] = DIVERGED.get(f"run-{number:02d}", 0) or values[STEPS // 2 :]
    return [float(value) for value in values]


@pytest.fixture(scope="module")
def sweep(site: Site) -> str:
    """A project of 30 runs, three of which diverged."""
    with gathered(site.sdk.store) as store:
        for number in range(RUNS):
            name = f"run-{number:02d}"
            run = RunWriter(store, RunPath("me", "thirty", name), rolled=False)
            config = {"lr": [0.1, 0.03, 0.01][number % 3], "opt": {"name": "adam", "seed": number}, "epochs": 5}
            run.document(display_name=name, config=config, state="finished", created_ms=BEGIN_MS + number * 1_000)
            run.numbers("train/loss", range(STEPS), losses(number))
            accuracy = 0.1 if name in DIVERGED else 0.9 + number / 1_000
            run.numbers("val/acc", [0, STEPS - 1], [0.1, accuracy])
    return project_url("thirty")


def comparison(view: Window) -> Locator:
    """Return the comparison, once it is shown."""
    section = view.page.get_by_role("region", name="Comparison", exact=True)
    expect(section.locator("tbody tr").first).to_be_visible()
    return section


def row(section: Locator, field: str) -> Locator:
    """Return the cells of a row of the comparison."""
    return section.locator(f'tr[data-field="{field}"] td')


def heads(section: Locator) -> Locator:
    """Return the names of the compared runs."""
    return section.locator("thead th a")


def test_a_researcher_compares_30_runs_finds_the_three_that_diverged_and_sends_the_link(
    window: Open, sweep: str
) -> None:
    view = window(sweep)
    view.context.grant_permissions(["clipboard-read", "clipboard-write"])
    view.page.get_by_role("checkbox", name="Show all runs of the list").check()
    view.drawn("train/loss", RUNS)
    # The list marks them already.
    marked = view.page.locator(".runs-table tbody tr:has(.mark-diverged) .run-name a")
    view.page.get_by_label("Order of runs").select_option("diverged")
    expect(marked).to_have_text(["run-22", "run-07", "run-13"])
    view.page.get_by_role("button", name="Compare", exact=True).click()
    section = comparison(view)
    expect(heads(section)).to_have_count(RUNS)
    expect(section.locator(".compare-facts strong")).to_have_text("3 of 30 runs diverged:")
    expect(section.locator(".diverged-run a")).to_have_text(["run-22", "run-07", "run-13"])
    expect(section.locator(".diverged-run .mark-diverged")).to_have_text(["∞", "NaN", "far"])
    section.get_by_role("button", name="Pin run-04 as the baseline").click()
    expect(heads(section).first).to_have_text("run-04")
    # What differs from the baseline is shown as a difference, absolute and relative.
    expect(row(section, "summary.train/loss").nth(5).locator(".difference")).to_have_text(re.compile(r"^[+−].*%\)$"))
    section.get_by_role("button", name="Copy link").click()
    link = view.page.evaluate("() => navigator.clipboard.readText()")
    colleague = window(link, apart=True)
    theirs = comparison(colleague)
    expect(heads(theirs)).to_have_count(RUNS)
    expect(theirs.locator("thead .base .tag")).to_have_text("baseline")
    expect(theirs.locator(".diverged-run a")).to_have_text(["run-22", "run-07", "run-13"])
    assert theirs.locator("tbody").inner_text() == section.locator("tbody").inner_text()
    theirs.get_by_role("button", name="Show only these").click()
    expect(heads(theirs)).to_have_text(["run-04", "run-22", "run-07", "run-13"])
    colleague.page.go_back()
    expect(heads(theirs)).to_have_count(RUNS)
    theirs.get_by_role("button", name="Hide these").click()
    expect(heads(theirs)).to_have_count(RUNS - 3)
    expect(theirs.locator(".compare-facts")).to_have_text("27 runs, none of which diverged.")


def test_only_what_differs_is_shown_unless_all_is_chosen_and_rows_are_searched_and_sorted(
    window: Open, sweep: str
) -> None:
    view = window(f"{sweep}?show=run-00,run-01,run-02&compare=diff")
    section = comparison(view)
    fields = section.locator("tr[data-field] th button")
    expect(fields.filter(has_text="epochs")).to_have_count(0)
    expect(fields.filter(has_text="opt.name")).to_have_count(0)
    expect(fields.filter(has_text="opt.seed")).to_have_count(1)
    section.get_by_role("button", name="Only differences").click()
    view.has_address("compare=all")
    expect(row(section, "config.epochs")).to_have_text(["5", "5", "5"])
    search = section.get_by_role("searchbox", name="Search rows")
    search.fill("^(lr|opt)")
    expect(fields).to_have_text(["lr", "opt.name", "opt.seed"])
    view.has_address("cq=")
    search.fill("(")
    expect(section.locator(".field-error")).to_be_visible()
    search.fill("nothing like this")
    expect(section.locator(".compare-note")).to_contain_text("No row matches")
    search.fill("")
    expect(heads(section)).to_have_text(["run-02", "run-01", "run-00"])
    row_head = section.get_by_role("button", name=re.compile("^lr( |$)"))
    row_head.click()
    expect(heads(section)).to_have_text(["run-02", "run-01", "run-00"])
    row_head.click()
    expect(heads(section)).to_have_text(["run-00", "run-01", "run-02"])
    expect(row_head).to_be_focused()
    section.get_by_role("button", name="Take run-01 out of the comparison").click()
    expect(heads(section)).to_have_text(["run-00", "run-02"])
    view.page.reload()
    expect(heads(section)).to_have_text(["run-00", "run-02"])
    section.get_by_role("button", name="Back to the charts").click()
    view.drawn("train/loss", 2)
    view.page.keyboard.press("c")
    expect(heads(section)).to_have_count(2)


def test_a_comparison_is_copied_as_markdown(window: Open, sweep: str) -> None:
    view = window(f"{sweep}?show=run-00,run-03&compare=diff&base=run-03")
    view.context.grant_permissions(["clipboard-read", "clipboard-write"])
    section = comparison(view)
    copy = section.get_by_role("button", name="Copy as Markdown")
    copy.click()
    expect(section.get_by_role("button", name="Copied")).to_be_visible()
    lines = view.page.evaluate("() => navigator.clipboard.readText()").splitlines()
    assert lines[0] == f"[Comparison of 2 runs]({view.page.url})"
    assert f"[run-03]({view.site.url}/me/thirty/run-03) (baseline)" in lines[2]
    assert "| opt.seed | 3 | 0 −3 (−100%) |" in lines
    assert "lr" not in [line.split(" | ")[0].strip("| ") for line in lines]


def test_the_baseline_is_in_tables_tooltips_and_charts(window: Open, sweep: str) -> None:
    view = window(f"{sweep}?show=run-00,run-03")
    view.drawn("train/loss", 2)
    before = view.picture("train/loss")
    name = view.page.locator(".runs-table tbody tr", has_text="run-03")
    name.hover()
    name.get_by_role("button", name="Pin run-03 as the baseline").click()
    view.has_address("base=run-03")
    assert view.picture("train/loss") != before
    chip = view.page.get_by_role("button", name="baseline run-03. Unpin the baseline")
    expect(chip).to_be_visible()
    chart = view.drawn("train/loss", 2)
    chart.focus()
    view.page.keyboard.press("ArrowRight")
    rows = view.page.locator(".tooltip-row")
    expect(rows.filter(has_text="run-00").locator(".tooltip-notes")).to_have_text(
        re.compile(r"^[+−][\d.]+ \([+−][\d.]+%\)$")
    )
    expect(rows.filter(has_text="run-03").locator(".tooltip-notes")).to_have_text("")
    view.page.keyboard.press("Escape")
    view.page.get_by_role("button", name="Runs as a table").click()
    cells = view.page.locator(".runs-table tbody tr", has_text="run-00").locator(".difference")
    expect(cells.first).to_have_text(re.compile(r"%\)$"))
    expect(view.page.locator(".runs-table tbody tr", has_text="run-03").locator(".difference")).to_have_count(0)
    # It is compared also where it is not shown, as the first one.
    view.page.goto(f"{view.site.url}{sweep}?show=run-00,run-01&base=run-03&compare=diff")
    section = comparison(view)
    expect(heads(section)).to_have_text(["run-03", "run-01", "run-00"])
    expect(row(section, "config.opt.seed")).to_have_text(["3", "1−2 (−66.7%)", "0−3 (−100%)"])
    expect(row(section, "config.lr").nth(2)).to_have_text("0.1")
    expect(row(section, "config.opt.seed").nth(1)).to_have_class(re.compile("changed"))
    section.get_by_role("button", name="run-03 is the baseline: unpin it").click()
    expect(heads(section)).to_have_count(2)


def test_runs_with_wide_configs_are_compared_as_a_whole(window: Open, site: Site) -> None:
    for name in ("a", "b"):
        config = {f"key{number:04d}": number for number in range(1_200)} | {"key1199": name}
        site.writer("wider", name, display_name=name, config=config, state="finished")
    view = window(project_url("wider", "?compare=diff"))
    section = comparison(view)
    expect(row(section, "config.key1199").filter(has_text=re.compile("^[ab]$"))).to_have_count(2)
    section.get_by_role("button", name="Only differences").click()
    expect(section.locator(".compare-note")).to_contain_text("more rows: search for them")
    section.get_by_role("searchbox", name="Search rows").fill("key119")
    expect(section.locator("tr[data-field]")).to_have_count(10)


def test_a_comparison_follows_live_runs_and_says_what_failed(window: Open, site: Site) -> None:
    config = {f"key{number:04d}": number for number in range(1_200)}
    writers = [site.writer("following", name, display_name=name, config=config) for name in ("a", "b")]
    for writer in writers:
        writer.numbers("loss", [0], [1.0])
    view = window("/", allowed=("503",))
    view.page.route(
        "**/api/v1/runs/me/following/*", lambda route: route.fulfill(status=503, json={"detail": "Out of order."})
    )
    view.page.goto(site.url + project_url("following", "?compare=all"))
    section = comparison(view)
    expect(section.locator(".compare-note")).to_contain_text("Out of order.")
    view.page.unroute("**/api/v1/runs/me/following/*")
    section.get_by_role("button", name="Try again").click()
    expect(section.locator(".compare-note")).not_to_contain_text("Out of order.")
    writers[0].numbers("loss", [1], [0.25])
    expect(row(section, "summary.loss").filter(has_text="0.25")).to_have_count(1)


@pytest.mark.parametrize("size", [(1280, 800), (400, 800)])
def test_screen_readers_and_phones_have_the_comparison(window: Open, sweep: str, size: tuple[int, int]) -> None:
    view = window(f"{sweep}?show=run-07,run-13,run-01&compare=all&base=run-01", size=size)
    comparison(view)
    for theme in ("light", "dark"):
        expect(view.page.locator("html")).to_have_attribute("data-theme", theme)
        assert view.violations() == {}, theme
        view.page.get_by_role("button", name="Light or dark").click()
    wide = view.page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1] == size[0]


def test_what_is_compared_is_in_the_address(window: Open, sweep: str) -> None:
    view = window(sweep)
    view.drawn("train/loss", 10)
    view.page.get_by_role("button", name="Compare", exact=True).click()
    comparison(view)
    # Newer runs do not replace those that were compared.
    shown = unquote(view.page.url.partition("show=")[2].partition("&")[0]).split(",")
    assert json.dumps(sorted(shown)) == json.dumps([f"run-{number:02d}" for number in range(20, 30)])
    view.page.go_back()
    view.drawn("train/loss", 10)
