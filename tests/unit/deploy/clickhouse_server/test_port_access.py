"""Other web pages are refused, and no value can inject a header."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_deploy.clickhouse_server.access import Credentials, check_browser
from stepwell_deploy.clickhouse_server.formats import content_type
from stepwell_deploy.clickhouse_server.request import StatementError
from stepwell_deploy.clickhouse_server.responses import PLAIN, head
from stepwell_query.sql.functions import PLAIN_FORMATS

HOST = {"host": "127.0.0.1:8123"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://127.0.0.1:8123"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "same-origin", "referer": "http://127.0.0.1:8123/x"},
    ],
)
def test_tools_and_its_own_origin_are_answered(headers: dict[str, str]) -> None:
    check_browser(HOST | headers, ())


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:3000"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "Cross-Site"},
        {"referer": "http://evil.example/127.0.0.1:8123"},
        {"referer": "http://["},
        {"host": "evil.example"},
        {"host": ""},
    ],
)
def test_other_pages_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(StatementError) as caught:
        check_browser(HOST | headers, ())
    assert caught.value.code == 497


def test_a_writer_is_known_by_both() -> None:
    known = Credentials("writer", "secret")
    assert known.writes({}, {"x-clickhouse-user": "writer", "x-clickhouse-key": "secret"})
    assert not known.writes({}, {})
    assert not known.writes({"user": "default"}, {})
    for fields in ({"user": "writer"}, {"user": "writer", "password": "x"}, {"user": "default", "password": "secret"}):
        with pytest.raises(StatementError) as caught:
            known.writes(fields, {})
        assert caught.value.code == 516


@given(st.text())
def test_a_header_is_one_line_of_plain_text(value: str) -> None:
    if not value.isascii() or not value.isprintable():
        with pytest.raises(StatementError) as caught:
            head(PLAIN, {"X-ClickHouse-Query-Id": value})
        assert caught.value.code == 36
        return
    written = head(PLAIN, {"X-ClickHouse-Query-Id": value})
    assert all(32 <= byte < 127 for _, written_value in written for byte in written_value)


@given(st.text() | st.sampled_from(sorted(PLAIN_FORMATS)))
def test_no_answer_can_be_taken_for_a_page(form: str) -> None:
    assert content_type(form).split(";")[0] in {
        *("text/plain", "text/csv", "text/tab-separated-values"),
        *("application/json", "application/x-ndjson", "application/octet-stream"),
    }


def test_each_answer_is_kept_from_browsers() -> None:
    written = dict(head(PLAIN))
    assert written[b"x-content-type-options"] == b"nosniff"
    assert written[b"cache-control"] == b"no-store"
    assert written[b"content-security-policy"] == b"default-src 'none'; sandbox"
    assert written[b"cross-origin-resource-policy"] == b"same-origin"
