"""Number of a session's records that the service has processed, for the decision whether its journal may be removed."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

import httpx

from stepwell.settings import ProducerSettings
from stepwell_schemas.rules.identifiers import RunPath

_ASK_SECONDS: Final = 5.0
_NOT_FOUND: Final = 404


async def fetch_ingested_records(settings: ProducerSettings, run: RunPath, session: str) -> int | None:
    """Return the number of a session's records that are processed; None if no service answers."""
    key = settings.api_key.get_secret_value()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    path = "/".join(quote(part, safe="") for part in run)
    url = f"{settings.base_url.rstrip('/')}/api/v1/runs/{path}/sessions/{session}"
    try:
        async with httpx.AsyncClient(timeout=_ASK_SECONDS, headers=headers) as client:
            response = await client.get(url)
            if response.status_code == _NOT_FOUND:
                return 0
            response.raise_for_status()
            return int(response.json()["records"])
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, TypeError):
        return None
