"""Opening what a session writes to: its journal, in the first place that takes one, and who delivers it."""

from __future__ import annotations

import secrets
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from stepwell.delivery.orphans import Orphans, journal_name
from stepwell.errors import JournalError
from stepwell.journal.format import JournalInfo
from stepwell.journal.journal import Journal, MemoryJournal
from stepwell.journal.null_journal import ScratchJournal
from stepwell.session.spec import Plan
from stepwell.terminal import say
from stepwell_schemas.limits import MIB
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.streams import stream_writer

if TYPE_CHECKING:
    from stepwell.delivery.sender import Delivery
    from stepwell.settings import ProducerSettings

_SESSION_BYTES: Final = 8
_MEMORY_MAX_BYTES: Final = 256 * MIB
STREAM_MAX_BYTES: Final = 256 * MIB
"""Bytes that a stream's journal may hold that were not delivered yet; beyond it, its rows are dropped."""

_REMEDY: Final = "set STEPWELL_DIR to a folder that can be written"


class Opened(NamedTuple):
    """A session's journal, and who delivers it."""

    journal: Journal
    delivery: Delivery


def open_session(plan: Plan, settings: ProducerSettings) -> Opened:
    """Open a session; `delivery` is not started yet. Raises: JournalError, offline where nothing can be written."""
    # Imported here, since asyncio would be a third of what `import stepwell` costs.
    from stepwell.delivery.sender import NoDelivery, Sender

    info = JournalInfo(
        *plan.path,
        secrets.token_hex(_SESSION_BYTES),
        plan.writer,
        started=time.time_ns() // 1000,
        first_step=plan.first_step,
        keep=plan.keep_journal,
    )
    if plan.mode == "disabled":
        return Opened(ScratchJournal(info), NoDelivery())
    folder = settings.dir.absolute() / "journals"
    journal = _open_journal(folder, info, settings, memory=plan.mode == "online")
    if plan.mode == "offline":
        return Opened(journal, NoDelivery())
    orphans = None if plan.forked else Orphans(folder, plan.path, plan.writer)
    return Opened(journal, Sender(journal, settings, orphans))


def open_stream(plan: Plan, main: Journal, stream: str) -> Journal:
    """Open the journal of a stream beside a session's rows, in the folder of its journal. Raises: JournalError."""
    session = secrets.token_hex(_SESSION_BYTES)
    info = JournalInfo(
        *plan.path,
        session,
        stream_writer(plan.writer, stream),
        started=time.time_ns() // 1000,
        keep=plan.keep_journal,
    )
    path = main.path.with_name(f"{journal_name(info.run_id)}-{session}.journal")
    return Journal(path, info, STREAM_MAX_BYTES, "drop")


def files_folder(folder: Path | None, run: RunPath) -> Path:
    """Return a new or known folder for a run's own files: below `folder`, else (or for None) a temporary one."""
    if folder is not None:
        path = folder.absolute().joinpath("files", *(journal_name(part) for part in run))
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            say(f"{run}: can't make the folder {path}: {error.strerror}; run.dir is a temporary one")
        else:
            return path
    return Path(tempfile.mkdtemp(prefix="stepwell-"))


def _open_journal(folder: Path, info: JournalInfo, settings: ProducerSettings, *, memory: bool) -> Journal:
    """Create the journal: in its folder, else in a temporary one, else in memory. Raises: JournalError."""
    name = f"{journal_name(info.run_id)}-{info.session}.journal"
    bound, policy = settings.journal_max_bytes, settings.journal_when_full
    try:
        return Journal(folder / name, info, bound, policy)
    except JournalError as error:
        first = error
    try:
        journal = Journal(Path(tempfile.mkdtemp(prefix="stepwell-")) / name, info, bound, policy)
    except (OSError, JournalError):
        if not memory:
            raise JournalError(f"{first}; {_REMEDY}") from first
    else:
        say(f"{info.run_id}: {first}; it is {journal.path} instead; {_REMEDY}")
        return journal
    say(
        f"{info.run_id}: {first}; it is kept in memory instead, and what is not delivered when this process ends is "
        f"lost; {_REMEDY}"
    )
    return MemoryJournal(folder / name, info, min(bound, _MEMORY_MAX_BYTES), policy)
