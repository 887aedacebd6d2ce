"""What wandb has and Stepwell has not: what becomes of each such call, and what to do instead.

Handing a copy of something to a server (files, code, gradients) is a no-op that is said once: the script goes on and
still has it. What must give something back, or keeps something that exists nowhere else, raises UnsupportedError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

from stepwell.errors import UnsupportedError
from stepwell.terminal import say

_FILES: Final = "files that are no media are not kept: put them where all machines see them, and log where they are"
_ARTIFACTS: Final = (
    "artifacts are not kept: log tables and media with log(); put files where all machines see them, and log where "
    "they are"
)
_SWEEPS: Final = "there are no sweeps: let a tuner (Optuna, Ray Tune) call init(group=…) for each trial"

SKIPPED: Final[dict[str, tuple[str, Any]]] = {
    "watch": ("gradients are not recorded: log Histogram(parameter.grad) where they are wanted", None),
    "unwatch": ("", None),
    "save": (_FILES, []),
    "log_artifact": (_FILES, None),
    "log_model": (_FILES, None),
    "link_model": (_FILES, None),
    "log_code": ("code is not kept: log its version, as config={'commit': …}", None),
    "mark_preempting": ("", None),
    "pin_config_keys": ("", None),
    "display": ("a notebook shows no page of the run: open run.url", False),
    "setup": ("", None),
    "require": ("", None),
}
"""Calls that do nothing: what is said once ("" for nothing), and what they return."""

REFUSED: Final[dict[str, str]] = {
    "Artifact": _ARTIFACTS,
    "ArtifactTTL": _ARTIFACTS,
    "link_artifact": _ARTIFACTS,
    "use_artifact": _ARTIFACTS,
    "finish_artifact": _ARTIFACTS,
    "upsert_artifact": _ARTIFACTS,
    "use_model": _ARTIFACTS,
    "restore": "files that are no media are not kept; media are read with Api().run(path).media(key)",
    "sweep": _SWEEPS,
    "agent": _SWEEPS,
    "controller": _SWEEPS,
    "plot_table": "there are no Vega charts: plot.line, scatter, bar and histogram draw tables, Plotly draws the rest",
    "EvalTable": "use Table",
    "JoinedTable": "log two tables, and join them where they are read, as DataFrames",
    "Graph": "log a picture of the model, as an Image",
    "attach": "another process logs to the run by init(id=…, writer=…)",
    "status": "`stepwell status` tells of the service, finish() of the run",
    "to_html": "run.url is the run's page",
}
"""Calls that raise, each with what to do instead."""

ABSENT: Final[dict[str, str]] = {
    **dict.fromkeys(
        ("sklearn", "keras", "xgboost", "lightgbm", "catboost", "sacred", "gym", "integration"),
        "there are no callbacks for libraries: call log() in one of the library's own; plot.* has the charts",
    ),
    **dict.fromkeys(("tensorboard", "tensorflow"), "TensorBoard's events are not read: call log() with the values"),
    "data_types": "the data types are in stepwell itself: stepwell.Image, stepwell.Table, …",
    "apis": "stepwell.Api reads runs back",
    "env": "settings are environment variables that begin with STEPWELL_",
    "visualize": "plot.* draws tables",
}
"""Modules and names that are not there, each with what to use."""

VARIABLES: Final[dict[str, str]] = {
    "WANDB_BASE_URL": "STEPWELL_BASE_URL",
    "WANDB_DIR": "STEPWELL_DIR",
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
"""wandb's environment variables that decide where and how a run is logged, each with what does so here."""

ARGUMENTS: Final[dict[str, str]] = {
    "save_code": SKIPPED["log_code"][0],
    "tensorboard": ABSENT["tensorboard"],
    "sync_tensorboard": ABSENT["tensorboard"],
    "monitor_gym": "videos of gym are not found by themselves: log them as Video",
}
"""Arguments of `init()` that ask for something that is not done; said once."""

REFUSED_ARGUMENTS: Final[dict[str, str]] = {
    "resume_from": "a run goes on from its last step, with resume='must', or is another run, with a new id",
    "fork_from": "a run goes on from its last step, with resume='must', or is another run, with a new id",
}
"""Arguments of `init()` without which another run would be logged than was asked for."""

SETTINGS_ELSEWHERE: Final[dict[str, str]] = {
    "run_name": "give init(name=…)",
    "run_group": "give init(group=…)",
    "run_job_type": "give init(job_type=…)",
    "run_notes": "give init(notes=…)",
    "run_tags": "give init(tags=…)",
    "resume": "give init(resume=…)",
    "reinit": "give init(reinit=…)",
    **REFUSED_ARGUMENTS,
}
"""wandb's settings without which another run would be logged than was asked for, and what to do instead."""

_said: Final[set[str]] = set()


def say_once(message: str) -> None:
    """Say something to the person at the terminal, once in a process."""
    if message not in _said:
        _said.add(message)
        say(message)


def check_arguments(given: Mapping[str, Any]) -> None:
    """Say which of wandb's arguments of `init()` are not followed. Raises: UnsupportedError for those that must be."""
    for name, remedy in REFUSED_ARGUMENTS.items():
        if given.get(name):
            raise UnsupportedError(f"{name} is wandb's and not there: {remedy}")
    for name, remedy in ARGUMENTS.items():
        if given.get(name):
            say_once(f"{name} does nothing here: {remedy}")


def check_environment(environment: Mapping[str, str]) -> None:
    """Say which of wandb's variables are set, and not read, where the one that is read is not set."""
    for name, ours in VARIABLES.items():
        if environment.get(name) and not environment.get(ours.partition("=")[0]):
            say_once(f"{name} is set, and not read: Stepwell's is {ours}")


def stand_in(name: str) -> Callable[..., Any] | None:
    """Return what takes the place of a call of wandb's: it does nothing, or raises UnsupportedError. None: no such."""
    if name in SKIPPED:
        remark, answer = SKIPPED[name]

        def skip(*_: Any, **__: Any) -> Any:
            if remark:
                say_once(f"{name}() does nothing here: {remark}")
            return answer

        return skip
    if name in REFUSED:

        def refuse(*_: Any, **__: Any) -> NoReturn:
            raise UnsupportedError(f"{name}() is wandb's and not there: {REFUSED[name]}")

        return refuse
    return None


def absent(name: str) -> str:
    """Return the message of an AttributeError for a name of the package."""
    remedy = ABSENT.get(name)
    return f"module 'stepwell' has no attribute {name!r}" + (f": {remedy}" if remedy else "")
