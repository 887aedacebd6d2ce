"""`resume=`: check whether the run exists, and find the first step of its next session.

Both the service and the run's journals on this machine count, since journals may hold undelivered rows: a run that
crashed before delivery continues after its last `log()`.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stepwell.delivery.orphans import find_orphans, last_logged_step
from stepwell.errors import ApiError, ResumeError, RunNotFoundError, SettingsError
from stepwell.session.open import open_folders
from stepwell.terminal import notify
from stepwell_schemas.errors import IdentifierError
from stepwell_schemas.rules.identifiers import RunPath

if TYPE_CHECKING:
    from stepwell.settings import ProducerSettings

AUTO_FILE: Final = "resume-auto"
_ASK_TIMEOUT_SECONDS: Final = 10.0
_RESTART_SECONDS: Final = 3.0
_RETRY_SECONDS: Final = 0.5
_RULES: Final = {"allow": "allow", "must": "must", "never": "never", "auto": "auto", True: "auto", False: "", None: ""}


class StartPoint(NamedTuple):
    """The start of a session: its first step, and whether the run existed before."""

    first_step: int = 0
    resumed: bool = False


def parse_resume(resume: Any) -> str:
    """Return the resume rule: allow, must, never, auto, or "" for none. Raises: SettingsError."""
    try:
        return _RULES[resume]
    except (KeyError, TypeError):
        raise SettingsError(f"resume {resume!r}: must be allow, must, never or auto") from None


def read_auto_id(folder: Path, entity: str, project: str) -> str:
    """Return the id of this project's run that did not finish on this machine, "" if there is none."""
    try:
        path = RunPath.parse((folder / AUTO_FILE).read_text("utf-8"))
    except (OSError, IdentifierError, UnicodeDecodeError):
        return ""
    return path.run_id if (path.entity, path.project) == (entity, project) else ""


def find_start_point(path: RunPath, rule: str, settings: ProducerSettings, mode: str) -> StartPoint:
    """Return the start of a session; reads the service and journals only to resume a run. Raises: ResumeError."""
    if not rule or mode == "disabled":
        return StartPoint()
    orphans = find_orphans(open_folders(settings), path)
    try:
        stored = _fetch_last_step_with_retries(path, settings, mode)
    except ApiError as error:
        if rule == "must" and mode == "online" and not orphans:
            raise ResumeError(f"resume='must', but {error}") from error
        if not orphans and rule != "never":
            notify(f"{path}: {error}; the last step is unknown, so the ingestor assigns steps on delivery")
            return StartPoint(resumed=True)
        stored = None
    if stored is None and not orphans:
        if rule == "must":
            raise ResumeError(f"resume='must', but the run {path} does not exist")
        return StartPoint()
    if rule == "never":
        raise ResumeError(f"resume='never', but the run {path} exists")
    return StartPoint(max(-1 if stored is None else stored, last_logged_step(orphans)) + 1, resumed=True)


def _fetch_last_step_with_retries(path: RunPath, settings: ProducerSettings, mode: str) -> int | None:
    """Return the last stored step; retry for some seconds, in case the service is restarting."""
    deadline = time.monotonic() + (_RESTART_SECONDS if mode == "online" else 0.0)
    while True:
        try:
            return _fetch_last_step(path, settings)
        except ApiError:
            if time.monotonic() > deadline:
                raise
        time.sleep(_RETRY_SECONDS)


def _fetch_last_step(path: RunPath, settings: ProducerSettings) -> int | None:
    """Return the run's last step in the service, -1 for none; None if the run does not exist. Raises: ApiError."""
    from stepwell.api.client import Api

    api = Api(settings.base_url, timeout=_ASK_TIMEOUT_SECONDS, api_key=settings.api_key.get_secret_value())
    try:
        return api.run(path).lastHistoryStep
    except RunNotFoundError:
        return None
