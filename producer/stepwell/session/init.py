"""Starting a run: from the arguments of `init()` and the settings to a `Run`."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import string
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from stepwell.errors import SettingsError
from stepwell.session.config import as_mapping
from stepwell.session.live_runs import current_run, finish_with_worker, make_current
from stepwell.session.open import Opened, open_session
from stepwell.session.resume import AUTO_FILE, auto_id, begin, resume_rule
from stepwell.session.run import Run
from stepwell.session.spec import Plan
from stepwell.terminal import say
from stepwell.values.metadata import described_mapping, tags_of, text_of
from stepwell.wandb_compat import check_environment
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.streams import DEFAULT, stream_of

if TYPE_CHECKING:
    from stepwell.settings import ProducerSettings

_ID_ALPHABET: Final = string.ascii_lowercase + string.digits
_ID_CHARS: Final = 8
_KEEP_REINIT: Final = {"return_previous", False}


def start_run(arguments: Mapping[str, Any], settings: ProducerSettings, reinit: Any, resume: Any) -> Run:
    """Start a run, and make it the current one. Raises: IdentifierError, ResumeError, JournalError, SettingsError."""
    earlier = current_run()
    if earlier is not None and reinit in _KEEP_REINIT and reinit is not None:
        return earlier
    plan = make_plan(arguments, settings, resume)
    if plan.mode != "disabled":
        check_environment(os.environ)
    if earlier is not None and reinit != "create_new":
        earlier.finish()
    run = Run(plan, settings, lambda wanted: _open(wanted, settings))
    if plan.auto_file:
        with contextlib.suppress(OSError):
            plan.auto_file.write_text(str(plan.path), "utf-8")
    make_current(run)
    if plan.mode == "online" and not plan.quiet:
        say(f"{plan.path}: its page is {run.url}")
    return run


def _open(plan: Plan, settings: ProducerSettings) -> Opened:
    if plan.forked:
        finish_with_worker()
    return open_session(plan, settings)


def make_plan(arguments: Mapping[str, Any], settings: ProducerSettings, resume: Any) -> Plan:
    """Decide what the session is to be; asks the service only for a resume."""
    rule = resume_rule(resume)
    mode = arguments.get("mode") or settings.mode
    if mode == "shared":
        mode = "online"
    if mode not in {"online", "offline", "disabled"}:
        raise SettingsError(f"mode {mode!r}: must be online, offline or disabled")
    entity = _or(arguments.get("entity"), settings.entity)
    project = _or(arguments.get("project"), settings.project)
    run_id = _or(arguments.get("id"), settings.run_id)
    if not run_id and rule == "auto":
        run_id = auto_id(settings.dir, entity, project)
    path = RunPath.checked(entity, project, run_id or new_id())
    first_step, resumed = begin(path, rule, settings, mode)
    return Plan(
        path=path,
        writer=_writer(_or(arguments.get("writer"), settings.writer)),
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
        auto_file=settings.dir / AUTO_FILE if rule == "auto" else None,
    )


def _writer(given: Any) -> str:
    writer = text_of("writer", given)
    if stream_of(writer) != DEFAULT:
        raise SettingsError(f"writer {writer!r}: names that end in //system or //console are Stepwell's own")
    return writer


def _or(given: Any, default: str) -> Any:
    return default if given is None else given


def new_id() -> str:
    """Return a fresh run id: 8 of a–z and 0–9."""
    return "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_CHARS))
