"""Delete runs: discard what a flush has planned of them, and recognise late records of their sessions.

A deletion holds for the run's events before it in the log. Records of a session that began before it are dropped when
they arrive later: sessions that the run's state knows, and those whose start is dated before the deletion, such as the
journal of an offline run. Every other event after it belongs to a new run of the same name. See docs/decisions/0028.
"""

from __future__ import annotations

from stepwell_ingestor.messages import Received, redriven_session
from stepwell_ingestor.planner.accumulator import Deletion, Flush
from stepwell_ingestor.planner.run_state import DELETED_AT, DELETED_OFFSET, RunState
from stepwell_schemas.events.models import NO_TIMESTAMP, LogBatch, RunStarted, RunUpdated
from stepwell_schemas.rules.identifiers import RunPath


def delete_run(flush: Flush, item: Received) -> None:
    """Apply a deletion; one that is sent again is known by its time, and changes nothing."""
    path, state = item.path, flush.states[item.path]
    last = state.deletion.get(DELETED_AT, NO_TIMESTAMP)
    if item.event.timestamp != NO_TIMESTAMP and item.event.timestamp == last:
        return
    known = flush.deletions.get(path)
    before = state.parent if known is None else known.before
    assert before is not None  # noqa: S101 - states of a flush are forks
    at = max(item.timestamp, last)
    after = RunState(
        deletion={DELETED_AT: at, DELETED_OFFSET: item.message.offset},
        deleted={**dict.fromkeys(state.sessions, at), **dict(state.deleted.items())},
    )
    after.measure()
    files = {} if known is None else known.files
    files |= {file.sha256: file.size for file in flush.files if file.path == path}
    if path in flush.activity:
        _discard(flush, path)
    flush.states[path] = after.fork()
    flush.deletions[path] = Deletion(item.message.offset, before, after, files)


def _discard(flush: Flush, path: RunPath) -> None:
    """Drop what the flush has planned of a run. Dead letters stay: their events are as unusable as before."""
    flush.files = [file for file in flush.files if file.path != path]
    flush.columns = [columns for columns in flush.columns if columns.path != path]
    flush.conflicts = [conflict for conflict in flush.conflicts if conflict.path != path]
    flush.sessions = {session: part for session, part in flush.sessions.items() if session.path != path}
    flush.spellings = [spelling for spelling in flush.spellings if spelling[0] != path]
    flush.activity.pop(path)
    flush.forget_keys(path)
    flush.documents.pop(path, None)


def is_of_deleted_run(item: Received, state: RunState) -> bool:
    """Return True if an event belongs to a run that was deleted before it, or changes a run that does not exist."""
    session, event = _session(item), item.event
    if state.document is None and is_only_about_existing_run(item):
        return True
    at = state.deletion.get(DELETED_AT)
    if at is None or (session and session in state.sessions):
        return False
    if session in state.deleted or (event.session and event.session in state.deleted):
        return True
    # Only these events say when something began. A dead letter that is sent again is older than its record.
    dated = (event.session and isinstance(event, RunStarted)) or item.message.origin
    return bool(dated) and 0 <= event.timestamp < at


def _session(item: Received) -> str:
    return redriven_session(item.message.origin) if item.message.origin else item.event.session


def is_only_about_existing_run(item: Received) -> bool:
    """Return True for events that create no run: edits, and signs of life."""
    event = item.event
    if isinstance(event, RunUpdated):
        return event.edited
    return isinstance(event, LogBatch) and not event.rows and not event.session


def drop_late(flush: Flush, item: Received) -> None:
    """Count an event of a deleted run, and remember its session."""
    state, session = flush.states[item.path], _session(item)
    at = state.deletion.get(DELETED_AT)
    if at is None:
        return
    flush.dropped += item.event.records
    if session and session not in state.deleted:
        state.deleted[session] = at
