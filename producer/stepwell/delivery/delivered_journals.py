"""Removal of journals that were delivered in full, when the service has stored them.

Until then, a resumed run finds its last step in the journal. If no service answers, the next call removes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Final, NamedTuple

from stepwell.delivery.ingested import fetch_stored_session
from stepwell.delivery.journal_folders import find_temporary_folders
from stepwell.delivery.stored_content import DELETED_NOTE, StoredSession, is_same
from stepwell.delivery.sync_result import SyncResult
from stepwell.journal import folders
from stepwell.settings import ProducerSettings
from stepwell_schemas.rules.identifiers import RunPath

_STORED_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.2


class DeliveredJournal(NamedTuple):
    """A journal that was delivered in full, and what decides whether it may be removed."""

    result: SyncResult
    run: RunPath
    session: str
    before: bool


async def remove_stored(delivered: list[DeliveredJournal], settings: ProducerSettings) -> list[DeliveredJournal]:
    """Remove the journals that the service has stored; wait for it a little. Return what was done with each."""
    deadline = time.monotonic() + _STORED_SECONDS
    return [await _remove_if_stored(done, settings, deadline) for done in delivered]


async def _remove_if_stored(done: DeliveredJournal, settings: ProducerSettings, deadline: float) -> DeliveredJournal:
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
