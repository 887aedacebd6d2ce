"""`resume=`: check whether the run exists, and find where its next session starts: its first step, and what is known.

Both the service and the run's journals on this machine count, since journals may hold undelivered records: a run that
crashed before delivery continues after its last `log()`, with its config and summary.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stepwell.delivery.order import JournalEntry
from stepwell.delivery.orphans import FORK_MARK, find_orphans, last_logged_step
from stepwell.errors import ApiError, ResumeError, SettingsError
from stepwell.session.known_run import KnownRun
from stepwell.session.open import open_folders
from stepwell.session.stored_run import fetch_document, fetch_last_step_of, last_step, read_known_run
from stepwell.terminal import notify
from stepwell_schemas.errors import IdentifierError
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.streams import DEFAULT, parse_stream

if TYPE_CHECKING:
    from stepwell.settings import ProducerSettings

AUTO_FILE: Final = "resume-auto"
_RULES: Final = {"allow": "allow", "must": "must", "never": "never", "auto": "auto", True: "auto", False: "", None: ""}


class Lineage(NamedTuple):
    """A line of sessions that count their steps on from one another, each from the journal of the one before.

    Attributes:
        session: the session with which the line began, "" for the new one.
        step: the first step of that session, as it knew it.
    """

    session: str = ""
    step: int = 0


class StartPoint(NamedTuple):
    """The start of a session: its first step, whether the run existed before, and the line that it continues.

    Attributes:
        known: what is known of the run that it resumes.
    """

    first_step: int = 0
    resumed: bool = False
    lineage: Lineage = Lineage()
    known: KnownRun = KnownRun()


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


def find_start_point(
    path: RunPath, writer: str, rule: str, settings: ProducerSettings, mode: str, *, rank: bool = False
) -> StartPoint:
    """Return the start of a session; asks the service only to resume a run. Raises: ResumeError.

    Args:
        rank: the session is a rank of a launch. It continues after its own last step, of its journals on this machine
            or as the service knows it; without any, after the run's last step, as every other session does.
    """
    if mode == "disabled":
        return StartPoint()
    if not rule:
        return _after_own_journals(path, writer, settings)
    folders = open_folders(settings)
    orphans = find_orphans(folders, path)
    document = None
    try:
        document = fetch_document(path, settings, patient=mode == "online")
    except ApiError as error:
        if rule == "must" and mode == "online" and not orphans:
            raise ResumeError(f"resume='must', but {error}") from error
        if not orphans and rule != "never":
            notify(
                f"{path}: {error}; the last step is unknown, so the ingestor assigns steps on delivery; config, summary"
                " and tags of the run stay as they are stored, and are not known to this process"
            )
            return StartPoint(resumed=True)
        if rule != "never" and mode == "online":
            notify(f"{path}: {error}; step, config and summary are those of the journals on this machine")
    if document is None and not orphans:
        if rule == "must":
            raise ResumeError(f"resume='must', but the run {path} does not exist")
        return StartPoint()
    if rule == "never":
        raise ResumeError(f"resume='never', but the run {path} exists")
    known = read_known_run(path, document, orphans, settings)
    last = last_step(document)
    if rank:
        own = -1 if document is None else fetch_last_step_of(path, writer, settings)
        first_step = _start_of_rank(writer, orphans, folders.find_run(path), last, own)
        # A line of its own: the rank may have gone further than the service knows yet, which the ingestor will.
        return StartPoint(first_step, first_step > 0, Lineage(step=first_step), known)
    logged = last_logged_step(orphans)
    if logged < last:
        return StartPoint(last + 1, True, Lineage(step=last + 1), known)
    return StartPoint(logged + 1, True, _continue_line(orphans, logged + 1), known)


def _start_of_rank(
    writer: str, orphans: list[JournalEntry], entries: list[JournalEntry], last: int, last_own: int
) -> int:
    """Return the first step of a rank that resumes its run; the last stored steps are `last`, and its own `last_own`.

    It is the step after its own stored steps and its own journals. A rank without any starts where the ranks on this
    machine did that run already: since then, they may have logged further steps. Without these, it starts after the
    run's last step.
    """
    own = [orphan for orphan in orphans if orphan.info.writer == writer]
    if own or last_own >= 0:
        return max(last_logged_step(own), last_own) + 1
    live = [entry.info for entry in entries if entry not in orphans and parse_stream(entry.info.writer) == DEFAULT]
    started = [info.first_step for info in live if info.writer and FORK_MARK not in info.writer]
    return min(started, default=max(last, last_logged_step(orphans)) + 1)


def _after_own_journals(path: RunPath, writer: str, settings: ProducerSettings) -> StartPoint:
    """Return the start of a session that does not resume its run: after this writer's journals, if there are any.

    They are delivered before it, and its rows must not replace theirs.
    """
    orphans = [orphan for orphan in find_orphans(open_folders(settings), path) if orphan.info.writer == writer]
    first_step = last_logged_step(orphans) + 1
    return StartPoint(first_step, lineage=_continue_line(orphans, first_step))


def _continue_line(orphans: Iterable[JournalEntry], first_step: int) -> Lineage:
    """Return the line of the journal that started last, by its steps; a new one if there is none."""
    known = [orphan.info for orphan in orphans if orphan.info.lineage]
    newest = max(known, key=lambda info: info.first_step, default=None)
    return Lineage(step=first_step) if newest is None else Lineage(newest.lineage, newest.lineage_step)
