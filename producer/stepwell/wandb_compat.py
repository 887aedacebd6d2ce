"""Features of wandb that Stepwell lacks: the effect of each such call, and what to do instead.

A call that sends a copy of something to a server (files, code, gradients) is a no-op with one notice: the script
continues and still has the original. A call that must return something, or that stores something that exists nowhere
else, raises UnsupportedError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from typing import Any, Final, NoReturn

from stepwell.errors import UnsupportedError
from stepwell.terminal import notify

FILES: Final = "files other than media are not stored: put them on shared storage, and log their paths"
ARTIFACTS: Final = (
    "artifacts are not stored: log tables and media with log(); put files on shared storage, and log their paths"
)
_SWEEPS: Final = "sweeps are not supported: let a tuner (Optuna, Ray Tune) call init(group=…) for each trial"

SKIPPED: Final[dict[str, tuple[str, Any]]] = {
    "watch": ("gradients are not recorded: log Histogram(parameter.grad) if you need them", None),
    "unwatch": ("", None),
    "save": (FILES, []),
    "log_model": (FILES, None),
    "link_model": (FILES, None),
    "log_code": ("code is not stored; the Git commit of the script's checkout is", None),
    "mark_preempting": ("", None),
    "pin_config_keys": ("", None),
    "setup": ("", None),
    "ensure_configured": ("", None),
    "_label": ("", None),
    "require": ("", None),
}
"""Calls without effect: the notice that is printed once ("" for none), and the return value."""

REFUSED: Final[dict[str, str]] = {
    "ArtifactTTL": ARTIFACTS,
    "use_artifact": ARTIFACTS,
    "finish_artifact": ARTIFACTS,
    "upsert_artifact": ARTIFACTS,
    "use_model": ARTIFACTS,
    "restore": "files other than media are not stored; read media with Api().run(path).media(key)",
    "sweep": _SWEEPS,
    "agent": _SWEEPS,
    "controller": _SWEEPS,
    "EvalTable": "use Table",
    "JoinedTable": "log two tables, and join them as DataFrames after reading",
    "Graph": "log a picture of the model as an Image",
    "attach": "use init(id=…, writer=…) to log to the run from another process",
    "status": "use `stepwell status` for the service, finish() for the run",
}
"""Calls that raise, each with what to do instead."""

ABSENT: Final[dict[str, str]] = {
    **dict.fromkeys(
        ("sklearn", "catboost", "sacred", "gym"),
        "no callbacks for this library are included: call log() in a callback of its own; plot.* has the charts",
    ),
    **dict.fromkeys(("tensorboard", "tensorflow"), "TensorBoard events are not read: call log() with the values"),
    "apis": "stepwell.Api reads runs back",
    "env": "settings are environment variables that begin with STEPWELL_",
    "visualize": "plot.* draws tables",
}
"""Missing modules and names, each with its alternative."""

VARIABLES: Final[dict[str, str]] = {
    "WANDB_BASE_URL": "STEPWELL_BASE_URL",
    "WANDB_DIR": "STEPWELL_DIR",
    "WANDB_DISABLE_GIT": "STEPWELL_GIT=false",
    "WANDB_DISABLED": "STEPWELL_MODE=disabled",
    "WANDB_ENTITY": "STEPWELL_ENTITY",
    "WANDB_JOB_TYPE": "init(job_type=…)",
    "WANDB_MODE": "STEPWELL_MODE",
    "WANDB_NAME": "init(name=…)",
    "WANDB_NOTES": "init(notes=…)",
    "WANDB_PROJECT": "STEPWELL_PROJECT",
    "WANDB_RESUME": "init(resume=…)",
    "WANDB_RUN_GROUP": "init(group=…)",
    "WANDB_RUN_ID": "STEPWELL_RUN_ID",
    "WANDB_SILENT": "STEPWELL_QUIET",
    "WANDB_TAGS": "init(tags=…)",
}
"""wandb's environment variables for how a run is logged, each with Stepwell's equivalent."""

ARGUMENTS: Final[dict[str, str]] = {
    "save_code": SKIPPED["log_code"][0],
    "tensorboard": ABSENT["tensorboard"],
    "sync_tensorboard": ABSENT["tensorboard"],
    "monitor_gym": "videos of gym are not recorded automatically: log them as Video",
}
"""Arguments of `init()` without effect; a notice is printed once."""

REFUSED_ARGUMENTS: Final[dict[str, str]] = {
    "resume_from": "continue a run after its last step with resume='must', or start another run with a new id",
    "fork_from": "continue a run after its last step with resume='must', or start another run with a new id",
}
"""Arguments of `init()` that raise, since ignoring them would log to another run than intended."""

SETTINGS_ELSEWHERE: Final[dict[str, str]] = {
    "run_name": "use init(name=…)",
    "run_group": "use init(group=…)",
    "run_job_type": "use init(job_type=…)",
    "run_notes": "use init(notes=…)",
    "run_tags": "use init(tags=…)",
    "resume": "use init(resume=…)",
    "reinit": "use init(reinit=…)",
    **REFUSED_ARGUMENTS,
}
"""wandb's settings that raise, since ignoring them would log another run than intended, with the alternative."""

