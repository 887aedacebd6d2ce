"""Sign-in at a real, certified provider (oidc-provider): what it allows, and what an attacker may try."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from joserfc import jwt

from stepwell_query.api.app import create_app
from stepwell_query.settings import QuerySettings
from stepwell_schemas.access import oidc_provider
from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.errors import ProviderError
from support.servers.identity_provider import SECRET, IdentityProvider, User, identity_provider, new_key
from support.servers.stack import Stack

from .browser import Page

URL: Final = "http://localhost"
CALLBACK: Final = f"{URL}/signin/callback"
GROUPS: Final = {"ml-team": ["write:ml"], "*": ["read:public"]}

OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def provider() -> Iterator[IdentityProvider]:
    with identity_provider(CALLBACK) as running:
        yield running


@pytest.fixture(scope="module")
def store(stack: Stack) -> Iterator[Store]:
    with stack.lend_database() as database, connect(stack.dsn("chdb"), database) as store:
        yield store


@pytest.fixture
def page(store: Store, provider: IdentityProvider) -> Iterator[OpenPage]:
    """A function that opens the page of a service of its own, which trusts the provider."""
    apps: list[FastAPI] = []

    def open_page(**changes: Any) -> Page:
        settings = {
            "base_url": URL,
            "oidc_issuer": provider.issuer,
            "oidc_client_id": "stepwell",
            "oidc_client_secret": SECRET,
            "oidc_cli_client_id": "cli",
            "oidc_audiences": "stepwell-jobs",
            "oidc_scopes": "openid profile groups",
            "oidc_groups": GROUPS,
        }
        apps.append(create_app(QuerySettings(**settings | changes), store))
        return Page(apps[-1])

    yield open_page
    for app in apps:
        app.state.context.close()


def authorize(browser: Page, name: str, next_page: str = "/ml/p") -> str:
    """Go to the provider, sign in there, and return the address that it sends the browser back to."""
    answer = browser.call("GET", "/signin/provider", params={"next": next_page})
    assert answer.status_code == 303, answer.text
    with User(name) as user:
        return user.open(answer.headers["location"], URL)


def come_back(browser: Page, address: str, **changes: str | None) -> httpx.Response:
    """Open the address, with some parameters changed or left out."""
    parameters = {**dict(parse_qsl(urlsplit(address).query)), **changes}
    query = urlencode({name: value for name, value in parameters.items() if value is not None})
    return browser.call("GET", f"/signin/callback?{query}")


@pytest.mark.parametrize(
    ("name", "settings", "scopes"),
    [
        ("alice", {}, ["write:ml", "read:public"]),
        ("bob", {}, ["read:public"]),
        # Its ID token has neither name nor groups: the userinfo endpoint does.
        ("thin", {}, ["write:ml", "read:public"]),
        ("alice", {"oidc_client_id": "public", "oidc_client_secret": ""}, ["write:ml", "read:public"]),
    ],
)
def test_a_user_signs_in_and_has_the_scopes_of_the_groups(
    page: OpenPage, name: str, settings: Mapping[str, str], scopes: list[str]
) -> None:
    browser = page(**settings)
    answer = come_back(browser, authorize(browser, name, "/ml/p?x=1"))
    assert (answer.status_code, answer.headers["location"]) == (303, "/ml/p?x=1"), answer.text
    me = browser.me()
    assert (me["name"], me["method"], me["scopes"]) == (f"{name}@example.org", "oidc", scopes)
    assert list(browser.cookies) == ["stepwell-session"]
    assert browser.call("GET", "/metrics").status_code == 403
    assert browser.call("POST", "/signout", headers={"origin": URL}).status_code == 303
    assert browser.me() == 401


def test_signing_out_ends_the_session_at_the_provider_too(page: OpenPage, provider: IdentityProvider) -> None:
    """Otherwise the next person at this machine continues as the user, without a password."""
    browser = page()
    with User("alice") as user:

        def sign_in() -> int:
            """Sign in; return the number of forms that the provider has shown for it."""
            before = user.forms
            address = browser.call("GET", "/signin/provider").headers["location"]
            assert come_back(browser, user.open(address, URL)).status_code == 303
            return user.forms - before

        assert sign_in() > 1
        assert sign_in() == 0, "the provider remembers the user"
        answer = browser.call("POST", "/signout", headers={"origin": URL, "accept": "application/json"})
        assert browser.me() == 401
        address = answer.json()["location"]
        assert address.startswith(f"{provider.issuer}/session/end?")
        assert parse_qs(urlsplit(address).query)["post_logout_redirect_uri"] == [f"{URL}/signin"]
        back = user.open(address, URL)
        assert back == f"{URL}/signin?state=signed_out"
        assert "You are signed out" in browser.call("GET", back.removeprefix(URL)).text
        assert sign_in() > 1


def test_a_browser_without_script_is_redirected_to_the_provider(page: OpenPage, provider: IdentityProvider) -> None:
    browser = page()
    come_back(browser, authorize(browser, "alice"))
    answer = browser.call("POST", "/signout", headers={"origin": URL})
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(f"{provider.issuer}/session/end?")
    assert "max-age=0" in answer.headers["set-cookie"].lower()


def test_signing_out_works_without_the_provider(page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also at one that has no address for it; and a session of a key has nothing to do with the provider."""
    own = "/signin?signed_out"
    browser = page(admin_key="an-administrator-s-key-of-the-settings-0123456789")
    for problem in (None, ProviderError("away")):
        come_back(browser, authorize(browser, "alice"))
        published = browser.app.state.sign_in.access.provider.metadata()._replace(end_session_endpoint="")

        def metadata(_: object, problem: Exception | None = problem, published: Any = published) -> Any:
            if problem is not None:
                raise problem
            return published

        with monkeypatch.context() as patched:
            patched.setattr(oidc_provider.Provider, "metadata", metadata)
            answer = browser.call("POST", "/signout", headers={"origin": URL})
        assert (answer.status_code, answer.headers["location"]) == (303, own)
        assert browser.me() == 401
    assert browser.sign_in("an-administrator-s-key-of-the-settings-0123456789").status_code == 303
    assert browser.call("POST", "/signout", headers={"origin": URL}).headers["location"] == own


