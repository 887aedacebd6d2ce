"""SDK of Stepwell: log the steps of a training run, and read them back.

    import stepwell

    run = stepwell.init(project="digits", config={"lr": 0.01})
    for batch in batches:
        run.log({"loss": train(batch)})
    run.finish()

Names, arguments and behaviour follow `wandb`: `import stepwell as wandb` runs a training script unchanged. Libraries
that log to wandb by themselves log to Stepwell after `stepwell.install_as_wandb()`.
The import is fast: heavy dependencies (numpy, pydantic, the Kafka client) are imported when a run starts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from os import PathLike
from typing import TYPE_CHECKING, Any, Final

from stepwell import as_wandb, errors
from stepwell.as_wandb import install_as_wandb, module_attribute, stands_in
from stepwell.errors import CommError, StepwellError, UnsupportedError, UsageError
from stepwell.errors import StepwellError as Error
from stepwell.recording.summary import Metric
from stepwell.session.alerts import AlertLevel
from stepwell.session.before_init import BeforeInit
from stepwell.session.init import start_run
from stepwell.session.live_runs import current_run
from stepwell.session.receipt import Receipt
from stepwell.session.run import Run
from stepwell.session.spec import FINISH_TIMEOUT_SECONDS, VERSION
from stepwell.wandb_compat import check_arguments, missing_attribute_message, stand_in, termlog
from stepwell_schemas.errors import IdentifierError, KeyRuleError, StepError

if TYPE_CHECKING:
    from stepwell import plot
    from stepwell.api.client import Api
    from stepwell.media.audio import Audio
    from stepwell.media.histogram import Histogram
    from stepwell.media.html import Html
    from stepwell.media.image import Image
    from stepwell.media.molecule import Molecule
    from stepwell.media.object3d import Object3D, box3d
    from stepwell.media.overlays import BoundingBoxes2D, Classes, ImageMask
    from stepwell.media.plotly import Plotly
    from stepwell.media.table import Table
    from stepwell.media.video import Video
    from stepwell.recording.summary import Summary
    from stepwell.session.artifacts import Artifact
    from stepwell.session.config import Config
    from stepwell.settings import ProducerSettings as Settings

    run: Run | None
    config: Config
    summary: Summary

__version__ = VERSION

as_wandb.register()


_DATA_TYPES: Final = {
    "Audio": "audio",
    "BoundingBoxes2D": "overlays",
    "Classes": "overlays",
    "Histogram": "histogram",
    "Html": "html",
    "Image": "image",
    "ImageMask": "overlays",
    "Molecule": "molecule",
    "Object3D": "object3d",
    "Plotly": "plotly",
    "Table": "table",
    "Video": "video",
    "box3d": "object3d",
}
"""Data types and the modules of `stepwell.media` that define them, imported on first access."""

_IMPORTED_LATER: Final = {
    "Api": "stepwell.api.client",
    "Artifact": "stepwell.session.artifacts",
    "Config": "stepwell.session.config",
    "link_artifact": "stepwell.session.artifacts",
    "log_artifact": "stepwell.session.artifacts",
    "plot_table": "stepwell.plot.custom",
    **{name: f"stepwell.media.{module}" for name, module in _DATA_TYPES.items()},
}
"""Other names and the modules that define them."""


def init(
    entity: str | None = None,
    project: str | None = None,
    dir: str | PathLike[str] | None = None,  # noqa: A002 - wandb's name
    id: str | None = None,  # noqa: A002 - wandb's name
    name: str | None = None,
    notes: str | None = None,
    tags: Sequence[str] | None = None,
    config: Mapping[str, Any] | Any | None = None,
    config_exclude_keys: Sequence[str] | None = None,
    config_include_keys: Sequence[str] | None = None,
    allow_val_change: bool | None = None,  # noqa: ARG001
    group: str | None = None,
    job_type: str | None = None,
    mode: str | None = None,
    force: bool | None = None,  # noqa: ARG001
    reinit: bool | str | None = None,
    resume: bool | str | None = None,
    resume_from: str | None = None,
    fork_from: str | None = None,
    save_code: bool | None = None,
    tensorboard: bool | None = None,
    sync_tensorboard: bool | None = None,
    monitor_gym: bool | None = None,
    settings: Settings | Mapping[str, Any] | None = None,
    anonymous: Any = None,  # noqa: ARG001
    writer: str | None = None,
    transport: str | None = None,
) -> Run:
    """Start a run and make it the current one.

    Args:
        entity, project, id: the run's path; default: STEPWELL_ENTITY or the user's name, "uncategorized", 8 random
            characters. dir: folder for journals.
        name, notes, tags, group, job_type, config: metadata of the run; `config` may be a dict or a namespace.
        mode: `online` (send while training), `offline` (journal only; `stepwell sync` delivers it), `disabled`.
        reinit: treatment of a run that is still open. Default: finish it; `return_previous` or False: return it;
            `create_new`: keep both open.
        resume: `allow`, `must`, `never` or `auto`: continue after the last step of an earlier run with this id.
        settings: `Settings` or a dict of them; they override the environment.
        writer: name of this process, if several processes log to one run.
        transport: `kafka` (to the brokers), `http` (to the service's own address) or `auto`; default:
            STEPWELL_TRANSPORT.

    The other arguments exist for compatibility with wandb. They have no effect; a notice is printed if one is set.

    Raises:
        IdentifierError: for an invalid part of the path. ResumeError: if the run can't be resumed as requested.
            SettingsError: for an invalid setting. JournalError: if the journal can't be created.
            UnsupportedError: for `resume_from` and `fork_from`. TypeError: for a config that is no mapping.
    """
    from stepwell.session.config import as_mapping, select_keys
    from stepwell.settings import make_settings
    from stepwell.wandb_variables import NONE, read_variables

    defaults = read_variables(os.environ) if stands_in() else NONE
    check_arguments(
        {
            "resume_from": resume_from,
            "fork_from": fork_from,
            "save_code": save_code,
            "tensorboard": tensorboard,
            "sync_tensorboard": sync_tensorboard,
            "monitor_gym": monitor_gym,
        }
    )
    arguments = {
        "entity": entity,
        "project": project,
        "id": id,
        "name": name,
        "notes": notes,
        "tags": tags,
        "config": select_keys(as_mapping(config), config_include_keys, config_exclude_keys),
        "group": group,
        "job_type": job_type,
        "mode": mode,
        "writer": writer,
        "resume": resume,
    }
    given = {name: value for name, value in arguments.items() if value is not None}
    arguments |= {**defaults.arguments, **given}
    rule = arguments.pop("resume")
    return start_run(arguments, make_settings(settings, dir, defaults.settings, transport), reinit, rule)


def log(data: Mapping[str, Any], step: int | None = None, commit: bool | None = None) -> None:
    """Log one row to the current run; see `Run.log`. Raises: Error before `init()`."""
    _required("log").log(data, step, commit)


def finish(
    exit_code: int | None = None, quiet: bool | None = None, timeout: float = FINISH_TIMEOUT_SECONDS
) -> Receipt | None:
    """Finish the current run; see `Run.finish`. Returns None if there is none."""
    open_run = current_run()
    return None if open_run is None else open_run.finish(exit_code, quiet, timeout)


def define_metric(
    name: str,
    step_metric: Any = None,
    step_sync: bool | None = None,
    hidden: bool | None = None,
    summary: str | None = None,
    overwrite: bool | None = None,
    goal: str | None = None,
) -> Metric:
    """Define how a metric is drawn and summarized; see `Run.define_metric`. Raises: Error before `init()`."""
    return _required("define_metric").define_metric(name, step_metric, step_sync, hidden, summary, overwrite, goal)


def login(
    anonymous: Any = None,  # noqa: ARG001
    key: str | None = None,
    relogin: bool | None = None,
    host: str | None = None,
    force: bool | None = None,  # noqa: ARG001
    timeout: float | None = None,
    verify: bool = False,
    **_: Any,
) -> bool:
    """Verify a key at the service, and keep it for later processes; return False if the service refuses it.

    Without `key`, the one of STEPWELL_API_KEY or of an earlier login is verified; a terminal asks for another if it is
    refused. Runs that start with a refused key are recorded, and sent later.

    Args:
        anonymous, force: without effect.
        key: the key; default: the known one.
        relogin: do not use the known key.
        host: the URL of the service; default: STEPWELL_BASE_URL.
        timeout: seconds to wait for the service.
        verify: raise an error instead of returning False, or if the service can't be reached.

    Raises:
        AuthenticationError: if the text can't be a key, or as `verify` says.
    """
    from stepwell.sign_in import login as sign_in

    return sign_in(key, relogin=relogin, host=host, timeout=timeout, verify=verify)


def alert(title: str, text: str = "", level: str | AlertLevel | None = None, wait_duration: Any = None) -> None:
    """Print and record an alert; see `Run.alert`. Raises: Error before `init()`."""
    _required("alert").alert(title, text, level, wait_duration)


def teardown(exit_code: int | None = None) -> None:
    """Finish the current run; wandb's name for the end of a process."""
    finish(exit_code)


join = finish


termwarn = termerror = termlog


def _required(what: str) -> Run:
    open_run = current_run()
    if open_run is None:
        raise StepwellError(f"call stepwell.init() before stepwell.{what}")
    return open_run


def __getattr__(name: str) -> Any:
    if name == "run":
        return current_run()
    if name in {"config", "summary"}:
        open_run = current_run()
        return BeforeInit(name) if open_run is None else getattr(open_run, name)
    if name == "Settings":
        return import_module("stepwell.settings").ProducerSettings
    if name in {"api", "plot"}:
        return import_module(f"stepwell.{name}")
    if name in _IMPORTED_LATER:
        return getattr(import_module(_IMPORTED_LATER[name]), name)
    substitute = stand_in(name) or module_attribute(name)
    if substitute is None:
        raise AttributeError(missing_attribute_message(name))
    return substitute


__all__ = [
    "AlertLevel",
    "Api",
    "Artifact",
    "Audio",
    "BoundingBoxes2D",
    "Classes",
    "CommError",
    "Config",
    "Error",
    "Histogram",
    "Html",
    "IdentifierError",
    "Image",
    "ImageMask",
    "KeyRuleError",
    "Metric",
    "Molecule",
    "Object3D",
    "Plotly",
    "Receipt",
    "Run",
    "Settings",
    "StepError",
    "Table",
    "UnsupportedError",
    "UsageError",
    "Video",
    "__version__",
    "alert",
    "box3d",
    "config",
    "define_metric",
    "errors",
    "finish",
    "init",
    "install_as_wandb",
    "join",
    "log",
    "login",
    "plot",
    "run",
    "summary",
    "teardown",
    "termerror",
    "termlog",
    "termwarn",
]
