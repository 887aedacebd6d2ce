"""Names of wandb's `Api` and its runs that Stepwell lacks, each with what to do instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

from stepwell.errors import UnsupportedError
from stepwell.wandb_compat import ARTIFACTS, REFUSED

_SWEEPS: Final = REFUSED["sweep"]
_FILES: Final = "only media are stored as files: log them with init() and log()"
_STATE: Final = "the state follows from the run's process: end that one"
_USERS: Final = "users are not stored; runs have an entity, and tags for everything else"
_ADMINISTRATION: Final = (
    "Stepwell has no users, teams, queues or automations; access is the operator's (docs/security.md)"
)

RUN_CALLS: Final[dict[str, str]] = {
    "create": "runs appear with stepwell.init()",
    "update_state": _STATE,
    "upload_file": _FILES,
    **dict.fromkeys(("logged_artifacts", "used_artifacts", "use_artifact", "log_artifact"), ARTIFACTS),
    "download_history_exports": "run.scan() returns all rows, and `stepwell export` writes them to files",
    "console_logs": "run.console() returns the lines",
    "to_html": "run.url is the run's page",
    "display": "run.url is the run's page",
}
"""Methods of wandb's runs that raise, each with what to do instead."""

RUN_ATTRIBUTES: Final[dict[str, str]] = {
    **dict.fromkeys(("user", "username"), _USERS),
    "history_keys": "run.metrics() lists the keys",
    "read_only": "the service decides by the key of a request",
}
"""Attributes of wandb's runs that do not exist, each with what to use instead."""

API_CALLS: Final[dict[str, str]] = {
    **dict.fromkeys(
        (
            *("artifact", "artifacts", "artifact_type", "artifact_types", "artifact_versions", "artifact_exists"),
            *("artifact_collection", "artifact_collections", "artifact_collection_exists", "job", "list_jobs"),
            *("registry", "registries", "create_registry"),
        ),
        ARTIFACTS,
    ),
    "sweep": _SWEEPS,
    **dict.fromkeys(("create_run", "create_project"), "runs and projects appear with stepwell.init()"),
    **dict.fromkeys(("reports", "create_custom_chart"), "the view of a page is in its address, which can be shared"),
    "from_path": "use api.run(path), or api.runs(path) for a project",
    "sync_tensorboard": "TensorBoard events are not read: call log() with the values",
    **dict.fromkeys(
        (
            *("user", "users", "create_user", "team", "create_team", "organization", "queued_run", "run_queue"),
            *("create_run_queue", "upsert_run_queue", "integrations", "webhook_integrations", "slack_integrations"),
            *("automation", "automations", "create_automation", "update_automation", "delete_automation"),
        ),
        _ADMINISTRATION,
    ),
}
"""Methods of wandb's `Api` that raise, each with what to do instead."""

API_ATTRIBUTES: Final[dict[str, str]] = {"viewer": _USERS}
"""Attributes of wandb's `Api` that do not exist, each with what to use instead."""


def missing_name(kind: str, name: str, calls: Mapping[str, str], attributes: Mapping[str, str]) -> Callable[..., Any]:
    """Return a substitute for a missing method, which raises UnsupportedError.

    Raises:
        AttributeError: for other names, with what to use instead.
    """
    if name in calls:

        def refuse(*_: Any, **__: Any) -> NoReturn:
            raise UnsupportedError(f"{name}() is not supported: {calls[name]}")

        return refuse
    remedy = attributes.get(name)
    raise AttributeError(f"{kind} has no attribute {name!r}" + (f": {remedy}" if remedy else ""))


def edit_remedy(what: str) -> str:
    """Return the message for a change of an attribute of a stored run that is not a person's to change."""
    changeable = "name, notes, tags, group, job_type, config and summary"
    return f"{what} of a stored run can't be changed; {changeable} can, with run.update()"
