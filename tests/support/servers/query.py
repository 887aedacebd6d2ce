"""The query service over a store, reached by HTTP without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from stepwell_query.api.app import create_app
from stepwell_query.settings import QuerySettings
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath


def run_url(run: RunPath, below: str = "") -> str:
    """Return the URL path of a run, or of a resource below it."""
    path = "/api/v1/runs/" + "/".join(quote(part, safe="") for part in run)
    return f"{path}/{below}" if below else path


@dataclass
class Service:
    """A client of the query service."""

    client: httpx.AsyncClient

    async def get(
        self, run: RunPath, below: str = "", *, headers: Mapping[str, str] | None = None, **query: Any
    ) -> httpx.Response:
        """Return the response for a run."""
        return await self.client.get(run_url(run, below), params=query, headers=headers)

    async def json(self, run: RunPath, below: str = "", **query: Any) -> Any:
        """Return the JSON for a run; fails unless the status is 200."""
        answer = await self.get(run, below, **query)
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextmanager
def service_over(store: Store, **settings: Any) -> Iterator[Service]:
    """Serve a store for the block; answers are cached, and silent runs crashed, only if `settings` enable it."""
    app = create_app(QuerySettings(**{"query_cache_bytes": 0, "crashed_after_seconds": 1e9} | settings), store)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    client = httpx.AsyncClient(transport=transport, base_url="http://localhost")
    yield Service(client)
    asyncio.run(client.aclose())
    app.state.context.audit.close()
