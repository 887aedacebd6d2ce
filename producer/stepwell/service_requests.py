"""Parts that all requests to the service share: the key, the trusted authorities, and the address of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from stepwell.imports import importing
from stepwell_schemas.rules.identifiers import RunPath

if TYPE_CHECKING:
    from stepwell.settings import ProducerSettings


def key_headers(key: str) -> dict[str, str]:
    """Return the headers that send a key, none for ""."""
    return {"Authorization": f"Bearer {key}"} if key else {}


def client_options(settings: ProducerSettings) -> dict[str, Any]:
    """Return httpx's arguments for requests with the key and the authorities of the settings. Raises: TlsError."""
    # Not above: `import stepwell` stays light.
    with importing():
        from stepwell_schemas.http.trust import client_trust

    return {"headers": key_headers(settings.api_key.get_secret_value()), "verify": client_trust(settings.ca_file)}


def quote_run(run: RunPath) -> str:
    """Return a run's path with each part percent-encoded."""
    return "/".join(quote(part, safe="") for part in run)


def session_url(base_url: str, run: RunPath, session: str) -> str:
    """Return the address of the service's account of a session."""
    return f"{base_url.rstrip('/')}/api/v1/runs/{quote_run(run)}/sessions/{session}"