def test_10_a_large_answer_of_the_provider_is_not_held(
    page: OpenPage, provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unsafe consumption of other services: an answer is read up to a bound, and then is an outage of the provider."""
    browser = page()
    address = authorize(browser, "alice")
    monkeypatch.setattr(oidc_provider, "_ANSWER_MAX_BYTES", 20)
    answer = come_back(browser, address)
    assert (answer.status_code, "does not answer as it should" in answer.text) == (503, True)
    assert browser.me() == 401


def test_the_request_to_the_provider_has_pkce_state_nonce_and_the_exact_address(
    page: OpenPage, provider: IdentityProvider
) -> None:
    address = page().call("GET", "/signin/provider?next=//evil.example").headers["location"]
    assert address.startswith(f"{provider.issuer}/auth?")
    query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    assert query["redirect_uri"] == CALLBACK
    assert (query["response_type"], query["code_challenge_method"]) == ("code", "S256")
    assert all(len(query[name]) >= 43 for name in ("state", "nonce", "code_challenge"))
    assert "evil" not in address
    assert SECRET not in address


def test_the_page_and_programs_learn_how_to_sign_in(page: OpenPage, provider: IdentityProvider) -> None:
    browser = page(oidc_name="Example <ID>")
    assert "Continue with Example &lt;ID&gt;" in browser.call("GET", "/signin").text
    ways = browser.call("GET", "/api/v1/signin").json()
    assert ways["open"] is False
    assert ways["oidc"] == {
        "name": "Example <ID>",
        "issuer": provider.issuer,
        "client_id": "cli",
        "scopes": "openid profile groups",
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"state": "x"}, "not the answer"),
        ({"state": None}, "not the answer"),
        ({"code": "x"}, "does not accept"),
        ({"code": None}, "no code"),
        ({"iss": "https://evil.example"}, "another identity provider"),
        ({"iss": None}, "another identity provider"),
        ({"error": "access_denied"}, "not given access"),
        ({"error": "<script>alert(1)</script>"}, "reports"),
    ],
    ids=str,
)
def test_a_changed_answer_begins_no_session(page: OpenPage, changes: dict[str, str | None], words: str) -> None:
    browser = page()
    answer = come_back(browser, authorize(browser, "alice"), **changes)
    assert answer.status_code == 403
    assert words in answer.text
    assert "<script" not in answer.text
    assert browser.cookies == {}
    assert browser.me() == 401


def test_an_answer_is_accepted_once_and_by_the_browser_that_began(page: OpenPage) -> None:
    browser = page()
    address = authorize(browser, "alice")
    pending = dict(browser.cookies)
    victim = Page(browser.app)
    # Another browser that is made to open the address would be signed in as the attacker.
    assert come_back(victim, address).status_code == 403
    assert victim.me() == 401
    assert come_back(browser, address).status_code == 303
    again = Page(browser.app)
    again.cookies = pending
    replayed = come_back(again, address)
    assert (replayed.status_code, "finished before" in replayed.text) == (403, True)


def test_a_code_of_another_sign_in_is_refused(page: OpenPage) -> None:
    """The code of an attacker's own sign-in, injected into the victim's: PKCE and the nonce bind it to its browser."""
    attacker, victim = page(), page()
    code = parse_qs(urlsplit(authorize(attacker, "bob")).query)["code"][0]
    answer = come_back(victim, authorize(victim, "alice"), code=code)
    assert answer.status_code == 403
    assert victim.me() == 401


def test_a_user_without_access_is_told_so(page: OpenPage) -> None:
    browser = page(oidc_groups={"ml-team": ["read"]})
    answer = come_back(browser, authorize(browser, "bob"))
    assert answer.status_code == 403
    assert "None of the groups of bob@example.org has access" in answer.text
    assert browser.me() == 401


def call_me(page: Page, token: str) -> httpx.Response:
    return page.call("GET", "/api/v1/whoami", headers={"authorization": f"Bearer {token}"})


def test_a_program_uses_a_token_of_the_provider(page: OpenPage, provider: IdentityProvider) -> None:
    me = call_me(page(), provider.token()).json()
    assert (me["method"], me["scopes"]) == ("oidc", ["write:ml", "read:public"])
    refused = call_me(page(oidc_audiences=""), provider.token())
    assert refused.status_code == 401
    assert "audience" in refused.json()["detail"]
    # As the password of Basic, which clients of wandb and ClickHouse send.
    assert page().call("GET", "/api/v1/whoami", auth=("api", provider.token())).status_code == 200


def forged(provider: IdentityProvider, header: dict[str, Any] | None = None, **changes: Any) -> str:
    """Return a token that the provider's own key signs, with changed claims."""
    claims = {
        "iss": provider.issuer,
        "sub": "mallory",
        "aud": "stepwell",
        "exp": int(time.time()) + 300,
        "groups": ["ml-team"],
    }
    given = {name: value for name, value in (claims | changes).items() if value is not None}
    return jwt.encode({"alg": "RS256", "kid": provider.keys[0].kid} | (header or {}), given, provider.keys[0])


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example"},
        {"aud": "other"},
        {"aud": None},
        {"exp": 1},
        {"exp": None},
        {"nbf": 2**40},
        {"sub": None},
    ],
    ids=str,
)
def test_a_token_that_is_not_for_this_service_is_refused(
    page: OpenPage, provider: IdentityProvider, changes: dict[str, Any]
) -> None:
    browser = page()
    assert call_me(browser, forged(provider)).status_code == 200
    answer = call_me(browser, forged(provider, **changes))
    assert (answer.status_code, answer.json()["type"]) == (401, "urn:stepwell:problem:unauthenticated")
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_a_token_without_groups_has_the_scopes_of_everyone_alone(page: OpenPage, provider: IdentityProvider) -> None:
    assert call_me(page(), forged(provider, groups=None)).json()["scopes"] == ["read:public"]
    nothing = call_me(page(oidc_groups={"ml-team": ["read"]}), forged(provider, groups=None))
    assert nothing.status_code in {200, 403}
    assert nothing.json().get("scopes", []) == []


def test_new_keys_of_the_provider_are_found_and_an_outage_is_survived(
    page: OpenPage, provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc_provider, "UNKNOWN_KEY_SECONDS", 0.0)
    browser, cold = page(), page()
    old = forged(provider)
    assert call_me(browser, old).status_code == 200
    provider.stop()
    try:
        # Known keys are used on; a service that has none yet can't decide.
        assert call_me(browser, forged(provider)).status_code == 200
        away = call_me(cold, old)
        assert (away.status_code, away.json()["type"]) == (503, "urn:stepwell:problem:identity-provider-unavailable")
        assert cold.call("GET", "/signin/provider").status_code == 503
        assert 'role="alert"' in cold.call("GET", "/signin/provider").text
    finally:
        provider.keys = [new_key("second")]
        provider.start()
    assert call_me(browser, forged(provider)).status_code == 200
    # The provider has withdrawn the key that signed it.
    assert call_me(browser, old).status_code == 401
