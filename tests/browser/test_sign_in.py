"""Sign-in and sign-out in the browser, by keyboard alone, and with the rules for screen readers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, expect

from browser.window import AXE, Site, Window
from stepwell_schemas.access.grants import Grant
from stepwell_schemas.access.key_store import KeyStore
from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.points import RunWriter
from support.servers.sdk import serving
from support.servers.stack import Stack

KEY = "an-administrator-s-key-of-the-settings-0123456789"


@pytest.fixture(scope="module")
def closed(stack: Stack) -> Iterator[Store]:
    """Tables of their own: with a key in its tables, a service on loopback is no longer open."""
    with stack.lend_database() as name, connect(stack.dsn("chdb"), name) as store:
        RunWriter(store, RunPath("me", "signed", "one")).document().numbers("loss", [0, 1], [1.0, 2.0])
        yield store


@pytest.fixture(scope="module")
def secured(closed: Store) -> Iterator[str]:
    """The address of a service with access control."""
    with serving(closed, admin_key=KEY) as url:
        yield url


@pytest.mark.parametrize("dark", [False, True])
def test_a_person_signs_in_and_out_by_keyboard(secured: str, browser: Browser, dark: bool) -> None:
    context = browser.new_context(color_scheme="dark" if dark else "light")
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: wrong.append(request.url) if not request.url.startswith(secured) else None)
    page.goto(f"{secured}/me/signed?search=a")
    expect(page).to_have_url(f"{secured}/signin?next=/me/signed%3Fsearch%3Da")
    assert page.evaluate("() => document.scripts.length") == 0
    page.evaluate(AXE.read_text())
    found = page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
    assert [one["id"] for one in found["violations"]] == []
    expect(page.locator("#key")).to_be_focused()
    page.keyboard.type("stepwell-wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("unknown, expired or revoked")
    expect(page.locator("#key")).to_be_focused()
    page.keyboard.type(KEY)
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Sign in with a key")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{secured}/me/signed?search=a")
    expect(page.locator(".account")).to_have_text("admin")
    assert page.evaluate("() => document.cookie") == ""
    page.get_by_role("button", name="Sign out").press("Enter")
    expect(page.get_by_role("status").filter(has_text="You are signed out")).to_be_visible()
    page.goto(f"{secured}/me/signed")
    expect(page).to_have_url(f"{secured}/signin?next=/me/signed")
    context.close()
    # Chromium reports the status of the wrong key.
    assert [text for text in wrong if "401" not in text] == []


def test_a_service_without_keys_says_that_it_is_open(site: Site, window: Callable[..., Window]) -> None:
    """On loopback, where it may run so: every page shows the mark, and no account."""
    site.writer("unsigned", "one").numbers("loss", [0, 1], [1.0, 2.0])
    for address in ("/", "/me", "/me/unsigned", "/me/unsigned/one"):
        page = window(address).page
        mark = page.get_by_text("Open", exact=True)
        expect(mark).to_be_visible()
        assert "requires no key" in (mark.get_attribute("title") or "")
        assert page.get_by_role("button", name="Sign out").count() == 0


def test_a_key_that_is_revoked_while_the_page_is_open_leads_to_sign_in_and_back(
    closed: Store, secured: str, browser: Browser
) -> None:
    """The page says why, and returns to the view that it showed; nothing of it stays in sight."""
    keys = KeyStore(closed)
    new, stored = keys.create("short", "ann", [Grant.parse("read:me")])
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{secured}/me/signed?smooth=0.5")
    expect(page.locator("#key")).to_be_focused()
    page.keyboard.type(new.text)
    page.keyboard.press("Enter")
    expect(page.locator(".account")).to_have_text("ann")
    expect(page.locator('.grid article[data-key="loss"]')).to_be_visible()
    keys.revoke(stored)
    # Without a click: the stream of updates ends, and the page asks for the runs again.
    expect(page).to_have_url(re.compile(r"/signin[?]ended&next="))
    expect(page.get_by_role("status").filter(has_text="Your session has ended")).to_be_visible()
    assert page.locator(".grid").count() == 0
    expect(page.locator("#key")).to_be_focused()
    page.keyboard.type(new.text)
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("unknown, expired or revoked")
    expect(page.locator("#key")).to_be_focused()
    page.keyboard.type(KEY)
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{secured}/me/signed?smooth=0.5")
    context.close()
