"""The service's account of a session whose journal was delivered."""

from __future__ import annotations

from typing import Final

import httpx

from stepwell.delivery.stored_content import (
    DELETED,
    NOTHING_STORED,
    StoredSession,
    is_deleted,
    is_hidden,
    parse_session,
)
from stepwell.service_requests import client_options, session_url
from stepwell.settings import ProducerSettings
from stepwell_schemas.errors import TlsError
from stepwell_schemas.rules.identifiers import RunPath

_ASK_SECONDS: Final = 5.0
_NOT_FOUND: Final = 404
_GONE: Final = 410


async def fetch_stored_session(settings: ProducerSettings, run: RunPath, session: str) -> StoredSession | None:
    """Return the service's account of a session; None if no service answers, or none that the key may read."""
    try:
        async with httpx.AsyncClient(timeout=_ASK_SECONDS, **client_options(settings)) as client:
            response = await client.get(session_url(settings.base_url, run, session))
            if response.status_code == _NOT_FOUND:
                return None if is_hidden(response.json()) else NOTHING_STORED
            if response.status_code == _GONE and is_deleted(response.json()):
                return DELETED
            response.raise_for_status()
            return parse_session(response.json())
    except (httpx.HTTPError, httpx.InvalidURL, TlsError, ValueError, LookupError, TypeError):
        return None
