"""The commands' client of the query service: JSON in, JSON out; problem documents are raised as errors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import httpx

from stepwell.api.http import ndjson_lines
from stepwell.service_requests import key_headers
from stepwell_deploy.errors import ServiceRefusedError
from stepwell_schemas.http.trust import client_trust

_TIMEOUT_SECONDS = 60.0


class ServiceClient:
    """Client of one query service. Raises httpx.HTTPError without an answer, ServiceRefusedError for a refusal."""

    def __init__(self, base_url: str, api_key: str = "") -> None:
        self._client = httpx.Client(
            base_url=base_url, headers=key_headers(api_key), timeout=_TIMEOUT_SECONDS, verify=client_trust()
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, path: str, **parameters: Any) -> Any:
        """Return the JSON answer of GET `/api/v1/{path}`; parameters that are None are left out."""
        given = {name: value for name, value in parameters.items() if value is not None}
        return _answer(self._client.get(f"/api/v1/{path}", params=given)).json()

    def lines(self, path: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Yield the rows of the ndjson answer of GET `/api/v1/{path}`; parameters that are None are left out."""
        given = {name: value for name, value in parameters.items() if value is not None}
        with self.stream(path, "application/x-ndjson", given) as answer:
            yield from map(json.loads, ndjson_lines(answer.iter_bytes()))

    @contextmanager
    def stream(self, path: str, accept: str, parameters: Mapping[str, Any]) -> Iterator[httpx.Response]:
        """Send GET `/api/v1/{path}` and yield the response in a media type; its body is read within the block."""
        headers = {"Accept": accept}
        with self._client.stream("GET", f"/api/v1/{path}", params=dict(parameters), headers=headers) as answer:
            if answer.is_error:
                answer.read()
            yield _answer(answer)

    def send(self, method: str, path: str, body: dict[str, Any] | None = None, **parameters: Any) -> Any:
        """Return the JSON answer of a request to `/api/v1/{path}` that changes something."""
        return _answer(self._client.request(method, f"/api/v1/{path}", json=body, params=parameters)).json()

    def post(self, path: str, body: dict[str, Any], accept: str = "application/json") -> httpx.Response:
        """Return the answer of POST `/api/v1/{path}`."""
        return _answer(self._client.post(f"/api/v1/{path}", json=body, headers={"Accept": accept}))

    def delete(self, path: str) -> Any:
        """Return the JSON answer of DELETE `/api/v1/{path}`."""
        return _answer(self._client.delete(f"/api/v1/{path}")).json()

    def metrics_text(self) -> str:
        """Return the service's Prometheus metrics."""
        return _answer(self._client.get("/metrics")).text

    def readiness(self) -> httpx.Response:
        """Return the answer of `/readyz`, whatever its status."""
        return self._client.get("/readyz")


def _answer(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    detail = problem.get("detail") or f"the service answered {response.status_code}"
    remedies = [item["remedy"] for item in problem.get("errors", []) if item.get("remedy")]
    raise ServiceRefusedError("; ".join([detail, *remedies]))
