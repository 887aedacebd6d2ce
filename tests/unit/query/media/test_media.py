"""Byte ranges of media files, and the headers that restrict files in browsers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_query.errors import RangeError, RequestError
from stepwell_query.media.files import check_sha256, page_headers, parse_range, safety_headers, served_type

NAME = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("header", "span"),
    [
        (None, (0, 10, False)),
        ("bytes=0-3", (0, 4, True)),
        ("bytes=4-", (4, 10, True)),
        ("bytes=-3", (7, 10, True)),
        ("bytes=-30", (0, 10, True)),
        ("bytes=2-99", (2, 10, True)),
        (" bytes=9-9 ", (9, 10, True)),
        ("bytes=5-2", (0, 10, False)),
        ("bytes=-", (0, 10, False)),
        ("bytes=0-1,4-5", (0, 10, False)),
        ("items=0-1", (0, 10, False)),
        ("bytes=" + "9" * 30 + "-", (0, 10, False)),
    ],
)
def test_a_range_is_the_bytes_it_names(header: str | None, span: tuple[int, int, bool]) -> None:
    assert tuple(parse_range(header, 10)) == span


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-12", "bytes=-0"])
def test_a_range_outside_the_file_is_refused(header: str) -> None:
    with pytest.raises(RangeError) as caught:
        parse_range(header, 10)
    assert caught.value.size == 10


@pytest.mark.parametrize("text", ["", "0" * 63, "0" * 65, "A" * 64, "../" + "0" * 61])
def test_only_a_sha256_names_a_file(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        check_sha256(text)
    assert (caught.value.field, caught.value.value) == ("sha256", text)


@pytest.mark.parametrize(
    ("stored", "served", "disposition"),
    [
        ("image/png", "image/png", "inline"),
        (" IMAGE/PNG ", "image/png", "inline"),
        ("video/mp4", "video/mp4", "inline"),
        ("image/svg+xml", "image/svg+xml", "attachment"),
        ("image/SVG+xml", "image/svg+xml", "attachment"),
        ("image/png, text/html", "application/octet-stream", "attachment"),
        ("video/mp4, text/html", "application/octet-stream", "attachment"),
        ("image/png; x=text/html", "application/octet-stream", "attachment"),
        ("image/png\r\nx: y", "application/octet-stream", "attachment"),
        ("image/", "application/octet-stream", "attachment"),
        ("text/html", "application/octet-stream", "attachment"),
        ("application/xhtml+xml", "application/octet-stream", "attachment"),
        ("", "application/octet-stream", "attachment"),
    ],
)
def test_what_a_browser_would_run_is_a_download(stored: str, served: str, disposition: str) -> None:
    assert served_type(stored) == served
    _is_kept_in(safety_headers(NAME, stored), disposition)


@given(st.text())
def test_no_stored_type_gets_out(stored: str) -> None:
    assert served_type(stored).isascii()
    _is_kept_in(safety_headers(NAME, stored), "")


def _is_kept_in(headers: dict[str, str], disposition: str) -> None:
    assert headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["content-disposition"].startswith(disposition)
    assert all(value.isascii() and value.isprintable() for value in headers.values())


def test_a_page_runs_its_scripts_without_origin_and_network() -> None:
    policy = dict(part.strip().split(" ", 1) for part in page_headers()["content-security-policy"].split(";"))
    assert policy["sandbox"] == "allow-scripts"
    assert policy["default-src"] == "'none'"
    for name, sources in policy.items():
        if name.endswith("-src"):
            assert set(sources.split()) <= {"'none'", "'unsafe-inline'", "'unsafe-eval'", "data:", "blob:"}, name
