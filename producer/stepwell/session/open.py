"""Opening of a session: its journal, in the first writable place, and its delivery."""

from __future__ import annotations

import secrets
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from stepwell.delivery.journal_folders import (
    TEMPORARY_PREFIX,
    JournalFolders,
    count_records,
    journal_name,
    read_position,
    safe_file_name,
)
from stepwell.delivery.order import JournalEntry, find_succession
from stepwell.delivery.orphans import Orphans
from stepwell.delivery.other_runs import OtherRuns, find_waiting
from stepwell.delivery.protocol import Delivery, NoDelivery
from stepwell.errors import JournalError
from stepwell.journal import locks
from stepwell.journal.format import JournalInfo
from stepwell.journal.journal import Journal, MemoryJournal
from stepwell.journal.null_journal import NullJournal
from stepwell.journal.permissions import create_folder
from stepwell.session.notebook import in_notebook
from stepwell.session.spec import RunSpec
from stepwell.session.surroundings import absolute_folder, reserve_standard_files
from stepwell.terminal import notify
from stepwell_schemas.limits import EARLIEST_TIMESTAMP, LATEST_TIMESTAMP, MIB
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.streams import stream_writer

if TYPE_CHECKING:
    from stepwell.settings import ProducerSettings

_SESSION_BYTES: Final = 8
_MEMORY_MAX_BYTES: Final = 256 * MIB
STREAM_MAX_BYTES: Final = 256 * MIB
"""Upper bound of undelivered data in a side stream's journal; beyond it, rows are dropped."""

_REMEDY: Final = "set STEPWELL_DIR to a writable folder"


class SessionOutput(NamedTuple):
    """The journal of a session, and its delivery."""

    journal: Journal
    delivery: Delivery


def open_session(spec: RunSpec, settings: ProducerSettings) -> SessionOutput:
    """Open a session without starting its delivery. Raises: JournalError if the writer's name is too long."""
    # Imported here: asyncio would take a third of the time of `import stepwell`.
    from stepwell.delivery.sender import Sender

    session = secrets.token_hex(_SESSION_BYTES)
    started = time.time_ns() // 1000
    if not EARLIEST_TIMESTAMP <= started <= LATEST_TIMESTAMP:
        notify(
            f"{spec.path}: this machine's clock is before 1970 or after 2255; rows get the time at which Kafka got them"
        )
    info = JournalInfo(
        *spec.path,
        session,
        spec.writer,
        started=started,
        first_step=spec.first_step,
        keep=spec.keep_journal,
        lineage=spec.lineage or session,
        lineage_step=spec.lineage_step,
        destination=settings.destination,
        offline=spec.mode == "offline",
    )
    if spec.mode == "disabled":
        return SessionOutput(NullJournal(info), NoDelivery())
    reserve_standard_files()
    folders = open_folders(settings)
    journal = _open_journal(folders.folder, _with_place(info, folders, forked=spec.forked), settings)
    others = None if spec.forked else _report_other_runs(spec, folders, settings)
    if spec.mode == "offline":
        return SessionOutput(journal, NoDelivery())
    wait = settings.orphan_wait_seconds
    # A child takes care of its own writer only, which an earlier process of the same id may have had.
    orphans = Orphans(folders, spec.path, spec.writer, wait, only_own=spec.forked)
    # A notebook shows a link to the page in the cell of `init()`.
    silent = spec.quiet or spec.forked or not spec.primary or in_notebook()
    page = "" if silent else f"{spec.path}: see {spec.url}"
    return SessionOutput(journal, Sender(journal, settings, orphans, others, page))


def open_folders(settings: ProducerSettings) -> JournalFolders:
    """Return the folders of journals under these settings."""
    return JournalFolders(absolute_folder(settings.dir) / "journals", settings.destination)


def _with_place(info: JournalInfo, folders: JournalFolders, *, forked: bool) -> JournalInfo:
    """Return `info` with the session's generation and predecessor, which rest on the journals in sight.

    A forked child starts no run, so that its predecessor would not be recorded.
    """
    run = RunPath(info.entity, info.project, info.run_id)
    generation, before = find_succession(folders.find_run(run), info.writer)
    if before is None or forked:
        return info._replace(generation=generation)
    return info._replace(
        generation=generation, predecessor=before.info.session, predecessor_sequence=_known_records(before)
    )


def _known_records(entry: JournalEntry) -> int:
    """Return the number of a journal's records; of a live session's, the number that are delivered."""
    return count_records(entry.path) if locks.is_orphaned(entry.path) else read_position(entry.path).sequence


def _report_other_runs(spec: RunSpec, folders: JournalFolders, settings: ProducerSettings) -> OtherRuns | None:
    """Notify of journals of other runs that wait for delivery; return their delivery if the settings allow it."""
    waiting = find_waiting(folders.find_others(spec.path))
    if waiting.journals and not spec.quiet:
        notify(f"{waiting}: stepwell sync")
    if not settings.deliver_other_runs or not waiting.entries:
        return None
    return OtherRuns(waiting.entries, settings.destination, quiet=spec.quiet)


def open_stream(spec: RunSpec, main: Journal, stream: str) -> Journal:
    """Open the journal of a side stream, in the folder of the session's journal. Raises: JournalError."""
    session = secrets.token_hex(_SESSION_BYTES)
    info = main.info._replace(
        session=session,
        writer=stream_writer(spec.writer, stream),
        started=time.time_ns() // 1000,
        first_step=0,
        lineage="",
        lineage_step=0,
        predecessor="",
        predecessor_sequence=0,
    )
    path = main.path.with_name(journal_name(info.run_id, session))
    return Journal(path, info, STREAM_MAX_BYTES, "drop")


def make_files_folder(folder: Path | None, run: RunPath) -> Path:
    """Return the folder for a run's own files: below `folder`, or a temporary one; created if that is possible."""
    if folder is not None:
        path = absolute_folder(folder).joinpath("files", *(safe_file_name(part) for part in run))
        try:
            create_folder(path, exist_ok=True)
        except OSError as error:
            notify(f"{run}: can't create the folder {path}: {error.strerror}; run.dir is a temporary folder")
        else:
            return path
    try:
        return Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX))
    except OSError as error:
        notify(f"{run}: can't create a temporary folder: {error.strerror}; run.dir does not exist")
        return absolute_folder(folder or Path("files"))


def _open_journal(folder: Path, info: JournalInfo, settings: ProducerSettings) -> Journal:
    """Create the journal: in its folder, otherwise in a temporary one, otherwise in memory.

    Raises: JournalError if the writer's name is too long.
    """
    name = journal_name(info.run_id, info.session)
    bound, policy = settings.journal_max_bytes, settings.journal_when_full
    try:
        return Journal(folder / name, info, bound, policy)
    except JournalError as error:
        first = error
    try:
        journal = Journal(Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX)) / name, info, bound, policy)
    except (OSError, JournalError):
        pass
    else:
        notify(f"{info.run_id}: {first}; using {journal.path} instead; {_REMEDY}")
        return journal
    notify(
        f"{info.run_id}: {first}; the journal is kept in memory, and data that are not delivered when this process"
        f" ends are lost{', which are all data of an offline run' if info.offline else ''}; {_REMEDY}"
    )
    return MemoryJournal(folder / name, info, min(bound, _MEMORY_MAX_BYTES), policy)
