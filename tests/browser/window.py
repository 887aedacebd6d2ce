"""A window of the browser, and what happened in it that should not: errors, refusals, foreign requests."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page, expect

from stepwell_schemas.rules.identifiers import RunPath
from support.factories.points import RunWriter
from support.paths import ROOT
from support.servers.sdk import Served

SIZE: Final = (1280, 800)
AXE: Final = ROOT / "query" / "node_modules" / "axe-core" / "axe.min.js"
STORED: Final = "indexeddb,local_storage,service_workers,cache_storage"
WAIT_MS: Final = 40_000
expect.set_options(timeout=WAIT_MS)


@dataclass
class Site:
    """The service under test."""

    sdk: Served

    @property
    def url(self) -> str:
        """The address of the page."""
        return self.sdk.environment["STEPWELL_BASE_URL"]

    def writer(self, project: str, run_id: str, **document: Any) -> RunWriter:
        """Begin a run, straight in the tables."""
        return RunWriter(self.sdk.store, RunPath("me", project, run_id)).document(**document)


class Window:
    """A page in a profile of the browser. `allowed`: texts of console errors and answers that the test provokes.

    Tests share a profile, so that its cache has the modules of the page: each window would load over a hundred. What a
    test stores is removed as its window is closed.
    """

    def __init__(
        self,
        context: BrowserContext,
        site: Site,
        address: str,
        *,
        size: tuple[int, int] = SIZE,
        dark: bool = False,
        allowed: tuple[str, ...] = (),
    ) -> None:
        self.site = site
        # The tests read canvases back, which Chromium advises about.
        self.allowed = ("willReadFrequently", *allowed)
        self.wrong: list[str] = []
        self.asked: list[str] = []
        self.context = context
        self.page: Page = context.new_page()
        self.page.set_viewport_size({"width": size[0], "height": size[1]})
        self.page.emulate_media(color_scheme="dark" if dark else "light", reduced_motion="reduce")
        self.page.set_default_timeout(WAIT_MS)
        self.page.on("console", lambda message: self._note(message.type in {"error", "warning"}, _described(message)))
        self.page.on("pageerror", lambda error: self._note(True, str(error)))
        self.page.on("request", lambda request: self._asked(request.url))
        self.page.goto(address if address.startswith("http") else site.url + address)

    def _asked(self, url: str) -> None:
        self.asked.append(url)
        own = url.startswith((self.site.url + "/", "data:", "blob:", "about:"))
        self._note(not own, f"a request left the site: {url}")

    def _note(self, wrong: bool, text: str) -> None:
        if wrong:
            self.wrong.append(text)

    def check(self) -> None:
        """Fail when anything happened that the test did not allow."""
        found = [text for text in self.wrong if not any(one in text for one in self.allowed)]
        assert not found, found

    def close(self) -> None:
        """Close the window, and remove what it has stored."""
        session = self.context.new_cdp_session(self.page)
        session.send("Storage.clearDataForOrigin", {"origin": self.site.url, "storageTypes": STORED})
        self.context.clear_cookies()
        self.context.clear_permissions()
        self.page.close()

    def has_address(self, *parts: str) -> None:
        """Wait until the address has these parts, in any order."""
        ahead = "".join(f"(?=.*{re.escape(part)})" for part in parts)
        expect(self.page).to_have_url(re.compile(f"^{ahead}.*$"))

    def panel(self, key: str) -> Locator:
        """Return the panel of a metric."""
        return self.page.locator(f'.grid article[data-key="{key}"]')

    def drawn(self, key: str, lines: int) -> Locator:
        """Wait until a panel has drawn as many lines; return its chart."""
        chart = self.panel(key).locator(".chart")
        expect(chart).to_have_attribute("data-lines", str(lines))
        return chart

    def picture(self, key: str) -> str:
        """Return a hash of the pixels that a chart has drawn."""
        canvas = self.panel(key).locator("canvas").first
        expect(self.page.locator(".charts")).not_to_have_attribute("aria-busy", "true")
        # Twice over two frames the same: what uPlot draws in the next frame is there.
        pixels = canvas.evaluate(
            """async (canvas) => {
              const frame = () => new Promise((done) => requestAnimationFrame(() => done(canvas.toDataURL())));
              let before = null;
              for (let at = 0; at < 100; at += 1) {
                const now = await frame();
                if (now === before) return now;
                before = now;
              }
              throw new Error("the chart never rests");
            }"""
        )
        return hashlib.sha256(pixels.encode()).hexdigest()

    def violations(self) -> dict[str, list[str]]:
        """Return the rules for screen readers that the page breaks, with the elements that do."""
        # Passed as text: the page's policy refuses scripts that are not its own.
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
        assert len(found["passes"]) > 5
        return {one["id"]: [node["html"][:200] for node in one["nodes"]] for one in found["violations"]}

    def section(self, name: str) -> Locator:
        """Return the head of a section."""
        return self.page.locator(".section-head", has=self.page.get_by_text(name, exact=True))

    def labels(self) -> list[str]:
        """Return the titles of the panels in view, in order."""
        return self.page.locator(".grid .panel-title").all_inner_texts()


def _described(message: ConsoleMessage) -> str:
    """Return the text of a console message, with the address that it is about."""
    return f"{message.text} {message.location['url']}"


def project_url(project: str, query: str = "") -> str:
    """Return the address of a project's page."""
    return f"/me/{quote(project, safe='')}{query}"
