"""Requests are answered under known names only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_schemas.http.hosts import host_is_allowed, origin_is_own
from stepwell_schemas.settings import HttpSettings

ALLOWED = ("stepwell.example.org", ".Cluster.local")


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST:8420", "localhost.:80", "127.0.0.1", "127.0.0.1:8420", "10.1.2.3:80", "[::1]:8420"),
        *("stepwell.example.org", "Stepwell.Example.Org:443", "a.cluster.local", "a.b.cluster.local:80"),
    ],
)
def test_known_names_and_addresses_are_allowed(host: str) -> None:
    assert host_is_allowed(host, ALLOWED)


@pytest.mark.parametrize(
    "host",
    [
        *("", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.1.nip.io", "xlocalhost"),
        *("cluster.local", ".cluster.local", "acluster.local", "stepwell.example.org.evil", "xstepwell.example.org"),
        *("localhost:", "localhost:port", "localhost:123456", "user@localhost", "localhost/", "localhost, evil", "::1"),
        *("[::1", "[evil]", "localhost\r\nX: y", "localhost\n", "0x7f.1", "2130706433", "lo\u0441alhost", "127.1"),
    ],
)
def test_other_names_are_refused(host: str) -> None:
    assert not host_is_allowed(host, ALLOWED)


@given(st.text(), st.sampled_from(["localhost", "127.0.0.1", "[::1]", *ALLOWED]))
def test_a_known_name_in_another_name_allows_nothing(text: str, name: str) -> None:
    if "." in text.strip(".") and not text.lower().endswith(".cluster.local"):
        assert not host_is_allowed(f"{name}.x{text}x", ())


@pytest.mark.parametrize(
    ("origin", "own"),
    [
        ("http://127.0.0.1:8420", True),
        ("https://127.0.0.1:8420", True),
        ("http://127.0.0.1", False),
        ("http://127.0.0.1:9999", False),
        ("http://evil.example", False),
        ("http://127.0.0.1:8420.evil.example", False),
        ("file://127.0.0.1:8420", False),
        ("null", False),
        ("", False),
    ],
)
def test_only_the_service_itself_is_its_own_origin(origin: str, own: bool) -> None:
    assert origin_is_own(origin, "127.0.0.1:8420") is own


def test_hosts_are_read_from_a_list_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    assert HttpSettings().allowed_hosts == ()
    monkeypatch.setenv("STEPWELL_ALLOWED_HOSTS", "a.example, .b.example,")
    assert HttpSettings().allowed_hosts == ("a.example", ".b.example")
