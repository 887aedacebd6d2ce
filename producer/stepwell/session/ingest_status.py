"""Ingest status of a session, requested from the service at the end of a run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stepwell.delivery.stored_content import DELETED_NOTE, StoredSession, is_deleted, is_hidden, parse_session
from stepwell.service_errors import KEY_REMEDY
from stepwell.service_requests import client_options, session_url
from stepwell_schemas.rules.identifiers import RunPath

if TYPE_CHECKING:
    import httpx

    from stepwell.settings import ProducerSettings

_FIRST_POLL_SECONDS: Final = 0.05
_LAST_POLL_SECONDS: Final = 0.5
_ASK_SECONDS: Final = 5.0
_NOT_FOUND: Final = 404
_GONE: Final = 410
_SERVER_ERRORS: Final = 500
_KEY_REFUSED: Final = frozenset({401, 403})
_LATER: Final = frozenset({408, 429})
_NO_SUCH_ROUTE: Final = "urn:stepwell:problem:no-such-route"
_NO_SUCH_ROUTE_BEFORE: Final = "nothing is served at"
"""Start of the detail by which services without the problem type `no-such-route` report an unknown route."""


class IngestStatus(NamedTuple):
    """Ingest status of a session, as the service reports it.

    Attributes:
        points: values stored, None if unknown. conflicts, dead_letters: counts of the ingestor.
        note: reason why the status is incomplete, "" if it is complete.
        stored: the service's account, None if it is incomplete.
    """

    points: int | None = None
    conflicts: int = 0
    dead_letters: int = 0
    note: str = ""
    stored: StoredSession | None = None


def wait_until_ingested(
    settings: ProducerSettings, run: RunPath, session: str, records: int, seconds: float
) -> IngestStatus:
    """Wait, at most `seconds`, until the service has processed `records` records of a session; return the status.

    Returns immediately if the service can't be reached. Network errors are reported in `note`, not raised.
    """
    import httpx

    url = session_url(settings.base_url, run, session)
    deadline = time.monotonic() + max(seconds, 0.0)
    pause = _FIRST_POLL_SECONDS
    status = IngestStatus(note="unknown: timed out")
    try:
        with httpx.Client(**client_options(settings)) as client:
            while True:
                left = deadline - time.monotonic()
                if left <= 0:
                    return status
                try:
                    response = client.get(url, timeout=min(_ASK_SECONDS, left))
                except httpx.ReadTimeout:
                    # The service is busy.
                    continue
                if response.is_success:
                    complete, status = _parse_status(response.json(), records)
                    if complete:
                        return status
                elif refused := _refusal(settings.base_url, response):
                    return refused
                time.sleep(max(0.0, min(pause, deadline - time.monotonic())))
                pause = min(_LAST_POLL_SECONDS, 1.5 * pause)
    except (httpx.HTTPError, httpx.InvalidURL):
        return IngestStatus(note="unknown: no service") if status.points is None else status
    except (ValueError, LookupError, TypeError):
        return IngestStatus(note=f"unknown: {settings.base_url} is not a Stepwell service")


def _refusal(base_url: str, response: httpx.Response) -> IngestStatus | None:
    """Return the status for an answer that repetition does not change; None for a session that is not ingested yet."""
    if response.status_code == _NOT_FOUND:
        problem = response.json()
        if is_hidden(problem):
            return IngestStatus(note=f"unknown: the key may not read the project; {KEY_REMEDY}")
        unknown = _is_unknown_route(problem)
        return IngestStatus(note="unknown: the service does not report it") if unknown else None
    if response.status_code in _KEY_REFUSED:
        return IngestStatus(note=f"unknown: {base_url} refuses the key; {KEY_REMEDY}")
    if response.status_code == _GONE and is_deleted(response.json()):
        return IngestStatus(note=DELETED_NOTE)
    if response.status_code < _SERVER_ERRORS and response.status_code not in _LATER:
        return IngestStatus(note=f"unknown: {base_url} answers {response.status_code}")
    return None


def _is_unknown_route(problem: dict[str, Any]) -> bool:
    """Return whether a 404 means a service without session status; any other one is a session not ingested yet."""
    return problem["type"] == _NO_SUCH_ROUTE or str(problem["detail"]).startswith(_NO_SUCH_ROUTE_BEFORE)


def _parse_status(body: dict[str, Any], records: int) -> tuple[bool, IngestStatus]:
    """Return whether `records` records are processed, and the status."""
    stored = parse_session(body)
    counts = (stored.points, stored.conflicts, stored.dead_letters)
    if stored.records >= records:
        return True, IngestStatus(*counts, stored=stored)
    return False, IngestStatus(*counts, f"{stored.records:,} of {records:,} records so far")
