"""Delivery of journals afterwards: of offline runs, and of data that a run could not send.

Resumable and idempotent (see `stepwell.delivery.journal_file`). Safe for the journal of a live run: a later call sends
its further records. The journals of a run are delivered in the order of their sessions (`stepwell.delivery.order`).
A delivered journal is removed, unless it is to be kept (`stepwell.delivery.delivered_journals`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from stepwell.delivery.connection import Connection
from stepwell.delivery.delivered_journals import DeliveredJournal, remove_stored
from stepwell.delivery.journal_file import JournalFile, Progress, no_progress
from stepwell.delivery.journal_folders import find_temporary_folders, read_info
from stepwell.delivery.order import JournalEntry, sort_key
from stepwell.delivery.sync_result import SyncResult
from stepwell.delivery.transport import Transport, TransportError
from stepwell.errors import JournalError, NotConnectedError
from stepwell.journal import folders, locks
from stepwell.settings import ProducerSettings
from stepwell_schemas.rules.identifiers import RunPath

_REMOVED_MEANWHILE: Final = "its session, or another sync, delivered and removed it meanwhile"


def sync(
    paths: Iterable[Path | str] = (),
    progress: Progress | None = None,
    settings: ProducerSettings | None = None,
    *,
    keep: bool = False,
) -> list[SyncResult]:
    """Deliver the journals at `paths`, or in folders there that are searched for `*.journal`.

    Default: STEPWELL_DIR, and the temporary folders that this user's runs used because theirs was not writable.

    Args:
        keep: whether to keep delivered journals.

    Errors, unreachable servers included, are reported in the results and not raised.
    """
    chosen = settings or ProducerSettings()
    named = [Path(path) for path in paths]
    missing = [SyncResult(path, error=f"{path} does not exist") for path in named if not path.exists()]
    journals, elsewhere = find_journals(path for path in named or [chosen.dir] if path.exists()), []
    if not named:
        temporary = [path for path in find_journals(find_temporary_folders()) if path not in journals]
        elsewhere = [result for path in temporary if (result := _is_elsewhere(path, chosen)) is not None]
        journals += [path for path in temporary if path not in {result.path for result in elsewhere}]
    results = asyncio.run(_sync_all(journals, chosen, progress or no_progress, keep=keep)) if journals else []
    return missing + results + elsewhere


def find_journals(paths: Iterable[Path]) -> list[Path]:
    """Return the distinct journals at `paths`, the oldest session of each run first; other files come last."""
    infos = {path: read_info(path) for path in folders.find_journals(paths)}
    known = [JournalEntry(path, info) for path, info in infos.items() if info is not None]
    ordered = [entry.path for entry in sorted(known, key=lambda entry: (*sort_key(entry.info), str(entry.path)))]
    return ordered + sorted(path for path, info in infos.items() if info is None)


def _is_elsewhere(path: Path, settings: ProducerSettings) -> SyncResult | None:
    """Return the result for a journal in a temporary folder that is not, or not certainly, for this service."""
    try:
        with JournalFile(path) as file:
            if file.info.destination == settings.destination:
                return None
            note = f"it is for {file.info.destination or 'an unknown service'}: to deliver it, stepwell sync {path}"
            return SyncResult(path, _run_name(file), left_bytes=file.left_bytes, writer=file.info.writer, note=note)
    except JournalError:
        return None


def _run_name(file: JournalFile) -> str:
    return f"{file.info.entity}/{file.info.project}/{file.info.run_id}"


class Blocked:
    """Journals that must not be sent, since an earlier one of the same writer was not delivered in full.

    An error that may pass is one of the server, and stops everything; any other stops its writer alone.
    """

    def __init__(self) -> None:
        self._everything = ""
        self._lanes: dict[tuple[str, str], str] = {}

    def add(self, run: str, writer: str, error: str, *, may_pass: bool) -> None:
        """Record that a journal of a writer was not delivered in full."""
        self._lanes.setdefault((run, writer), error)
        if may_pass:
            self._everything = self._everything or error

    def reason(self, run: str, writer: str) -> str:
        """Return the reason why no journal of a writer may be sent, "" if there is none."""
        return self._everything or self._lanes.get((run, writer), "")


async def _sync_all(
    journals: list[Path], settings: ProducerSettings, progress: Progress, *, keep: bool
) -> list[SyncResult]:
    try:
        transport = await Connection(settings, "sync").open()
    except NotConnectedError as error:
        problem = "; ".join(filter(None, (str(error), error.remedy)))
        return [_describe(path, problem) for path in journals]
    results: dict[Path, SyncResult] = {}
    delivered: list[DeliveredJournal] = []
    blocked = Blocked()
    try:
        for path in journals:
            results[path], done = await _sync_one(path, transport, progress, blocked)
            delivered += [] if done is None else [done]
    finally:
        await transport.stop()
    if not keep:
        results |= {done.result.path: done.result for done in await remove_stored(delivered, settings)}
    return list(results.values())


def _describe(path: Path, error: str) -> SyncResult:
    """Return the result for a journal that is not sent."""
    try:
        with JournalFile(path) as file:
            left, sequence = file.left_bytes, file.start.sequence
            return SyncResult(path, _run_name(file), 0, sequence, error, file.info.writer, left_bytes=left)
    except JournalError as unreadable:
        return SyncResult(path, error=f"{unreadable}; {error}")


async def _sync_one(
    path: Path, transport: Transport, progress: Progress, blocked: Blocked
) -> tuple[SyncResult, DeliveredJournal | None]:
    """Return the result for a journal, and the same with what its removal rests on if it was delivered in full."""
    result, done = await _deliver_one(path, transport, progress, blocked)
    if result.error and folders.was_removed(path):
        return SyncResult(path, result.run, writer=result.writer, removed=True, note=_REMOVED_MEANWHILE), None
    return result, done


async def _deliver_one(
    path: Path, transport: Transport, progress: Progress, blocked: Blocked
) -> tuple[SyncResult, DeliveredJournal | None]:
    lock = locks.claim(path, shared=True)
    try:
        with JournalFile(path) as file:
            info, run = file.info, _run_name(file)
            reason = blocked.reason(run, info.writer)
            if reason:
                return _describe(path, f"skipped after: {reason}"), None
            error = ""
            try:
                await file.deliver(transport, progress)
            except (TransportError, NotConnectedError, OSError) as failed:
                error = _explain(failed)
                if not folders.was_removed(path):
                    blocked.add(run, info.writer, error, may_pass=_may_pass(failed))
            # A live session keeps writing: an apparently damaged record at the end is its next one.
            if file.damage is not None and lock is not None:
                error = error or f"the journal {path} is {file.damage}"
            result = _result(file, error or file.rejection, live=lock is None)
            if result.error or lock is None or info.keep:
                return result, None
            path_of_run = RunPath(info.entity, info.project, info.run_id)
            return result, DeliveredJournal(result, path_of_run, info.session, file.reached == file.start)
    except JournalError as error:
        return SyncResult(path, error=str(error)), None
    finally:
        locks.release(lock)


def _may_pass(failed: Exception) -> bool:
    """Return whether an error is one of the server that may pass; an error of the disk is that of one journal."""
    return isinstance(failed, NotConnectedError) or (isinstance(failed, TransportError) and failed.retriable)


def _explain(failed: Exception) -> str:
    """Return an error with its kind, which for a transport is that of its cause, and with its remedy."""
    kind = type(failed.__cause__ or failed).__name__
    remedy = failed.remedy if isinstance(failed, TransportError | NotConnectedError) else ""
    return "; ".join(filter(None, (f"{kind}: {failed}", remedy)))


def _result(file: JournalFile, error: str, *, live: bool) -> SyncResult:
    start, reached = file.start, file.reached
    note = "its session may still write" if live else "kept, as its run asked" if file.info.keep else ""
    return SyncResult(
        file.path,
        _run_name(file),
        reached.sequence - start.sequence,
        reached.sequence,
        error,
        file.info.writer,
        reached.offset - start.offset,
        file.left_bytes,
        note=note,
    )
