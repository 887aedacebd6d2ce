"""Which bytes of a media file a request asks for, and what a file may do in a browser."""

from __future__ import annotations

import pytest

from stepwell_query.errors import RangeError, RequestError
from stepwell_query.media.files import check_sha256, safety_headers, span_of


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
    assert tuple(span_of(header, 10)) == span


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-12", "bytes=-0"])
def test_a_range_outside_the_file_is_refused(header: str) -> None:
    with pytest.raises(RangeError, match="10 bytes"):
        span_of(header, 10)


@pytest.mark.parametrize("text", ["", "0" * 63, "0" * 65, "A" * 64, "../" + "0" * 61])
def test_only_a_sha256_names_a_file(text: str) -> None:
    with pytest.raises(RequestError, match="sha256"):
        check_sha256(text)


@pytest.mark.parametrize(
    ("content_type", "document"),
    [
        ("image/png", False),
        ("video/mp4", False),
        ("image/svg+xml", True),
        ("text/html", True),
        ("application/xhtml+xml", True),
        ("application/octet-stream", True),
    ],
)
def test_what_a_browser_would_run_has_no_origin(content_type: str, document: bool) -> None:
    headers = safety_headers(content_type)
    assert headers["x-content-type-options"] == "nosniff"
    policy = headers.get("content-security-policy", "")
    assert policy.startswith("sandbox allow-scripts;") == document
    assert "allow-same-origin" not in policy
