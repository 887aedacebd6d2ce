"""Starting a run: from the arguments of `init()` and the settings to a `Run`, and which run is the current one."""

from __future__ import annotations

import atexit
import os
import secrets
import socket
import string
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from stepwell.configuration import as_mapping
from stepwell.descriptions import described_mapping, tags_of, text_of
from stepwell.errors import ResumeError, SettingsError
from stepwell.journal import Journal, JournalInfo
from stepwell.scratch import ScratchJournal
from stepwell.session import FINISH_TIMEOUT_SECONDS, Run
from stepwell.terminal import say
from stepwell_schemas.errors import IdentifierError
from stepwell_schemas.identifiers import RunPath

if TYPE_CHECKING:
    from stepwell.settings import ProducerSettings

VERSION: Final = "0.1.0"
Mode = Literal["online", "offline", "disabled"]

_ID_ALPHABET: Final = string.ascii_lowercase + string.digits
_ID_CHARS: Final = 8
_SESSION_BYTES: Final = 8
_AUTO_FILE: Final = "resume-auto"
_RESUME: Final = {"allow": "allow", "must": "must", "never": "never", "auto": "auto", True: "auto", False: "", None: ""}
_KEEP_REINIT: Final = {"return_previous", False}


class Plan(NamedTuple):
    """What a session of a run is to be."""

    path: RunPath
    writer: str
    name: str
    notes: str
    tags: tuple[str, ...]
    group: str
    job_type: str
    config: dict[str, Any]
    mode: Mode
    base_url: str
    quiet: bool
    keep_journal: bool
    first_step: int = 0
    resumed: bool = False
    client: str = f"stepwell-python/{VERSION}"
    host: str = ""
    auto_file: Path | None = None


class _Current:
    """The process's runs: the one that module-level functions mean, and all that are not finished."""

    run: Run | None = None
    live: Final[list[Run]] = []


def current_run() -> Run | None:
    """Return the run that `stepwell.log` writes to; None before `init()` and after `finish()`."""
    run = _Current.run
    return None if run is None or run.finished else run


def start_run(arguments: Mapping[str, Any], settings: ProducerSettings, reinit: Any, resume: Any) -> Run:
    """Start a run, and make it the current one. Raises: IdentifierError, ResumeError, JournalError, SettingsError."""
    # Imported here, since asyncio would be a third of what `import stepwell` costs.
    from stepwell.sender import NoDelivery, Sender

    earlier = current_run()
    if earlier is not None and reinit in _KEEP_REINIT and reinit is not None:
        return earlier
    plan = make_plan(arguments, settings, resume)
    if earlier is not None and reinit != "create_new":
        earlier.finish()
    info = JournalInfo(*plan.path, secrets.token_hex(_SESSION_BYTES), plan.writer)
    if plan.mode == "disabled":
        run = Run(plan, ScratchJournal(info), NoDelivery())
    else:
        file = settings.dir.absolute() / "journals" / f"{journal_name(plan.path.run_id)}-{info.session}.journal"
        journal = Journal(file, info, settings.journal_max_bytes, settings.journal_when_full)
        if plan.mode == "online":
            sender = Sender(journal, settings)
            run = Run(plan, journal, sender)
            sender.start()
        else:
            run = Run(plan, journal, NoDelivery())
        if plan.auto_file:
            plan.auto_file.write_text(str(plan.path), "utf-8")
    _Current.run = run
    _Current.live.append(run)
    _Current.live[:] = [live for live in _Current.live if not live.finished]
    return run


def journal_name(run_id: str) -> str:
    """Return a run id as a part of a file name: short, and without what file systems or shells trip over."""
    safe = "".join(char if char.isascii() and (char.isalnum() or char in "._-") else "_" for char in run_id)
    return safe[:64]


def make_plan(arguments: Mapping[str, Any], settings: ProducerSettings, resume: Any) -> Plan:
    """Decide what the session is to be; asks the service only for a resume."""
    try:
        resume_rule = _RESUME[resume]
    except (KeyError, TypeError):
        raise SettingsError(f"resume {resume!r}: must be allow, must, never or auto") from None
    mode = arguments.get("mode") or settings.mode
    if mode == "shared":
        mode = "online"
    if mode not in {"online", "offline", "disabled"}:
        raise SettingsError(f"mode {mode!r}: must be online, offline or disabled")
    entity = _or(arguments.get("entity"), settings.entity)
    project = _or(arguments.get("project"), settings.project)
    run_id = _or(arguments.get("id"), settings.run_id)
    if not run_id and resume_rule == "auto":
        run_id = _auto_id(settings.dir, entity, project)
    path = RunPath.checked(entity, project, run_id or new_id())
    first_step, resumed = (0, False) if mode == "disabled" else _resume(path, resume_rule, settings, mode)
    return Plan(
        path=path,
        writer=text_of("writer", _or(arguments.get("writer"), settings.writer)),
        name=text_of("name", arguments.get("name")) or path.run_id,
        notes=text_of("notes", arguments.get("notes")),
        tags=tags_of(arguments.get("tags")),
        group=text_of("group", arguments.get("group")),
        job_type=text_of("job_type", arguments.get("job_type")),
        config=described_mapping(as_mapping(arguments.get("config"))),
        mode=mode,
        base_url=settings.base_url.rstrip("/"),
        quiet=settings.quiet or mode == "disabled",
        keep_journal=settings.keep_journal or mode != "online",
        first_step=first_step,
        resumed=resumed,
        host=socket.gethostname(),
        auto_file=settings.dir / _AUTO_FILE if resume_rule == "auto" else None,
    )


def _or(given: Any, default: str) -> Any:
    return default if given is None else given


def new_id() -> str:
    """Return a fresh run id: 8 of a–z and 0–9."""
    return "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_CHARS))


def _resume(path: RunPath, rule: str, settings: ProducerSettings, mode: str) -> tuple[int, bool]:
    """Return the first step, and whether the run was there before. Raises: ResumeError."""
    if not rule:
        return 0, False
    from stepwell.api import Api
    from stepwell.errors import ApiError, RunNotFoundError

    try:
        last_step = Api(settings.base_url).run(path).lastHistoryStep
    except RunNotFoundError:
        if rule == "must":
            raise ResumeError(f"resume='must', but there is no run {path}") from None
        return 0, False
    except ApiError as error:
        if rule == "must" and mode == "online":
            raise ResumeError(f"resume='must', but {error}") from error
        say(f"{path}: {error}; the last step is not known here, steps are given when the run is delivered")
        return 0, rule != "never"
    if rule == "never":
        raise ResumeError(f"resume='never', but the run {path} exists")
    return last_step + 1, True


def _auto_id(folder: Path, entity: str, project: str) -> str:
    """Return the id of the run of this project that did not finish here, "" when there is none."""
    try:
        path = RunPath.parse((folder / _AUTO_FILE).read_text("utf-8"))
    except (OSError, IdentifierError, UnicodeDecodeError):
        return ""
    return path.run_id if (path.entity, path.project) == (entity, project) else ""


def _finish_all() -> None:
    """At the interpreter's end: finish what is open, within a bounded time."""
    for run in list(_Current.live):
        run.finish(timeout=FINISH_TIMEOUT_SECONDS)


def _abandon_in_child() -> None:
    for run in _Current.live:
        run.abandon_in_child()
    _Current.live.clear()


atexit.register(_finish_all)
os.register_at_fork(after_in_child=_abandon_in_child)
