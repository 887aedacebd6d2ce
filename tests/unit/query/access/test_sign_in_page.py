from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_query.access.sign_in_page import SignInPage, check_return, sign_in_address
from stepwell_query.web_assets import WEB

TEMPLATE = (WEB / "signin.html").read_text("utf-8").replace("{{assets}}", "/-/assets/1")


@pytest.mark.parametrize(
    "address", ["/", "/me", "/me/p?runs=a&x=1#loss", "/me/p/run%20%C3%A9", "/a@b", "/docs", "/signing"]
)
def test_pages_of_this_service_are_returned_to(address: str) -> None:
    wanted = "/" if address.startswith("/signin") else address
    assert check_return(address) == wanted


@pytest.mark.parametrize(
    "address",
    [
        None,
        "",
        "me",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        " //evil.example",
        "\\\\evil.example",
        "https://evil.example",
        "https:evil.example",
        "javascript:alert(1)",
        "/a\r\nset-cookie: x=1",
        "/a\\..\\b",
        "/é",
        "/a b",
        "/signin?next=/signin",
        "/signout",
        "/" + "a" * 5_000,
    ],
)
def test_no_sign_in_leads_to_another_host_or_to_itself(address: str | None) -> None:
    assert check_return(address) == "/"


@given(st.text(max_size=30).map(lambda text: "/" + text))
def test_every_accepted_address_is_a_path_of_this_host(address: str) -> None:
    parts = urlsplit(check_return(address))
    assert (parts.scheme, parts.netloc) == ("", "")
    assert parts.path.startswith("/")
    assert not parts.path.startswith("//")


@given(st.text(alphabet="ab/?&=#% é\\", max_size=20), st.text(alphabet="ab=&%20", max_size=10))
def test_the_sign_in_page_returns_to_the_page_that_led_to_it(path: str, query: str) -> None:
    target = parse_qs(urlsplit(sign_in_address("/" + path, query)).query).get("next", ["/"])[0]
    assert target.isascii()
    assert " " not in target


def test_values_are_text_in_the_page() -> None:
    hostile = '"><script>alert(1)</script>{{next}}'
    page = SignInPage(return_to='/a?b="><i>', provider=hostile, error=hostile, note=hostile).render(TEMPLATE)
    assert "<script" not in page
    assert "<i>" not in page
    assert page.count("{{next}}") == 2
    assert 'role="alert"' in page


def test_a_page_without_a_provider_has_the_form_alone() -> None:
    page = SignInPage(note="You are signed out.").render(TEMPLATE)
    assert "/signin/provider" not in page
    assert 'role="status"' in page
    assert "autofocus" in page
