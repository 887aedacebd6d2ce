"""One service and one Chromium for all tests of the page; each test has a window of its own, which is watched."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from browser.window import Site, Window
from stepwell_schemas.clickhouse.store import connect
from support.paths import ROOT
from support.readers.logs import warnings_alone
from support.servers import chromium
from support.servers.sdk import served
from support.servers.stack import Stack

SHOTS = ROOT / "build" / "screenshots"
_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note a failure for the fixture that takes pictures."""
    report = yield
    item.stash[_FAILED] = report.failed
    return report


@pytest.fixture(scope="package")
def site(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A broker, an ingestor and a query service with its page; tests write runs through them, or into the tables."""
    if chromium.find() is None:
        pytest.skip(chromium.MISSING)
    with warnings_alone(), stack.lend_database() as name, connect(stack.dsn("chdb"), name) as store:
        folder = tmp_path_factory.mktemp("browser")
        with served(stack.bootstrap_servers(), stack.take_topics(), store, folder, gateway=True) as sdk:
            yield Site(sdk)


@pytest.fixture(scope="package")
def browser(site: Site) -> Iterator[Browser]:
    """Chromium. Begun after the service: Playwright keeps this thread's event loop, in which nothing else can run."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium.find(), args=list(chromium.ARGUMENTS))
        yield running
        running.close()


@pytest.fixture(scope="package")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A profile of the browser, whose cache all windows share."""
    with browser.new_context() as opened:
        yield opened


@pytest.fixture
def window(
    site: Site, browser: Browser, context: BrowserContext, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Window]]:
    """A function that opens an address of the site in a window of its own, see `Window`; `apart`: of another person."""
    opened: list[Window] = []
    others = ExitStack()

    def open_window(address: str, apart: bool = False, **options: Any) -> Window:
        profile = others.enter_context(browser.new_context()) if apart else context
        opened.append(Window(profile, site, address, **options))
        return opened[-1]

    yield open_window
    # A picture takes as long as a short test.
    pictured = request.node.stash[_FAILED] or "STEPWELL_TEST_PICTURES" in os.environ
    SHOTS.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(opened):
        if pictured:
            one.page.screenshot(path=SHOTS / f"{request.node.name.replace('/', '_')[:100]}-{number}.png")
        one.close()
    others.close()
    for one in opened:
        one.check()
