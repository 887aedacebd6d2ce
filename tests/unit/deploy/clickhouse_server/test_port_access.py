"""Other web pages are refused, and no value can inject a header."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_deploy.clickhouse_server.access import Caller, Credentials, check_browser
from stepwell_deploy.clickhouse_server.formats import content_type
from stepwell_deploy.clickhouse_server.request import StatementError
from stepwell_deploy.clickhouse_server.responses import PLAIN, head
from stepwell_query.sql.functions import PLAIN_FORMATS
from stepwell_schemas.access.authenticate import Authenticator
from stepwell_schemas.access.grants import Grant, Resource, Scope
from stepwell_schemas.access.identity import OPEN_IDENTITY, Identity, Method
from stepwell_schemas.access.refusals import Refusal, keys_unavailable, no_credential, wrong_credential

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


def identify(known: Credentials, fields: dict[str, str], headers: dict[str, str]) -> Caller:
    return asyncio.run(known.identify(fields, headers))


def refusal(known: Credentials, fields: dict[str, str], headers: dict[str, str]) -> StatementError:
    with pytest.raises(StatementError) as caught:
        identify(known, fields, headers)
    return caught.value


def test_a_writer_is_known_by_both() -> None:
    known = Credentials("writer", "secret")
    assert identify(known, {}, {"x-clickhouse-user": "writer", "x-clickhouse-key": "secret"}).writer
    assert not identify(known, {}, {}).writer
    assert not identify(known, {"user": "default"}, {}).writer
    for fields in ({"user": "writer"}, {"user": "writer", "password": "x"}, {"user": "default", "password": "secret"}):
        assert refusal(known, fields, {}).code == 516


class Known:
    """Stands for the authenticator of a service with one key."""

    def __init__(self, answer: Identity | Refusal) -> None:
        self.answer = answer
        self.headers: list[tuple[bytes, bytes]] = []

    async def identify(self, headers: list[tuple[bytes, bytes]]) -> Identity | Refusal:
        self.headers = headers
        return self.answer


ANN = Identity("ann", Method.KEY, (Grant(Scope.READ, Resource("me")),), "k1")
BASIC = "Basic " + b64encode(b"any:name:key").decode()


@pytest.mark.parametrize(
    ("fields", "headers", "sent"),
    [
        ({"user": "x", "password": "key"}, {}, b"Basic OmtleQ=="),
        ({"password": "key"}, {}, b"Basic OmtleQ=="),
        ({}, {"x-clickhouse-user": "default", "x-clickhouse-key": "key"}, b"Basic OmtleQ=="),
        ({}, {"x-clickhouse-key": "key"}, b"Basic OmtleQ=="),
        # A user's name ends at the first colon, and plays no part.
        ({}, {"authorization": BASIC}, b"Basic " + b64encode(b":name:key")),
        ({}, {"authorization": "basic  " + b64encode(b"u:key").decode()}, b"Basic OmtleQ=="),
        ({}, {"authorization": "Bearer key"}, b"Bearer key"),
    ],
)
def test_a_key_is_a_password_of_any_user(fields: dict[str, str], headers: dict[str, str], sent: bytes) -> None:
    known = Known(ANN)
    caller = identify(Credentials("writer", "secret", cast("Authenticator", known)), fields, headers)
    assert caller == (ANN, False)
    assert known.headers == [(b"authorization", sent)]


def test_callers_that_are_refused_get_clickhouse_errors_without_their_credentials() -> None:
    def refused(answer: Identity | Refusal, fields: dict[str, str]) -> StatementError:
        return refusal(Credentials("writer", "secret", cast("Authenticator", Known(answer))), fields, {})

    wrong = {"user": "stepwell-1234", "password": "stepwell-5678"}
    assert refused(no_credential(), {}).code == 516
    assert "a key is required" in str(refused(no_credential(), {}))
    assert refused(wrong_credential(), wrong).code == 516
    assert "stepwell-" not in str(refused(wrong_credential(), wrong))
    assert refused(keys_unavailable(), wrong).code == 210
    assert refused(Identity("ann", Method.OIDC, ()), wrong).code == 497
    # Without access control, no user has a password.
    assert refused(OPEN_IDENTITY, wrong).code == 516
    open_port = Credentials("writer", "secret", cast("Authenticator", Known(OPEN_IDENTITY)))
    assert identify(open_port, {"user": "default"}, {}) == (OPEN_IDENTITY, False)


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
