"""`Api`: read runs over HTTP, with wandb's names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from stepwell.api.http import ApiHttp
from stepwell.api.run import EXACT, PAGE_RUNS, ApiRun, run_url
from stepwell.api.runs import Runs
from stepwell.settings import ProducerSettings
from stepwell_schemas.errors import IdentifierError
from stepwell_schemas.rules.identifiers import RunPath

_TIMEOUT_SECONDS: Final = 60.0


class Api(ApiHttp):
    """Client of the query service at `base_url` (default: STEPWELL_BASE_URL). Calls raise ApiError."""

    def __init__(
        self,
        base_url: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        api_key: str | None = None,
    ) -> None:
        settings = ProducerSettings()
        key = api_key or settings.api_key.get_secret_value()
        super().__init__(
            str(base_url or (overrides or {}).get("base_url") or settings.base_url), key, timeout or _TIMEOUT_SECONDS
        )
        self.default_entity = settings.entity
        self.default_project = settings.project

    def run(self, path: str | RunPath) -> ApiRun:
        """Return a run by `entity/project/run_id` (or `project/run_id`, or `run_id`).

        Raises:
            RunNotFoundError: if the run does not exist. IdentifierError: for an invalid path.
        """
        run_path = path if isinstance(path, RunPath) else self._run_path(path)
        return ApiRun(self, run_path, self.get(run_url(run_path), **EXACT))

    def _run_path(self, path: str) -> RunPath:
        parts = path.strip("/").split("/")
        missing = 3 - len(parts)
        if missing < 0:
            raise IdentifierError("run path", path, "must have the form entity/project/run_id")
        return RunPath.checked(*[self.default_entity, self.default_project][:missing], *parts)

    def runs(
        self,
        path: str | None = None,
        filters: str | Mapping[str, Any] | None = None,
        order: str = "+created_at",
        per_page: int = PAGE_RUNS,
    ) -> Runs[ApiRun]:
        """Return the runs of `entity/project` (or `project`) that match a filter; pages are read as they are used.

        Args:
            filters: wandb's dicts, `{"config.lr": {"$gt": 0.1}, "$or": [...]}`, or a text in the filter language of
                docs/runs.md, `'config.lr > 0.1 and tags has "x"'`.
            order: a field, `config.KEY` or `summary.KEY`; a leading `-` reverses the order.
            per_page: runs per page.

        Raises:
            ApiError: if the service rejects the filter or the order; the message says why.
        """
        parts = (path or self.default_project).strip("/").split("/")
        entity, project = parts if len(parts) == 2 else (self.default_entity, parts[0])
        address = f"projects/{quote(entity, safe='')}/{quote(project, safe='')}/runs"
        text = filters if isinstance(filters, str) or filters is None else json.dumps(filters)
        parameters = {"filter": text or None, "order": order.removeprefix("+"), "limit": per_page, **EXACT}

        def page(cursor: str | None) -> Any:
            return self.get(address, cursor=cursor, **parameters)

        def build(info: Mapping[str, Any]) -> ApiRun:
            return ApiRun(self, RunPath(info["entity"], info["project"], info["run_id"]), info)

        return Runs(page, build)
