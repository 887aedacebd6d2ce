"""One service and one Chromium for all tests of the page; each test has a window of its own, which is watched."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from browser.window import Site, Window
from stepwell_schemas.clickhouse.store import connect
from stepwell_schemas.logs import configure_logging
from stepwell_schemas.migrations.runner import migrate
from support.paths import ROOT
from support.servers import chromium
from support.servers.sdk import served
from support.servers.stack import Stack, Topics

SHOTS = ROOT / "build" / "screenshots"


@pytest.fixture(scope="package")
def site(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A broker, an ingestor and a query service with its page; tests write runs through them, or into the tables."""
    if chromium.find() is None:
        pytest.skip(chromium.MISSING)
    broker = stack.bootstrap_servers()
    name = uuid.uuid4().hex[:8]
    topics = Topics(f"events-{name}", f"deadletters-{name}")
    asyncio.run(topics.create(broker))
    store = connect(stack.dsn("chdb"), f"browser_{name}")
    migrate(store)
    configure_logging("warning")
    with served(broker, topics, store, tmp_path_factory.mktemp("browser")) as sdk:
        yield Site(sdk)
    store.close()


@pytest.fixture(scope="package")
def browser(site: Site) -> Iterator[Browser]:
    """Chromium. Begun after the service: Playwright keeps this thread's event loop, in which nothing else can run."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium.find(), args=list(chromium.ARGUMENTS))
        yield running
        running.close()


@pytest.fixture
def window(site: Site, browser: Browser, request: pytest.FixtureRequest) -> Iterator[Callable[..., Window]]:
    """A function that opens an address of the site in a window of its own; see `Window`."""
    opened: list[Window] = []

    def open_window(address: str, **options: Any) -> Window:
        opened.append(Window(browser, site, address, **options))
        return opened[-1]

    yield open_window
    SHOTS.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(opened):
        one.page.screenshot(path=SHOTS / f"{request.node.name.replace('/', '_')[:100]}-{number}.png")
        one.close()
    for one in opened:
        one.check()
