"""Asking the service what it has stored of a session."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stepwell_schemas.rules.identifiers import RunPath

if TYPE_CHECKING:
    from stepwell.settings import ProducerSettings

_FIRST_POLL_SECONDS: Final = 0.05
_LAST_POLL_SECONDS: Final = 0.5
_ASK_SECONDS: Final = 5.0
_NOT_FOUND: Final = 404
_SERVER_ERRORS: Final = 500
_NO_SUCH_ADDRESS: Final = "nothing is served at"
"""How an older service says that it keeps no account of sessions; else a 404 is a session it has yet to see."""


class Stored(NamedTuple):
    """What the service says of a session.

    Attributes:
        points: values stored, None where nobody could be asked. conflicts, dead_letters: as the ingestor decided.
        note: why the account is not whole, "" when it is.
    """

    points: int | None = None
    conflicts: int = 0
    dead_letters: int = 0
    note: str = ""


def ask_stored(settings: ProducerSettings, run: RunPath, session: str, records: int, seconds: float) -> Stored:
    """Wait, at most `seconds`, until the service has settled `records` records of a session, and return its account.

    Does not wait for a service that can't be reached. Raises nothing of a network's.
    """
    import httpx

    from stepwell.api.run import run_url

    key = settings.api_key.get_secret_value()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    url = f"{settings.base_url.rstrip('/')}/api/v1/{run_url(run, f'sessions/{session}')}"
    deadline = time.monotonic() + max(seconds, 0.0)
    pause = _FIRST_POLL_SECONDS
    found = Stored(note="not known in time")
    try:
        with httpx.Client(headers=headers) as client:
            while True:
                left = deadline - time.monotonic()
                if left <= 0:
                    return found
                answer = client.get(url, timeout=min(_ASK_SECONDS, left))
                if answer.is_success:
                    settled, found = _account(answer.json(), records)
                    if settled:
                        return found
                elif answer.status_code == _NOT_FOUND:
                    if str(answer.json()["detail"]).startswith(_NO_SUCH_ADDRESS):
                        return Stored(note="not asked, the service can't tell")
                elif answer.status_code < _SERVER_ERRORS:
                    return Stored(note=f"not asked, {settings.base_url} answers {answer.status_code}")
                time.sleep(max(0.0, min(pause, deadline - time.monotonic())))
                pause = min(_LAST_POLL_SECONDS, 1.5 * pause)
    except (httpx.HTTPError, httpx.InvalidURL):
        return Stored(note="not asked, no service") if found.points is None else found
    except (ValueError, LookupError, TypeError):
        return Stored(note=f"not asked, {settings.base_url} is no Stepwell service")


def _account(answer: dict[str, Any], records: int) -> tuple[bool, Stored]:
    """Return whether `records` are settled, and the account."""
    settled = int(answer["records"])
    note = "" if settled >= records else f"{settled:,} of {records:,} records so far"
    return settled >= records, Stored(
        int(answer["points"]), int(answer["conflicts"]), int(answer["dead_letters"]), note
    )
