from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stepwell_schemas.http.headers import SecurityHeadersMiddleware


def answer(headers: list[tuple[bytes, bytes]], scheme: str = "http", hsts: int = 0) -> dict[str, list[str]]:
    """Return the headers of an answer, by name."""
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(SecurityHeadersMiddleware(app, hsts)({"type": "http", "scheme": scheme}, None, send))
    found: dict[str, list[str]] = {}
    for name, value in sent[0]["headers"]:
        found.setdefault(name.decode().lower(), []).append(value.decode())
    return found


def test_every_answer_has_the_headers() -> None:
    headers = answer([(b"content-type", b"text/plain")])
    assert headers["x-content-type-options"] == ["nosniff"]
    assert headers["content-security-policy"] == ["default-src 'none'; frame-ancestors 'none'"]
    assert headers["referrer-policy"] == ["same-origin"]
    assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == ["same-origin"]
    assert "strict-transport-security" not in headers


def test_what_an_answer_states_itself_is_kept() -> None:
    stated = [(b"Content-Security-Policy", b"sandbox"), (b"referrer-policy", b"no-referrer")]
    headers = answer(stated)
    assert headers["content-security-policy"] == ["sandbox"]
    assert headers["referrer-policy"] == ["no-referrer"]


@pytest.mark.parametrize(("scheme", "seconds", "sent"), [("https", 60, True), ("http", 60, False), ("https", 0, False)])
def test_browsers_are_told_to_stay_with_https_over_https_alone(scheme: str, seconds: int, sent: bool) -> None:
    headers = answer([], scheme, seconds)
    assert headers.get("strict-transport-security") == (["max-age=60"] if sent else None)
