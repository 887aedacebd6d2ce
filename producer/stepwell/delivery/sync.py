"""Delivery of journals afterwards: of offline runs, and of data that a run could not send.

Resumable and idempotent (see `stepwell.delivery.journal_file`). Safe for the journal of a live run: a later call sends
its further records. The journals of a run are delivered in the order of their sessions (`stepwell.delivery.order`).

A delivered journal is removed, unless it is to be kept, when the service has stored it: until then, a resumed run finds
its last step in the journal. If no service answers, the next call removes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

from stepwell.delivery.connection import Connection
from stepwell.delivery.ingested import fetch_stored_session
from stepwell.delivery.journal_file import JournalFile, Progress, no_progress
from stepwell.delivery.journal_folders import find_temporary_folders, read_info
from stepwell.delivery.order import JournalEntry, sort_key
from stepwell.delivery.stored_content import DELETED_NOTE, StoredSession, describe_content, is_same
from stepwell.delivery.transport import Transport, TransportError
from stepwell.errors import JournalError, NotConnectedError
from stepwell.journal import folders, locks
from stepwell.settings import ProducerSettings
from stepwell_schemas.rules.identifiers import RunPath

_STORED_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.2
_REMOVED_MEANWHILE: Final = "its session, or another sync, delivered and removed it meanwhile"


class SyncResult(NamedTuple):
    """Result of the delivery of one journal.

    Attributes:
        sent, sent_bytes: records delivered by this call, and their bytes in the journal.
        delivered: records delivered in total.
        error: reason why delivery stopped early, "" if it did not.
        left_bytes: bytes that are not delivered.
        removed: whether the journal was removed; `note` says why not, "" if there is nothing to say.
        content_same: whether the stored rows are those of the journal; None if that is unknown, or not stored yet.
    """

    path: Path
    run: str = ""
    sent: int = 0
    delivered: int = 0
    error: str = ""
    writer: str = ""
    sent_bytes: int = 0
    left_bytes: int = 0
    removed: bool = False
    note: str = ""
    content_same: bool | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the result as a JSON object."""
        return {**self._asdict(), "path": str(self.path)}

    def __str__(self) -> str:
        parts = [f"{self.run or self.path}: {self.sent:,} records sent, {self.delivered:,} delivered in total"]
        parts += [f"writer {self.writer}"] if self.writer else []
        parts += [f"{self.sent_bytes:,} bytes"] if self.sent_bytes else []
        parts += [f"{self.left_bytes:,} bytes remain in {self.path}"] if self.left_bytes else []
        parts += [] if self.content_same is None else [describe_content(same=self.content_same)]
        reason = self.error or self.note or ("journal removed" if self.removed else "")
        return ", ".join(parts) + (f"; {reason}" if reason else "")


class _Delivered(NamedTuple):
    """A journal that was delivered in full, and what decides whether it may be removed."""

    result: SyncResult
    run: RunPath
    session: str
    before: bool


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
    delivered: list[_Delivered] = []
    blocked = Blocked()
    try:
        for path in journals:
            results[path], done = await _sync_one(path, transport, progress, blocked)
            delivered += [] if done is None else [done]
    finally:
        await transport.stop()
    if not keep:
        results |= {done.result.path: done.result for done in await _remove_stored(delivered, settings)}
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
) -> tuple[SyncResult, _Delivered | None]:
    """Return the result for a journal, and the same with what its removal rests on if it was delivered in full."""
    result, done = await _deliver_one(path, transport, progress, blocked)
    if result.error and folders.was_removed(path):
        return SyncResult(path, result.run, writer=result.writer, removed=True, note=_REMOVED_MEANWHILE), None
    return result, done


async def _deliver_one(
    path: Path, transport: Transport, progress: Progress, blocked: Blocked
) -> tuple[SyncResult, _Delivered | None]:
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
            return result, _Delivered(result, path_of_run, info.session, file.reached == file.start)
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


async def _remove_stored(delivered: list[_Delivered], settings: ProducerSettings) -> list[_Delivered]:
    """Remove the journals that the service has stored; wait for it a little. Return what was done with each."""
    deadline = time.monotonic() + _STORED_SECONDS
    return [await _remove_if_stored(done, settings, deadline) for done in delivered]


async def _remove_if_stored(done: _Delivered, settings: ProducerSettings, deadline: float) -> _Delivered:
    stored = await fetch_stored_session(settings, done.run, done.session)
    while not _is_settled(stored, done.result.delivered) and time.monotonic() < deadline:
        await asyncio.sleep(_POLL_SECONDS)
        stored = await fetch_stored_session(settings, done.run, done.session)
    complete = stored is not None and stored.records >= done.result.delivered
    result = done.result._replace(content_same=is_same(stored) if stored is not None and complete else None)
    if may_remove(stored, done.result.delivered, before=done.before):
        _remove(done.result.path)
        note = DELETED_NOTE if stored is not None and stored.deleted else ""
        return done._replace(result=result._replace(removed=True, note=note))
    if stored is None:
        reason = "no service says that it is stored; the next sync removes it"
    elif stored.differing_rows:
        reason = f"{stored.differing_rows:,} rows are not stored as they were sent; compare with stepwell verify"
    else:
        reason = f"{stored.records:,} records are stored so far; the next sync removes it"
    return done._replace(result=result._replace(note=f"kept: {reason}"))


def _is_settled(stored: StoredSession | None, delivered: int) -> bool:
    return stored is None or stored.deleted or stored.records >= delivered


def may_remove(stored: StoredSession | None, delivered: int, *, before: bool) -> bool:
    """Return whether a delivered journal may be removed.

    Args:
        stored: the service's account of its session; None if no service answers.
        delivered: records that were delivered.
        before: whether an earlier call had delivered all of it.
    """
    if stored is None:
        return before
    return stored.deleted or (stored.records >= delivered and not stored.differing_rows)


def _remove(path: Path) -> None:
    folders.remove_journal(path)
    if path.parent in find_temporary_folders():
        with contextlib.suppress(OSError):
            path.parent.rmdir()
