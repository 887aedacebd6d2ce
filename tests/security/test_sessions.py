"""Sessions of the page: they begin with a key, end with it or by sign-out, and no other page can use them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from fastapi import FastAPI

from stepwell_query.access.attempts import ATTEMPTS_BURST
from stepwell_query.api.app import create_app
from stepwell_query.settings import QuerySettings
from stepwell_schemas.access.grants import Grant
from stepwell_schemas.access.key_store import KeyStore
from stepwell_schemas.access.keys import hash_key
from stepwell_schemas.access.sessions import COOKIE, SessionCodec, begin_key_session
from stepwell_schemas.clickhouse.store import Store, connect
from support.servers.stack import Stack

from .browser import OWN, Page

ADMIN_KEY: Final = "an-administrator-s-key-of-the-settings-0123456789"
SECRET: Final = "a-secret-that-seals-the-sessions-of-these-tests"
FORM: Final = {"content-type": "application/x-www-form-urlencoded"}


OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def store(stack: Stack) -> Iterator[Store]:
    """One database for all tests: each has keys and sessions of its own."""
    with stack.lend_database() as database, connect(stack.dsn("chdb"), database) as store:
        yield store


@pytest.fixture
def keys(store: Store) -> KeyStore:
    return KeyStore(store)


@pytest.fixture
def page(store: Store) -> Iterator[OpenPage]:
    """A function that opens the page of a service of its own, with settings."""
    apps: list[FastAPI] = []

    def open_page(url: str = "http://localhost", **settings: Any) -> Page:
        given = {"admin_key": ADMIN_KEY, "session_secret": SECRET} | settings
        apps.append(create_app(QuerySettings(**given), store))
        return Page(apps[-1], url)

    yield open_page
    for app in apps:
        app.state.context.close()


def test_a_key_begins_a_session_that_has_the_scopes_of_the_key(page: OpenPage, keys: KeyStore) -> None:
    text = keys.create("laptop", "zoe", [Grant.parse("read:alpha")])[0].text
    browser = page()
    assert browser.call("GET", "/alpha/one?x=1#a").headers["location"] == "/signin?next=/alpha/one%3Fx%3D1"
    answer = browser.sign_in(text, next="/alpha/one?x=1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/alpha/one?x=1")
    me = browser.me()
    assert (me["name"], me["method"], me["scopes"]) == ("zoe", "key", ["read:alpha"])
    assert browser.call("GET", "/alpha/one").status_code == 200
    assert browser.call("GET", "/metrics").status_code == 403
    assert browser.call("GET", "/signin").status_code == 303


def test_sign_in_and_out_are_in_the_audit_log(page: OpenPage, store: Store) -> None:
    browser = page()
    browser.sign_in("wrong")
    browser.sign_in(ADMIN_KEY)
    browser.call("POST", "/signout", headers=OWN)
    browser.app.state.context.audit.close()
    rows = store.query("SELECT action, actor, status FROM {db}.audit ORDER BY time, action DESC").to_pylist()
    found = [tuple(row.values()) for row in rows]
    assert found[-3:] == [("sign_in_failed", "", 401), ("sign_in", "admin", 303), ("sign_out", "admin", 303)]
    assert ADMIN_KEY not in str(rows)


@pytest.mark.parametrize("secure", [False, True])
def test_the_cookie_is_hidden_from_scripts_and_other_sites(page: OpenPage, secure: bool) -> None:
    url = "https://stepwell.example" if secure else "http://localhost"
    browser = page(url, base_url=url)
    header = browser.call("POST", "/signin", data={"key": ADMIN_KEY}).headers["set-cookie"]
    name, *attributes = header.split("; ")
    assert name.startswith("__Host-stepwell-session=" if secure else "stepwell-session=")
    assert set(attributes) >= {"HttpOnly", "SameSite=Lax", "Path=/"}
    assert ("Secure" in attributes) == secure
    assert not any(attribute.startswith("Domain") for attribute in attributes)
    assert ADMIN_KEY not in header
    assert hash_key(ADMIN_KEY) not in header
    assert browser.me()["name"] == "admin"


def test_a_service_with_https_ignores_cookies_that_other_hosts_of_the_domain_can_set(page: OpenPage) -> None:
    browser = page("https://stepwell.example", base_url="https://stepwell.example")
    browser.cookies = {COOKIE: SessionCodec(SECRET).seal(begin_key_session(hash_key(ADMIN_KEY), now(), 60_000))}
    assert browser.me() == 401
    browser.cookies = {f"__Host-{COOKIE}": browser.cookies[COOKIE]}
    assert browser.me()["name"] == "admin"


def now() -> int:
    return time.time_ns() // 1_000_000


def test_a_session_ends_when_its_key_is_revoked(page: OpenPage, keys: KeyStore) -> None:
    created, key = keys.create("laptop", "zoe", [Grant.parse("read")])
    browser = page()
    browser.sign_in(created.text)
    assert browser.me()["name"] == "zoe"
    keys.revoke(key)
    browser.app.state.context.authenticator.keys.cache.forget()
    assert browser.me() == 401
    assert browser.call("GET", "/").status_code == 303


def test_a_session_ends_with_another_key_of_the_administrator(page: OpenPage) -> None:
    browser = page()
    browser.sign_in(ADMIN_KEY)
    again = page(admin_key="b" * 40)
    again.cookies = browser.cookies
    assert again.me() == 401


def test_signing_out_ends_the_session_for_a_copied_cookie_and_at_other_services(page: OpenPage) -> None:
    browser, other = page(), page()
    browser.sign_in(ADMIN_KEY)
    copied = dict(browser.cookies)
    other.cookies = dict(copied)
    answer = browser.call("POST", "/signout", headers=OWN)
    assert (answer.status_code, answer.headers["location"]) == (303, "/signin?signed_out")
    assert browser.cookies == {}
    browser.cookies = copied
    assert browser.me() == 401
    # This service reads the list for the first time now.
    assert other.me() == 401
    assert "You are signed out" in Page(browser.app).call("GET", "/signin?signed_out").text


def test_a_used_session_is_renewed_and_an_unused_one_expires(page: OpenPage) -> None:
    browser = page(session_hours=1)
    codec = SessionCodec(SECRET)
    for age, renewed in ((10, False), (40, True)):
        begun = now() - age * 60_000
        session = begin_key_session(hash_key(ADMIN_KEY), begun, 3_600_000)
        browser.cookies = {COOKIE: codec.seal(session)}
        answer = browser.call("GET", "/api/v1/whoami")
        assert ("set-cookie" in answer.headers) == renewed
        if renewed:
            longer = codec.open(browser.cookies[COOKIE], now())
            assert longer is not None
            assert longer.session_id == session.session_id
            assert longer.expires > session.expires
    browser.cookies = {COOKIE: codec.seal(begin_key_session(hash_key(ADMIN_KEY), now() - 3_600_001, 3_600_000))}
    assert browser.me() == 401


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "null"},
        {"origin": "http://evil.example"},
        {"origin": "http://localhost:3000"},
        {"origin": "http://127.0.0.1:3000"},
        {"origin": "http://localhost", "sec-fetch-site": "same-site"},
        {"origin": "http://localhost", "sec-fetch-site": "cross-site"},
        {"origin": "http://localhost", "sec-fetch-site": "none"},
    ],
    ids=str,
)
def test_other_pages_change_nothing_with_the_cookie(page: OpenPage, headers: dict[str, str]) -> None:
    browser = page()
    browser.sign_in(ADMIN_KEY)
    for path, more in (
        ("/signout", {}),
        ("/signin", {"data": {"key": "x"}}),
        ("/api/v1/sql", {"json": {"sql": "SELECT 1"}}),
    ):
        answer = browser.call("POST", path, headers=headers, **more)
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:stepwell:problem:foreign-page")
    assert browser.me()["name"] == "admin"


def test_the_own_page_changes_things_with_the_cookie(page: OpenPage) -> None:
    browser = page()
    browser.sign_in(ADMIN_KEY)
    for headers in (OWN, {"origin": "http://localhost"}, {"sec-fetch-site": "same-origin"}):
        assert browser.call("POST", "/api/v1/sql", json={"sql": "SELECT 1"}, headers=headers).status_code == 200
    # A program with a key is no page, even if it keeps cookies.
    headers = {"authorization": f"Bearer {ADMIN_KEY}"}
    assert browser.call("POST", "/api/v1/sql", json={"sql": "SELECT 1"}, headers=headers).status_code == 200


@pytest.mark.parametrize("key", ["", "x", "stepwell-" + "a" * 64, "é", "a" * 10_000, ADMIN_KEY + "x"])
def test_a_wrong_key_begins_no_session_and_is_not_shown(page: OpenPage, key: str) -> None:
    browser = page()
    answer = browser.sign_in(key, next="/alpha")
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert 'role="alert"' in answer.text
    assert 'value="/alpha"' in answer.text
    assert len(key) < 5 or key not in answer.text


def test_many_wrong_keys_have_to_wait_and_right_ones_too(page: OpenPage) -> None:
    browser = page()
    for _ in range(ATTEMPTS_BURST):
        assert browser.sign_in("wrong").status_code == 401
    answer = browser.sign_in(ADMIN_KEY)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert browser.cookies == {}


@pytest.mark.parametrize("address", ["//evil.example", "https://evil.example", "/\\evil.example", "/\t/evil.example"])
def test_no_sign_in_leads_to_another_host(page: OpenPage, address: str) -> None:
    browser = page()
    assert "evil" not in browser.call("GET", "/signin", params={"next": address}).text
    assert browser.sign_in(ADMIN_KEY, next=address).headers["location"] == "/"
    assert browser.call("GET", "/signin", params={"next": address}).headers["location"] == "/"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"key": "x"}'),
        ("text/plain", b"key=x"),
        ("", b"key=x"),
        (FORM["content-type"], b"k" * 20_000),
    ],
)
def test_what_is_no_form_of_the_page_is_refused(page: OpenPage, content_type: str, body: bytes) -> None:
    answer = page().call("POST", "/signin", content=body, headers={"content-type": content_type})
    assert (answer.status_code, answer.json()["type"]) == (415, "urn:stepwell:problem:no-form")


@pytest.mark.parametrize("value", ["", "x", "a.b.c.d.e", "=", "é", "a" * 10_000])
def test_a_forged_cookie_is_nobodys(page: OpenPage, value: str) -> None:
    browser = page()
    headers = {"cookie": f"{COOKIE}={value}".encode()}
    assert browser.call("GET", "/api/v1/whoami", headers=headers).status_code == 401
    other = SessionCodec("another-secret-of-another-service-0123456789")
    browser.cookies = {COOKIE: other.seal(begin_key_session(hash_key(ADMIN_KEY), now(), 60_000))}
    assert browser.me() == 401


def test_two_cookies_of_one_name_are_not_trusted(page: OpenPage) -> None:
    browser = page()
    browser.sign_in(ADMIN_KEY)
    twice = f"{COOKIE}={browser.cookies[COOKIE]}; {COOKIE}={browser.cookies[COOKIE]}"
    browser.cookies = {}
    assert browser.call("GET", "/api/v1/whoami", headers={"cookie": twice}).status_code == 401


def test_the_sign_in_page_is_strict(page: OpenPage) -> None:
    answer = page().call("GET", "/signin")
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "script" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["cache-control"] == "no-store"
    assert "<script" not in answer.text


def test_an_open_service_needs_no_sign_in(chdb_store: Store) -> None:
    browser = Page(create_app(QuerySettings(), chdb_store))
    assert browser.call("GET", "/signin?next=/alpha").headers["location"] == "/alpha"
    assert browser.me()["method"] == "open"
    assert browser.call("GET", "/api/v1/signin").json() == {"open": True, "oidc": None}
    assert browser.call("GET", "/signin/provider").status_code == 403
    browser.app.state.context.close()


PATHS: Final = [
    "/",
    "/docs",
    "/signin",
    "/healthz",
    "/api/v1/whoami",
    "/api/v1/projects",
    "/nope/nope/nope/nope",
    "/metrics",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("host", ["localhost", "evil.example"])
def test_every_answer_has_the_security_headers(page: OpenPage, path: str, host: str) -> None:
    browser = page("https://localhost")
    for headers in ({"host": host}, {"host": host, "authorization": f"Bearer {ADMIN_KEY}"}):
        answer = browser.call("GET", path, headers=headers)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        assert answer.headers["referrer-policy"] in {"same-origin", "no-referrer"}
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert len(answer.headers.get_list("content-security-policy")) == 1
