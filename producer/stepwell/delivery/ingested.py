"""The service's account of a session whose journal was delivered."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

import httpx

from stepwell.delivery.stored_content import StoredSession, parse_session
from stepwell.settings import ProducerSettings
from stepwell_schemas.rules.identifiers import RunPath

_ASK_SECONDS: Final = 5.0
_NOT_FOUND: Final = 404
_NOTHING: Final = StoredSession(0, 0, 0, 0, 0, 0)


async def fetch_stored_session(settings: ProducerSettings, run: RunPath, session: str) -> StoredSession | None:
    """Return the service's account of a session; None if no service answers."""
    key = settings.api_key.get_secret_value()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    path = "/".join(quote(part, safe="") for part in run)
    url = f"{settings.base_url.rstrip('/')}/api/v1/runs/{path}/sessions/{session}"
    try:
        async with httpx.AsyncClient(timeout=_ASK_SECONDS, headers=headers) as client:
            response = await client.get(url)
            if response.status_code == _NOT_FOUND:
                return _NOTHING
            response.raise_for_status()
            return parse_session(response.json())
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, TypeError):
        return None
