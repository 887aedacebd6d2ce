"""Random credentials: each is refused with a problem document, or is a key; none is answered with an error or shown."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from typing import Final

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from .conftest import ADMIN_KEY, INVALID, Secured

PATH: Final = "/api/v1/whoami"

# What a client can send: any bytes but line ends, which the server's parser ends the header at.
RAW: Final = st.binary(max_size=200).map(lambda raw: raw.replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b""))
SCHEME: Final = st.sampled_from(
    ["Bearer", "bearer", "Basic", "BASIC", "Token", "Digest", "", "Bearer Bearer", "Basic  "]
)
HEX: Final = st.text("0123456789abcdefABCDEF", min_size=60, max_size=68)
TOKENS: Final = st.one_of(
    st.text(max_size=80).map(lambda text: text.encode()),
    HEX.map(lambda text: f"stepwell-{text}".encode()),
    st.binary(max_size=80).map(b64encode),
    HEX.map(lambda text: b64encode(f"user:stepwell-{text}".encode())),
)
HEADERS: Final = st.one_of(RAW, st.tuples(SCHEME, TOKENS).map(lambda both: both[0].encode() + b" " + both[1]))


def send(secured: Secured, *values: bytes, method: str = "GET", path: str = PATH) -> httpx.Response:
    """Return the answer to a request with headers `Authorization`."""
    headers = [(b"authorization", value) for value in values]

    async def call() -> httpx.Response:
        async with secured.client() as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(call())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(HEADERS, min_size=1, max_size=2))
def test_random_headers_are_refused(secured: Secured, values: list[bytes]) -> None:
    """The status is 401, the document has the remedy, and nothing of the header."""
    answer = send(secured, *values)
    assert answer.status_code == 401
    assert answer.json()["type"] == "urn:stepwell:problem:unauthenticated"
    for value in values:
        secret = value.split(b" ")[-1]
        assert len(secret) < 12 or secret.decode("latin-1") not in answer.text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 72), char=st.sampled_from("0123456789abcdefABCDEF -\x7fé"))
def test_a_changed_key_is_another_key(secured: Secured, at: int, char: str) -> None:
    """A key with one other character, in whatever case, is no key."""
    text = secured.texts["read:*"]
    changed = text[:at] + char + text[at + 1 :]
    expected = 200 if changed == text else 401
    assert send(secured, b"Bearer " + changed.encode("latin-1")).status_code == expected
    for cut in (text[:at], text[at + 1 :]):
        assert send(secured, b"Bearer " + cut.encode()).status_code == 401


@pytest.mark.parametrize("place", ["?key=KEY", "?api_key=KEY", "?access_token=KEY", "?authorization=Bearer%20KEY"])
def test_a_key_in_an_address_is_none(secured: Secured, place: str) -> None:
    """Addresses end in logs and histories, so no parameter is a credential."""
    for key in ("read:*", "admin key"):
        assert secured.call("GET", PATH + place.replace("KEY", secured.texts[key])).status_code == 401


@pytest.mark.parametrize(
    "header", ["x-api-key", "api-key", "x-stepwell-key", "x-clickhouse-key", "proxy-authorization"]
)
def test_other_headers_are_no_credentials(secured: Secured, header: str) -> None:
    """One header has the key; what a proxy adds in others proves nothing."""
    value = f"Bearer {ADMIN_KEY}"
    more = {"x-forwarded-user": "admin", "x-remote-user": "admin", "x-forwarded-for": "127.0.0.1"}
    assert secured.call("GET", PATH, headers={header: value, **more}).status_code == 401


def test_keys_are_in_no_log(secured: Secured) -> None:
    """Neither valid nor wrong keys, whatever comes of the request."""
    paths = ("/api/v1/whoami", "/api/v1/projects", "/api/v1/sql", "/api/v1/nope", "/api/v1/runs/a/b/c", "/api/v1/keys")
    with capture_logs() as logs:
        for key, text in secured.texts.items():
            for path in paths:
                secured.call("GET", path, key)
                send(secured, b"Basic " + b64encode(f"user:{text}".encode()), path=path)
    assert logs
    shown = str(logs)
    texts = [text for text in secured.texts.values() if len(text) > 1]
    assert not [text for text in texts if text in shown or b64encode(text.encode()).decode() in shown]


def test_refusals_do_not_say_which_keys_exist(secured: Secured) -> None:
    """Unknown, revoked, expired and malformed keys are answered alike."""
    answers = {secured.call("GET", PATH, key).text for key in INVALID}
    assert len(answers) == 1
