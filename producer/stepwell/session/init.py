"""Start of a run: build a `Run` from the arguments of `init()` and the settings."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import string
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stepwell.as_wandb import stands_in
from stepwell.errors import SettingsError
from stepwell.session.config import as_mapping
from stepwell.session.exits import watch_exits
from stepwell.session.joining import choose_run, claim_writer
from stepwell.session.launcher import read_launch
from stepwell.session.live_runs import current_run, drain_all, finish_with_worker, make_current
from stepwell.session.node_claims import NodeClaims
from stepwell.session.open import SessionOutput, open_session
from stepwell.session.resume import AUTO_FILE, StartPoint, find_start_point, parse_resume, read_auto_id
from stepwell.session.run import Run
from stepwell.session.sigterm import drain_on_sigterm
from stepwell.session.spec import RunSpec
from stepwell.system.source_code import SourceCode, read_source_code
from stepwell.terminal import notify
from stepwell.values.metadata import MetadataReporter, metadata_mapping, parse_tags, parse_text
from stepwell.wandb_compat import check_environment
from stepwell.wandb_variables import READ
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.streams import DEFAULT, parse_stream

if TYPE_CHECKING:
    from stepwell.settings import ProducerSettings

_ID_ALPHABET: Final = string.ascii_lowercase + string.digits
_ID_CHARS: Final = 8
_KEEP_REINIT: Final = {"return_previous", False}
_REINIT: Final = (None, True, "default", "finish_previous", "create_new", *_KEEP_REINIT)


def start_run(arguments: Mapping[str, Any], settings: ProducerSettings, reinit: Any, resume: Any) -> Run:
    """Start a run, and make it the current one. Raises: IdentifierError, ResumeError, JournalError, SettingsError."""
    if reinit not in _REINIT:
        raise SettingsError(
            f"reinit {reinit!r}: must be finish_previous, return_previous, create_new, default, True or False"
        )
    earlier = current_run()
    if earlier is not None and reinit in _KEEP_REINIT and reinit is not None:
        return earlier
    spec = build_spec(arguments, settings, resume)
    if spec.mode != "disabled":
        check_environment(os.environ, READ if stands_in() else frozenset())
    if earlier is not None and reinit != "create_new":
        earlier.finish()
    claims = None
    if spec.mode != "disabled":
        claims = NodeClaims(spec.path, settings.destination)
        spec = claim_writer(spec, claims, settings, parse_resume(resume))
    try:
        run = Run(spec, settings, lambda requested: _open(requested, settings), claims)
    except BaseException:
        if claims is not None:
            claims.release()
        raise
    if spec.auto_file:
        with contextlib.suppress(OSError):
            spec.auto_file.write_text(str(spec.path), "utf-8")
    make_current(run)
    if spec.mode != "disabled":
        watch_exits()
        drain_on_sigterm(drain_all, settings.sigterm_drain_seconds)
    return run


def _open(spec: RunSpec, settings: ProducerSettings) -> SessionOutput:
    if spec.forked:
        finish_with_worker()
    return open_session(spec, settings)


def build_spec(arguments: Mapping[str, Any], settings: ProducerSettings, resume: Any) -> RunSpec:
    """Build the specification of a session; requests the service only to resume a run."""
    rule = parse_resume(resume)
    mode = arguments.get("mode") or settings.mode
    if mode == "shared":
        mode = "online"
    if mode not in {"online", "offline", "disabled"}:
        raise SettingsError(f"mode {mode!r}: must be online, offline or disabled")
    entity = _default_to(arguments.get("entity"), settings.entity)
    project = _default_to(arguments.get("project"), settings.project)
    launch = read_launch()
    code = SourceCode() if mode == "disabled" else read_source_code(settings.git)
    given = _default_to(arguments.get("id"), settings.run_id)
    if not given and rule == "auto":
        given = read_auto_id(settings.dir, entity, project)
    run_id, rule, primary = choose_run(given, rule, launch, (str(entity), str(project), Path(code.program).name))
    path = RunPath.checked(entity, project, run_id or new_id())
    writer = _writer(_default_to(arguments.get("writer"), settings.writer) or launch.writer)
    if launch.rank == 0 and launch.parallel and not run_id and mode != "disabled":
        notify(
            f"{path}: the launcher of {launch.world_size} ranks gives no id that all of them have, so each rank is a"
            " run of its own; set STEPWELL_RUN_ID or init(id=…) to the same id in all ranks"
        )
    # A new id has no journals: reading the folder would take longer the more other runs it holds.
    start = StartPoint()
    if run_id:
        start = find_start_point(path, writer, rule, settings, mode, rank=launch.parallel)
    return RunSpec(
        path=path,
        writer=writer,
        name=parse_text("name", arguments.get("name")),
        notes=parse_text("notes", arguments.get("notes")),
        tags=parse_tags(arguments.get("tags")),
        group=parse_text("group", arguments.get("group")),
        job_type=parse_text("job_type", arguments.get("job_type")),
        config=metadata_mapping(
            as_mapping(arguments.get("config")), MetadataReporter(path.run_id, quiet=mode == "disabled")
        ),
        mode=mode,
        base_url=settings.base_url.rstrip("/"),
        quiet=settings.quiet or mode == "disabled",
        keep_journal=settings.keep_journal,
        first_step=start.first_step,
        resumed=start.resumed,
        host=socket.gethostname(),
        auto_file=settings.dir / AUTO_FILE if rule == "auto" and primary else None,
        lineage=start.lineage.session,
        lineage_step=start.lineage.step,
        code=code,
        launch=launch,
        primary=primary,
        known=start.known,
    )


def _writer(given: Any) -> str:
    writer = parse_text("writer", given)
    if parse_stream(writer) != DEFAULT:
        raise SettingsError(f"writer {writer!r}: names that end in //system or //console are reserved")
    return writer


def _default_to(given: Any, default: str) -> Any:
    return default if given is None else given


def new_id() -> str:
    """Return a new run id: 8 random characters of a–z and 0–9."""
    return "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_CHARS))
