"""Event streams, which outlast a check at their start: they need the scope, and end when it does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

import httpx
import pytest

from stepwell_schemas.access.grants import Grant
from stepwell_schemas.access.key_cache import KEY_CACHE_SECONDS
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.points import RunWriter

from .conftest import INVALID, Secured

EVENTS: Final = "/api/v1/projects/alpha/one/events"
DEADLINE_SECONDS: Final = 60.0


@pytest.fixture(scope="module")
def url(secured: Secured) -> Iterator[str]:
    """The address of the service."""
    with secured.serve() as address:
        yield address


def test_a_stream_needs_the_scope(secured: Secured, url: str) -> None:
    """Wrong keys and keys of other projects get no stream; those of the project do."""
    expected = {**dict.fromkeys(INVALID, 401), "read:alpha/one": 200, "write:alpha": 200, "admin key": 200}
    for key, status in expected.items():
        with httpx.stream("GET", url + EVENTS, headers=secured.headers(key), timeout=20) as answer:
            assert answer.status_code == status, key
    assert httpx.get(url + EVENTS).status_code == 401
    other = EVENTS.replace("alpha", "beta")
    assert httpx.get(url + other, headers=secured.headers("read:alpha")).status_code == 404


def test_a_stream_ends_with_its_key(secured: Secured, url: str) -> None:
    """After the revocation, nothing that happens is sent, and the connection ends."""
    created, key = secured.keys.create("stream", "ann", [Grant.parse("read:alpha/one")])
    headers = {"authorization": f"Bearer {created.text}"}
    with httpx.stream("GET", url + EVENTS, headers=headers, timeout=DEADLINE_SECONDS) as answer:
        lines = answer.iter_lines()
        assert any(line.startswith("data: ") for line in lines)
        secured.keys.revoke(key)
        time.sleep(KEY_CACHE_SECONDS)
        RunWriter(secured.store, RunPath("alpha", "one", "secret-run")).document().numbers("loss", [0], [1.0])
        assert "secret-run" not in "\n".join(lines)
