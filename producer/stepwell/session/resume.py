"""`resume=`: whether a run was there before, and the step its next session begins at.

What the service has stored, and what the run's journals on this machine hold and may not have sent, count alike: a run
that crashed before it could deliver goes on behind its last `log()`.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stepwell.delivery.orphans import find_orphans, last_step
from stepwell.errors import ApiError, ResumeError, RunNotFoundError, SettingsError
from stepwell.terminal import say
from stepwell_schemas.errors import IdentifierError
from stepwell_schemas.rules.identifiers import RunPath

if TYPE_CHECKING:
    from stepwell.settings import ProducerSettings

AUTO_FILE: Final = "resume-auto"
_ASK_TIMEOUT_SECONDS: Final = 10.0
_RESTART_SECONDS: Final = 3.0
_RETRY_SECONDS: Final = 0.5
_RULES: Final = {"allow": "allow", "must": "must", "never": "never", "auto": "auto", True: "auto", False: "", None: ""}


class Beginning(NamedTuple):
    """Where a session begins: its first step, and whether the run was there before."""

    first_step: int = 0
    resumed: bool = False


def resume_rule(resume: Any) -> str:
    """Return what `resume=` means: allow, must, never, auto, or "" for none. Raises: SettingsError."""
    try:
        return _RULES[resume]
    except (KeyError, TypeError):
        raise SettingsError(f"resume {resume!r}: must be allow, must, never or auto") from None


def auto_id(folder: Path, entity: str, project: str) -> str:
    """Return the id of the run of this project that did not finish here, "" when there is none."""
    try:
        path = RunPath.parse((folder / AUTO_FILE).read_text("utf-8"))
    except (OSError, IdentifierError, UnicodeDecodeError):
        return ""
    return path.run_id if (path.entity, path.project) == (entity, project) else ""


def begin(path: RunPath, rule: str, settings: ProducerSettings, mode: str) -> Beginning:
    """Decide where a session begins; asks the service and the journals only for a resume. Raises: ResumeError."""
    if not rule or mode == "disabled":
        return Beginning()
    orphans = find_orphans(settings.dir.absolute() / "journals", path)
    try:
        stored = _stored_step_soon(path, settings, mode)
    except ApiError as error:
        if rule == "must" and mode == "online" and not orphans:
            raise ResumeError(f"resume='must', but {error}") from error
        if not orphans and rule != "never":
            say(f"{path}: {error}; the last step is not known here, steps are given when the run is delivered")
            return Beginning(resumed=True)
        stored = None
    if stored is None and not orphans:
        if rule == "must":
            raise ResumeError(f"resume='must', but there is no run {path}")
        return Beginning()
    if rule == "never":
        raise ResumeError(f"resume='never', but the run {path} exists")
    return Beginning(max(-1 if stored is None else stored, last_step(orphans)) + 1, resumed=True)


def _stored_step_soon(path: RunPath, settings: ProducerSettings, mode: str) -> int | None:
    """Return the stored step; a service that is just starting again is asked until it answers, for some seconds."""
    deadline = time.monotonic() + (_RESTART_SECONDS if mode == "online" else 0.0)
    while True:
        try:
            return _stored_step(path, settings)
        except ApiError:
            if time.monotonic() > deadline:
                raise
        time.sleep(_RETRY_SECONDS)


def _stored_step(path: RunPath, settings: ProducerSettings) -> int | None:
    """Return the last step that the service knows of the run, -1 for none; None for no run. Raises: ApiError."""
    from stepwell.api.client import Api

    api = Api(settings.base_url, timeout=_ASK_TIMEOUT_SECONDS, api_key=settings.api_key.get_secret_value())
    try:
        return api.run(path).lastHistoryStep
    except RunNotFoundError:
        return None
