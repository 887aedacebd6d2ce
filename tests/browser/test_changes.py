"""Runs changed and deleted on the page."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from playwright.sync_api import Route, expect

from browser.test_compare import comparison, heads
from browser.window import Site, Window, project_url
from support.servers.sdk import eventually

Open = Callable[..., Window]

_SCRIPT = """
import stepwell
for name in ("one", "two"):
    with stepwell.init(project="changes", id=name, name=name, tags=["old"]) as run:
        run.log({"loss": 1.0})
"""


def test_runs_are_changed_together_and_deleted_after_a_question(window: Open, site: Site) -> None:
    site.sdk.run(_SCRIPT)
    for run in ("one", "two"):
        eventually(partial(site.sdk.state, run), "finished")
    # The page reads a run again that was changed, maybe after its deletion.
    view = window(project_url("changes"), allowed=("404",))
    page = view.page
    page.get_by_role("button", name="Edit").click()
    dialog = page.get_by_role("dialog", name="Change 2 runs")
    dialog.get_by_label("Add tags").last.fill("paper, new")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)

    def tags() -> list[list[str]]:
        sql = "SELECT tags FROM {db}.runs WHERE project = 'changes' ORDER BY run_id"
        return [found["tags"] for found in site.sdk.store.query(sql).to_pylist()]

    eventually(tags, [["old", "paper", "new"]] * 2)
    page.get_by_role("button", name="Edit").click()
    dialog.get_by_role("button", name="Delete…").click()
    expect(dialog).to_contain_text("Delete 2 runs for good?")
    dialog.get_by_role("button", name="Delete 2 runs").click()
    expect(dialog).to_have_count(0)
    assert tags() == []
    expect(page.get_by_role("table", name="Runs").get_by_text("one")).to_have_count(0)


def test_runs_are_chosen_once_their_list_is_there(window: Open, site: Site) -> None:
    for name in ("one", "two"):
        site.writer("slow-list", name, display_name=name).numbers("loss", [0], [1.0])
    view = window("/")
    held: list[Route] = []
    view.page.route("**/runs?*", lambda route: held.append(route))
    view.page.goto(site.url + project_url("slow-list"))
    edit = view.page.get_by_role("button", name="Edit")
    expect(edit).to_be_disabled()
    view.page.get_by_role("button", name="Compare", exact=True).click()
    view.has_address("compare=diff")
    expect(edit).to_be_disabled()
    for route in held:
        route.continue_()
    view.page.unroute("**/runs?*")
    expect(heads(comparison(view))).to_have_count(2)
    expect(edit).to_be_enabled()
    all_runs = view.page.get_by_role("checkbox", name="Show all runs of the list")
    expect(all_runs).to_be_enabled()
    view.page.get_by_role("searchbox", name="Search runs").fill("state=crashed")
    expect(all_runs).to_be_disabled()
