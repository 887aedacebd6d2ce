"""Paths of runs and projects as wandb's `Api` takes them, and the addresses of their pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from stepwell.service_requests import quote_run
from stepwell_schemas.errors import IdentifierError
from stepwell_schemas.rules.identifiers import RunPath, check_identifier

_SCHEMES: Final = ("http://", "https://")
_RUNS: Final = {"runs", "sweeps"}
_RUN_FORMS: Final = "must have the form entity/project/run_id, or be the address of the run's page"
_RUNS_FORMS: Final = "must have the form entity/project or entity/project/run_id, or be the address of such a page"
_PROJECT_FORMS: Final = "must have the form entity/project, or be the address of the project's page"


def parse_run_path(path: str | Sequence[str], base_url: str = "", entity: str = "", project: str = "") -> RunPath:
    """Parse the path of a run; its missing parts are the defaults.

    Forms: `entity/project/run_id`, `entity/project/runs/run_id`, `entity/project:run_id`, `project/run_id`,
    `project:run_id`, `run_id`, a list of the parts, and the address of a page of the service at `base_url`.

    Raises:
        IdentifierError: for any other form, or an invalid part.
    """
    parts = _split(path, base_url)
    if len(parts) == len(RunPath._fields) + 1 and parts[2] in _RUNS:
        del parts[2]
    if parts and len(parts) < len(RunPath._fields) and ":" in parts[-1]:
        parts[-1:] = parts[-1].split(":", 1)
    missing = len(RunPath._fields) - len(parts)
    if not parts or missing < 0 or (missing and not entity):
        raise IdentifierError("run path", str(path), _RUN_FORMS)
    return RunPath.checked(*[entity, project][:missing], *parts)


def parse_project_path(path: str | Sequence[str], base_url: str = "", entity: str = "") -> tuple[str, str]:
    """Parse `entity/project`, or `project` of the default entity, or the address of a project's page.

    Raises:
        IdentifierError: for any other form, or an invalid part.
    """
    parts = _split(path, base_url)
    if len(parts) == 3 and parts[2] in _RUNS:
        del parts[2]
    if len(parts) == 1 and entity:
        parts.insert(0, entity)
    if len(parts) != 2:
        raise IdentifierError("project path", str(path), _PROJECT_FORMS)
    return check_identifier("entity", parts[0]), check_identifier("project", parts[1])


def parse_runs_path(path: str, base_url: str = "") -> RunPath | tuple[str, str]:
    """Parse what names a run, or a project as all of its runs, in the forms of the two functions above.

    `entity/project` and `entity/project/runs` are a project, `entity/project:run_id` is a run.

    Raises:
        IdentifierError: for any other form, or an invalid part.
    """
    parts = _split(path, base_url)
    if (len(parts) == 2 and ":" not in parts[1]) or (len(parts) == 3 and parts[2] in _RUNS):
        return parse_project_path(path, base_url)
    if len(parts) < 2:
        raise IdentifierError("runs", path, _RUNS_FORMS)
    return parse_run_path(path, base_url)


def _split(path: str | Sequence[str], base_url: str) -> list[str]:
    """Return the parts of a path; those of an address without the service's own prefix, and decoded."""
    if not isinstance(path, str):
        return [str(part) for part in path]
    text = path.strip()
    if not text.lower().startswith(_SCHEMES):
        return text.strip("/ ").split("/")
    prefix = urlsplit(base_url).path.strip("/")
    below = urlsplit(text).path.strip("/")
    if prefix and below.startswith(f"{prefix}/"):
        below = below.removeprefix(f"{prefix}/")
    return [unquote(part) for part in below.split("/")]


def run_url(path: RunPath, below: str = "") -> str:
    """Return the URL path of a run below `/api/v1`, each part percent-encoded."""
    parts = quote_run(path)
    return f"runs/{parts}/{below}" if below else f"runs/{parts}"


def project_url(entity: str, project: str) -> str:
    """Return the URL path of a project's runs below `/api/v1`, each part percent-encoded."""
    return f"projects/{quote(entity, safe='')}/{quote(project, safe='')}/runs"