_notified: Final[set[str]] = set()


def notify_once(message: str) -> None:
    """Print a notice once per process."""
    if message not in _notified:
        _notified.add(message)
        notify(message)


def termlog(string: str = "", newline: bool = True, repeat: bool = True, prefix: bool = True) -> None:
    """Print a line to stderr, as wandb does for libraries; with `repeat=False` once. The others are ignored."""
    del newline, prefix
    (notify if repeat else notify_once)(string)


def check_arguments(given: Mapping[str, Any]) -> None:
    """Report arguments of `init()` without effect. Raises: UnsupportedError for those that can't be ignored."""
    for name, remedy in REFUSED_ARGUMENTS.items():
        if given.get(name):
            raise UnsupportedError(f"{name} is not supported: {remedy}")
    for name, remedy in ARGUMENTS.items():
        if given.get(name):
            notify_once(f"{name} has no effect: {remedy}")


def check_environment(environment: Mapping[str, str], read: Set[str] = frozenset()) -> None:
    """Report wandb's variables that are set and not among those `read`, unless Stepwell's equivalent is set."""
    for name, ours in VARIABLES.items():
        if name not in read and environment.get(name) and not environment.get(ours.partition("=")[0]):
            notify_once(f"{name} is ignored: use {ours}")


def stand_in(name: str) -> Callable[..., Any] | None:
    """Return a substitute for a call of wandb, without effect or raising UnsupportedError; None if there is none."""
    if name in SKIPPED:
        remark, result = SKIPPED[name]

        def skip(*_: Any, **__: Any) -> Any:
            if remark:
                notify_once(f"{name}() has no effect: {remark}")
            return result

        return skip
    if name in REFUSED:

        def refuse(*_: Any, **__: Any) -> NoReturn:
            raise UnsupportedError(f"{name}() is not supported: {REFUSED[name]}")

        return refuse
    return None


def missing_run_attribute_message(name: str) -> str:
    """Return the message of an AttributeError for a name of a run."""
    remedy = ": it is internal to wandb; a run has the names of wandb's documentation" if name.startswith("_") else ""
    return f"a run has no attribute {name!r}{remedy}"


def missing_attribute_message(name: str) -> str:
    """Return the message of an AttributeError for a name of the package."""
    remedy = ABSENT.get(name)
    return f"module 'stepwell' has no attribute {name!r}" + (f": {remedy}" if remedy else "")


def missing_module_message(name: str) -> str:
    """Return the message of a ModuleNotFoundError for a module of wandb, given without `wandb.`."""
    parts = name.split(".")
    remedy = next((ABSENT[part] for part in parts if part in ABSENT), "")
    return f"no module 'wandb.{name}' in Stepwell, which stands in for wandb" + (f": {remedy}" if remedy else "")
