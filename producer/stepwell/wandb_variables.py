"""wandb's environment variables, which are read while Stepwell stands in for wandb.

Frameworks set some of them (Lightning's `offline=True` sets WANDB_MODE), and have their users set others. Arguments of
`init()` and Stepwell's own variables take precedence.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from stepwell.errors import SettingsError

_TRUE: Final = frozenset({"1", "true", "yes", "on", "y", "t"})
_MODES: Final = {
    "online": "online",
    "run": "online",
    "shared": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "disabled",
}
_ARGUMENTS: Final = {
    "WANDB_NAME": "name",
    "WANDB_NOTES": "notes",
    "WANDB_TAGS": "tags",
    "WANDB_RUN_GROUP": "group",
    "WANDB_JOB_TYPE": "job_type",
    "WANDB_RESUME": "resume",
}
_SETTINGS: Final = {
    "WANDB_DIR": "dir",
    "WANDB_DISABLED": "mode",
    "WANDB_DISABLE_GIT": "git",
    "WANDB_ENTITY": "entity",
    "WANDB_MODE": "mode",
    "WANDB_PROJECT": "project",
    "WANDB_RUN_ID": "run_id",
    "WANDB_SILENT": "quiet",
}
READ: Final = frozenset(_ARGUMENTS) | frozenset(_SETTINGS)
"""The variables that are read; others of wandb's are reported as without effect."""


class Defaults(NamedTuple):
    """Values of arguments of `init()` and of settings, for those that are not given."""

    arguments: Mapping[str, Any]
    settings: Mapping[str, Any]


NONE: Final = Defaults({}, {})


def read_variables(environment: Mapping[str, str]) -> Defaults:
    """Return what wandb's variables say. Raises: SettingsError for an unknown mode."""
    given = {name: environment[name] for name in READ if environment.get(name)}
    arguments: dict[str, Any] = {_ARGUMENTS[name]: text for name, text in given.items() if name in _ARGUMENTS}
    if "tags" in arguments:
        arguments["tags"] = tuple(tag.strip() for tag in arguments["tags"].split(",") if tag.strip())
    if arguments.get("resume", "").lower() in _TRUE:
        arguments["resume"] = True
    settings: dict[str, Any] = {}
    for name in ("WANDB_ENTITY", "WANDB_PROJECT", "WANDB_RUN_ID"):
        if name in given:
            settings[_SETTINGS[name]] = given[name]
    if "WANDB_DIR" in given:
        settings["dir"] = Path(given["WANDB_DIR"])
    if "WANDB_MODE" in given:
        settings["mode"] = _parse_mode(given["WANDB_MODE"])
    for name, value in (("WANDB_DISABLED", "disabled"), ("WANDB_SILENT", True), ("WANDB_DISABLE_GIT", False)):
        if given.get(name, "").lower() in _TRUE:
            settings[_SETTINGS[name]] = value
    return Defaults(arguments, settings)


def _parse_mode(text: str) -> str:
    mode = _MODES.get(text.lower())
    if mode is None:
        raise SettingsError(f"WANDB_MODE {text!r}: must be online, offline or disabled")
    return mode
