"""Ingest status: when to wait for the service, and when to give up, by the type of its answer."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from stepwell.delivery.ingested import fetch_stored_session
from stepwell.delivery.stored_content import StoredSession
from stepwell.session import ingest_status
from stepwell.session.ingest_status import wait_until_ingested
from stepwell.settings import ProducerSettings
from stepwell_schemas.access.refusals import not_visible, rate_limited
from stepwell_schemas.rules.identifiers import RunPath

_RUN = RunPath("e", "p", "r")
_URN = "urn:stepwell:problem:"


@contextmanager
def _answering(status: int, *bodies: dict[str, Any], busy: bool = False) -> Iterator[ProducerSettings]:
    """Serve the bodies in turn, the last one repeatedly, with an HTTP status.

    If `busy`, the first request gets no answer before the second one has come.
    """
    left = list(bodies)
    first, asked_again = threading.Lock(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if busy and first.acquire(blocking=False):
                asked_again.wait(30)
                return
            asked_again.set()
            content = json.dumps(left.pop(0) if len(left) > 1 else left[0]).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield ProducerSettings(base_url=f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


@pytest.mark.parametrize(
    "problem",
    [
        {"type": f"{_URN}no-such-route", "detail": "any words"},
        {"type": f"{_URN}not-found", "detail": "nothing is served at /api/v1/runs/e/p/r/sessions/s"},
    ],
)
def test_a_service_without_session_status_is_not_waited_for(problem: dict[str, Any]) -> None:
    began = time.monotonic()
    with _answering(404, problem) as settings:
        status = wait_until_ingested(settings, _RUN, "s", 1, 60)
    assert (status.points, bool(status.note)) == (None, True)
    assert time.monotonic() - began < 30


def test_a_session_that_is_not_ingested_yet_is_waited_for() -> None:
    began = time.monotonic()
    with _answering(404, {"type": f"{_URN}not-found", "detail": "any words"}) as settings:
        status = wait_until_ingested(settings, _RUN, "s", 1, 0.3)
    assert (status.points, bool(status.note)) == (None, True)
    assert time.monotonic() - began >= 0.3


def test_a_project_that_the_key_may_not_read_is_not_waited_for() -> None:
    refusal = not_visible("e", "p")
    began = time.monotonic()
    with _answering(refusal.status, json.loads(refusal.body())) as settings:
        status = wait_until_ingested(settings, _RUN, "s", 1, 60)
        assert asyncio.run(fetch_stored_session(settings, _RUN, "s")) is None
    assert (status.points, "stepwell login" in status.note) == (None, True)
    assert time.monotonic() - began < 30


def test_a_key_above_its_limits_is_waited_for() -> None:
    refusal = rate_limited(1)
    began = time.monotonic()
    with _answering(refusal.status, json.loads(refusal.body())) as settings:
        status = wait_until_ingested(settings, _RUN, "s", 1, 0.3)
    assert (status.points, status.note) == (None, "unknown: timed out")
    assert time.monotonic() - began >= 0.3


def test_the_status_is_complete_once_all_records_are_processed() -> None:
    fields = {"log_rows": 1, "points": 7, "conflicts": 1, "dead_letters": 0, "missing": 0}
    with _answering(200, {**fields, "records": 1}, {**fields, "records": 2}) as settings:
        status = wait_until_ingested(settings, _RUN, "s", 2, 60)
    assert status == (7, 1, 0, "", StoredSession(2, 1, 7, 1, 0, 0))


def test_a_busy_service_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_status, "_ASK_SECONDS", 0.2)
    fields = {"log_rows": 1, "points": 7, "conflicts": 1, "dead_letters": 0, "missing": 0}
    with _answering(200, {**fields, "records": 2}, busy=True) as settings:
        status = wait_until_ingested(settings, _RUN, "s", 2, 60)
    assert (status.points, status.note) == (7, "")
