"""Charts of runs that have lost rows to retention: a quiet mark, the curve in buckets, and no rows in a zoom."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import numpy as np
from playwright.sync_api import expect

from browser.window import Site, Window, project_url
from stepwell_ingestor.removal.retention import Timing, make_retention_pass
from stepwell_schemas.retention.boundaries import forget_projects
from stepwell_schemas.retention.policies import PassTimes, Project
from stepwell_schemas.retention.policy import Policy
from support.factories.points import BEGIN_MS, STEP_MS

Open = Callable[..., Window]
STEPS: Final = 4_000
DAY_MS: Final = 86_400_000


def test_a_chart_marks_where_rows_are_removed(site: Site, window: Open) -> None:
    for run in ("old", "young"):
        writer = site.writer("thinned", run, display_name=run)
        writer.numbers("loss", np.arange(STEPS), np.sqrt(np.arange(STEPS)))
    writer.numbers("kept", np.arange(3_900, STEPS), np.arange(100) * 1.0)
    now = BEGIN_MS + 2_600 * STEP_MS + DAY_MS
    make_retention_pass(site.sdk.store, Project("me", "thinned"), Policy(DAY_MS), PassTimes(), Timing(now, 1, 0))
    forget_projects(site.sdk.store)
    view = window(project_url("thinned", "?show=old,young"))
    chart = view.drawn("loss", 2)
    expect(chart).to_have_attribute("data-raw-from", "2560")
    mark = view.panel("loss").locator(".removed-rows")
    expect(mark).to_have_text(re.compile(r"rows from step 2.?560"))
    expect(mark).to_have_attribute("title", re.compile("removed"))
    kept = view.drawn("kept", 1)
    expect(kept).to_have_attribute("data-raw-from", "0")
    expect(view.panel("kept").locator(".removed-rows")).to_have_count(0)
    box = chart.locator(".u-over").bounding_box()
    assert box is not None
    view.page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.5)
    tooltip = view.page.locator(".tooltip")
    expect(tooltip).to_contain_text("rows removed")
    view.page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + box["height"] * 0.5)
    expect(tooltip).not_to_contain_text("rows removed")
    # A zoom below the boundary has buckets of 128 steps: 1,000 to 1,400 touch five of them in each run.
    zoomed = window(project_url("thinned", "?show=old,young&zoom=_step:1000..1400"))
    chart = zoomed.drawn("loss", 2)
    expect(chart).to_have_attribute("aria-busy", "false")
    expect(chart).to_have_attribute("data-sampled", "true")
    expect(zoomed.panel("loss").locator(".removed-rows")).to_be_visible()
