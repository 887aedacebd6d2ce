"""`Api`: read runs over HTTP, with wandb's names."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date, time
from typing import Any, Final

from stepwell.api.compat import API_ATTRIBUTES, API_CALLS, missing_name
from stepwell.api.http import ApiHttp
from stepwell.api.info import CHANGE_WAIT_SECONDS, EXACT
from stepwell.api.paths import parse_project_path, parse_run_path, project_url, run_url
from stepwell.api.projects import Project
from stepwell.api.run import PAGE_RUNS, ApiRun
from stepwell.api.runs import Runs
from stepwell.settings import ProducerSettings
from stepwell.values.metadata import metadata_value
from stepwell_schemas.rules.identifiers import RunPath

_TIMEOUT_SECONDS: Final = 60.0
_PAGE_MAX: Final = 1_000
"""Limit of the service for the runs of a page."""


class Api(ApiHttp):
    """Client of the service at `base_url` (default: STEPWELL_BASE_URL). Calls raise ApiError."""

    def __init__(
        self,
        base_url: str | Mapping[str, Any] | None = None,
        overrides: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        api_key: str | None = None,
    ) -> None:
        """Read the settings; nothing is requested. Raises: SettingsError.

        Args:
            base_url: the URL of the service; or `overrides`, which is wandb's first argument.
            overrides: `entity` and `project` of paths that name none, `base_url`.
            timeout: seconds to wait for an answer.
        """
        first = {} if base_url is None else {"base_url": base_url} if isinstance(base_url, str) else base_url
        given = {**(overrides or {}), **first}
        # With its URL: the key that was kept for one service is not sent to another.
        url = given.get("base_url")
        settings = ProducerSettings(**({"base_url": str(url)} if url else {}))
        key = api_key or settings.api_key.get_secret_value()
        super().__init__(settings.base_url, key, timeout or _TIMEOUT_SECONDS)
        self.default_entity = str(given.get("entity") or settings.entity)
        self.default_project = str(given.get("project") or settings.project)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return missing_name("Api", name, API_CALLS, API_ATTRIBUTES)

    @property
    def settings(self) -> dict[str, str]:
        """The defaults of paths and the service's URL, with wandb's names."""
        return {"entity": self.default_entity, "project": self.default_project, "base_url": self.base_url}

    def flush(self) -> None:
        """Do nothing: each call reads from the service, as `run.load(force=True)` does for a run."""

    def run(self, path: str | Sequence[str]) -> ApiRun:
        """Return a run by `entity/project/run_id`, by the address of its page, or by another form of wandb's paths.

        Raises:
            RunNotFoundError: if the run does not exist. IdentifierError: for an invalid path.
        """
        run_path = parse_run_path(path, self.base_url, self.default_entity, self.default_project)
        return ApiRun(self, run_path, self.get(run_url(run_path), **EXACT))

    def projects(self, entity: str | None = None, per_page: int = PAGE_RUNS) -> list[Project]:
        """Return the projects of an entity, by default of `default_entity`; the most recently active first."""
        del per_page
        listed = self.get("projects")["projects"]
        chosen = entity or self.default_entity
        return [Project(item["entity"], item["project"], self.base_url) for item in listed if item["entity"] == chosen]

    def project(self, name: str, entity: str | None = None) -> Project:
        """Return a project by its name, or by `entity/project`."""
        return Project(*parse_project_path(name, self.base_url, entity or self.default_entity), self.base_url)

    def delete_project(self, path: str | Sequence[str]) -> None:
        """Delete all runs of `entity/project`, for good; the key needs the scope `admin`. Raises: ApiError."""
        address = project_url(*parse_project_path(path, self.base_url, self.default_entity)).removesuffix("/runs")
        self.send("DELETE", address, wait=CHANGE_WAIT_SECONDS)

    def runs(
        self,
        path: str | Sequence[str] | None = None,
        filters: str | Mapping[str, Any] | None = None,
        order: str | None = "+created_at",
        per_page: int = PAGE_RUNS,
        include_sweeps: bool = False,
        lazy: bool = True,
    ) -> Runs:
        """Return the runs of `entity/project` (or `project`) that match a filter; pages are read as they are used.

        Args:
            filters: wandb's dicts, `{"config.lr": {"$gt": 0.1}, "$or": [...]}`, or a text in the filter language of
                docs/runs.md, `'config.lr > 0.1 and tags has "x"'`.
            order: a field, `config.KEY` or `summary.KEY`; a leading `-` reverses the order.
            per_page: runs per page, 1,000 at most.
            include_sweeps, lazy: without effect; config and summary of a listed run are read when they are used.

        Raises:
            ApiError: if the service rejects the filter or the order; the message says why.
        """
        del include_sweeps, lazy
        address = project_url(*parse_project_path(path or self.default_project, self.base_url, self.default_entity))
        text = filters if isinstance(filters, str) or filters is None else json.dumps(filters, default=_filter_value)
        parameters = {
            "filter": text or None,
            "order": (order or "created_at").removeprefix("+"),
            "limit": min(per_page, _PAGE_MAX),
            **EXACT,
        }

        def page(cursor: str | None) -> Any:
            return self.get(address, cursor=cursor, **parameters)

        def build(info: Mapping[str, Any]) -> ApiRun:
            return ApiRun(self, RunPath(info["entity"], info["project"], info["run_id"]), info)

        return Runs(page, build)


def _filter_value(value: Any) -> Any:
    """Return a value of a filter in JSON's types: times as texts, scalars of numpy as numbers. Raises: TypeError."""
    ready = metadata_value(value)
    if isinstance(value, date | time) or (hasattr(value, "item") and not isinstance(ready, str)):
        return ready
    raise TypeError(f"filters: values of type {type(value).__name__} can't be compared; write a text or a number")
