"""A run of 64 ranks on its page: a band or a line for each, the one that stands out, system and console by rank."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import expect

from browser.window import Site, Window
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.streams import stream_key
from support.factories.points import RunWriter, gathered

Open = Callable[..., Window]
RANKS = 64
STEPS = 300
STRAGGLER = 17
DIVERGED = 42
BROKEN = 5
NODES = 4
NODE_RANKS = 4


def curve(rank: int) -> list[float]:
    """Return the loss of a rank: one lags, one leaves the others."""
    steps = np.arange(STEPS if rank != STRAGGLER else STEPS - 40)
    values = 2 * np.exp(-steps / 100) + np.random.default_rng(rank).normal(0, 0.02, len(steps))
    values[150:] += 1.0 * (rank == DIVERGED)
    return [float(value) for value in values]


@pytest.fixture(scope="module")
def job(site: Site) -> str:
    """A run of 64 ranks with a loss each, a gradient norm that one of them loses, system metrics and console lines."""
    path = RunPath("me", "jobs", "ranks")
    with gathered(site.sdk.store) as store:
        run = RunWriter(store, path, rolled=False).document(display_name="a job", config={"lr": 0.5})
        for rank in range(RANKS):
            run.as_writer(f"rank{rank}")
            losses = curve(rank)
            norms = np.ones(len(losses)) + rank / 1_000
            norms[-3:] = math.nan if rank == BROKEN else 1.0
            run.numbers("loss", range(len(losses)), losses).numbers("grad_norm", range(len(losses)), norms)
        run.as_writer("rank0").numbers("lr", range(STEPS), np.full(STEPS, 0.5))
        side = RunWriter(store, path, rolled=False, offset=run.offset, activity=False)
        for rank in range(RANKS):
            name = f"rank{rank}"
            side.stream("system").numbers(stream_key(name, "system", "cpu"), range(5), np.full(5, float(rank)))
            lines = [f"hello from {name}", f"line 1 of {name}"]
            side.stream("console").strings(stream_key(name, "console", "stdout"), [0, 1], lines)
            side.strings(stream_key(name, "console", "stderr"), [2], [f"a warning of {name}"])
    return "/me/jobs/ranks"


@pytest.fixture(scope="module")
def nodes(site: Site) -> str:
    """A run on several nodes, each of which has some ranks."""
    path = RunPath("me", "jobs", "nodes")
    with gathered(site.sdk.store) as store:
        run = RunWriter(store, path, rolled=False).document(display_name="nodes")
        side = RunWriter(store, path, rolled=False, offset=run.offset, activity=False)
        for rank in range(NODES * NODE_RANKS):
            name = f"rank{rank}"
            side.stream("system").numbers(stream_key(name, "system", "cpu"), range(5), np.full(5, float(rank)))
            side.strings(stream_key(name, "system", "host"), [0], [f"gpu-{rank // NODE_RANKS}"])
            side.stream("console").strings(stream_key(name, "console", "stdout"), [0], [f"hello from {name}"])
    return "/me/jobs/nodes"


def test_a_metric_is_drawn_for_the_primary_rank_as_a_band_or_as_a_line_for_each(window: Open, job: str) -> None:
    view = window(job)
    chart = view.drawn("loss", 1)
    expect(view.panel("loss").locator(".legend li")).to_have_count(0)
    choice = view.page.get_by_label("Ranks", exact=True)
    choice.select_option("band")
    view.has_address("ranks=band")
    expect(view.panel("loss").locator(".legend li")).to_have_text([f"a job ({RANKS} ranks)"])
    # A metric of one rank is drawn as before, and a line alone needs no legend.
    expect(view.panel("lr").locator(".legend li")).to_have_count(0)
    chart.focus()
    view.page.keyboard.press("ArrowRight")
    view.page.keyboard.press("ArrowLeft")
    for _ in range(10):
        view.page.keyboard.press("PageDown")
    notes = view.page.locator(".tooltip .tooltip-notes")
    expect(notes).to_contain_text(f"{RANKS} ranks")
    expect(notes).to_contain_text(re.compile(rf"… \S+ rank{DIVERGED} "))
    choice.select_option("lines")
    view.drawn("loss", RANKS)
    view.has_address("ranks=lines")
    view.page.reload()
    view.drawn("loss", RANKS)
    expect(view.panel("loss").locator(".legend li")).to_have_text(["rank0", f"rank{RANKS - 1}", f"+{RANKS - 2}"])
    view.page.go_back()
    view.drawn("loss", 1)


def test_the_hovered_rank_is_highlighted_and_named(window: Open, job: str) -> None:
    view = window(f"{job}?ranks=lines&full=line:loss")
    chart = view.page.locator(f"dialog .chart[data-lines='{RANKS}']")
    box = chart.locator(".u-over").bounding_box()
    assert box is not None
    # The rank that left the others is the highest line at the right.
    view.page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + box["height"] * 0.5)
    view.page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + box["height"] * 0.45)
    expect(chart).to_have_attribute("data-highlighted", f"rank{DIVERGED}")
    expect(view.page.locator(".tooltip .near .tooltip-name")).to_have_text(f"rank{DIVERGED}")
    view.page.mouse.move(2, 2)
    expect(chart).to_have_attribute("data-highlighted", "")


def test_a_band_over_time_is_made_by_the_page(window: Open, job: str) -> None:
    view = window(f"{job}?ranks=band&x=_runtime")
    view.drawn("loss", 1)
    expect(view.panel("loss").locator(".legend li")).to_have_text([f"a job ({RANKS} ranks)"])
    expect(view.panel("loss").locator(".chart")).to_have_attribute("data-axis", "_runtime")


def test_a_table_names_the_slowest_rank_and_the_one_that_differs_most(window: Open, job: str) -> None:
    view = window(job)
    view.page.get_by_role("tab", name="Ranks").click()
    table = view.page.get_by_role("table", name="Ranks")
    rows = table.locator("tbody tr")
    expect(rows).to_have_count(RANKS)
    view.page.get_by_label("Metric", exact=True).select_option("loss")
    view.has_address("tab=ranks", "metric=loss")
    expect(view.page.locator(".slowest-rank")).to_have_text(f"rank{STRAGGLER}")
    expect(view.page.locator(".rank-facts")).to_contain_text("40 steps short")
    expect(view.page.locator(".different-rank")).to_have_text(f"rank{DIVERGED}")
    expect(rows.first.locator("th")).to_have_text(f"rank{DIVERGED}differs most")
    view.page.get_by_label("Metric", exact=True).select_option("grad_norm")
    expect(view.page.locator(".different-rank")).to_have_text(f"rank{BROKEN}")
    expect(rows.first.locator("td").nth(2)).to_have_text("NaN")
    expect(rows.first.locator("td.bad")).to_have_text("3")
    view.page.reload()
    expect(view.page.locator(".different-rank")).to_have_text(f"rank{BROKEN}")


def test_system_metrics_and_console_are_shown_by_rank(window: Open, job: str) -> None:
    view = window(f"{job}?tab=system")
    view.drawn("system/cpu", RANKS)
    expect(view.page.locator(".grid article")).to_have_count(1)
    view.page.get_by_label("System metrics of rank").select_option("rank3")
    view.has_address("rank=rank3")
    view.drawn("system/cpu", 1)
    expect(view.panel("system/cpu").locator(".legend li")).to_have_count(0)
    view.page.get_by_role("tab", name="Console").click()
    lines = view.page.locator(".console .line")
    expect(lines).to_have_text(["hello from rank3\n", "line 1 of rank3\n", "a warning of rank3\n"])
    view.page.get_by_label("Console output of rank").select_option("")
    expect(lines).to_have_count(3 * RANKS)
    expect(lines.nth(1)).to_have_text("rank1 hello from rank1\n")
    expect(view.page.locator(".console .error").first).to_have_text("rank0 a warning of rank0\n")


def test_system_metrics_and_console_are_shown_by_node(window: Open, nodes: str) -> None:
    """All ranks of a node have one choice, named by its host; it stays in the address, and goes with the tab."""
    view = window(f"{nodes}?tab=system")
    view.drawn("system/cpu", NODES * NODE_RANKS)
    choice = view.page.get_by_label("System metrics of rank")
    names = ["all ranks", *(f"node gpu-{node} ({NODE_RANKS} ranks)" for node in range(NODES))]
    expect(choice.locator("option").first).to_have_text("system: all ranks")
    expect(choice.locator("option").nth(NODES)).to_have_text(f"system: {names[NODES]}")
    choice.select_option("node:gpu-2")
    view.has_address("rank=node%3Agpu-2")
    view.drawn("system/cpu", NODE_RANKS)
    expect(view.panel("system/cpu").locator(".legend li").first).to_have_text(f"rank{2 * NODE_RANKS}")
    view.page.reload()
    view.drawn("system/cpu", NODE_RANKS)
    view.page.get_by_role("tab", name="Console").click()
    lines = view.page.locator(".console .line")
    ranks = range(2 * NODE_RANKS, 3 * NODE_RANKS)
    expect(lines).to_have_text([f"rank{rank} hello from rank{rank}\n" for rank in ranks])
    view.page.get_by_label("Console output of rank").select_option("rank1")
    expect(lines).to_have_text(["hello from rank1\n"])


def test_a_run_without_ranks_shows_nothing_of_them(window: Open, site: Site) -> None:
    run = site.writer("jobs", "alone", display_name="alone").numbers("loss", [0, 1], [1.0, 2.0])
    run.stream("system").numbers("system/cpu", [0, 1], [1.0, 2.0])
    view = window("/me/jobs/alone")
    view.drawn("loss", 1)
    expect(view.page.get_by_label("Ranks", exact=True)).to_be_hidden()
    expect(view.page.get_by_role("tab", name="Ranks")).to_have_count(0)
    view.page.get_by_role("tab", name="System").click()
    view.drawn("system/cpu", 1)
    expect(view.panel("system/cpu").locator(".legend li")).to_have_count(0)
    expect(view.page.get_by_label("System metrics of rank")).to_be_hidden()


@pytest.mark.parametrize("query", ["?ranks=lines", "?tab=ranks", "?tab=console"])
def test_screen_readers_find_a_name_for_everything(window: Open, job: str, query: str) -> None:
    view = window(job + query)
    ready = {"?ranks=lines": f".chart[data-lines='{RANKS}']", "?tab=ranks": ".slowest-rank", "?tab=console": ".line"}
    expect(view.page.locator(ready[query]).first).to_be_attached()
    assert view.violations() == {}
    view.page.get_by_role("button", name="Light or dark").click()
    assert view.violations() == {}


def test_it_is_usable_on_a_phone(window: Open, job: str) -> None:
    view = window(f"{job}?tab=ranks", size=(400, 800))
    expect(view.page.locator(".slowest-rank")).to_be_visible()
    wide = view.page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1] == 400
