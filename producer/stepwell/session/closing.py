"""The end of a session: its journals are released, and its records are counted."""

from __future__ import annotations

import contextlib

from stepwell.delivery.stored_content import is_same
from stepwell.recording.row_writer import RowWriter
from stepwell.session.ingest_status import IngestStatus
from stepwell.session.open import SessionOutput
from stepwell.session.receipt import Receipt, find_set_aside_files
from stepwell.session.side_streams import SideStreams
from stepwell.session.spec import RunSpec


def close_session(
    output: SessionOutput, rows: RowWriter, streams: SideStreams, spec: RunSpec, status: IngestStatus
) -> Receipt:
    """Release the journals, delete those that were delivered in full, and return the receipt.

    Args:
        status: what the service has stored of the session.
    """
    journal, delivery = output
    delivery.remove_recovered()
    delivered = journal.acknowledged.sequence
    disabled = spec.mode == "disabled"
    pending = 0 if disabled else journal.sequence - delivered
    error = delivery.error or journal.problem
    if journal.deleted:
        error = error or "the journal was deleted during the run"
        if pending or spec.keep_journal:
            try:
                journal.save()
            except OSError as failed:
                error = f"the journal was deleted and can't be restored: {failed.strerror}"
    elif not pending and not spec.keep_journal:
        journal.remove()
    journal.release()
    journals = [journal.path, *streams.journals()]
    side_streams = streams.release()
    pending_beside = sum(stream.pending for stream in side_streams)
    if spec.auto_file:
        with contextlib.suppress(OSError):
            spec.auto_file.unlink(missing_ok=True)
    session, lost = status.stored, journal.dropped + delivery.set_aside
    return Receipt(
        str(spec.path),
        logged=rows.rows,
        points=rows.points,
        delivered=delivered,
        pending=pending,
        stored=status.points,
        stored_note="nothing, since the run is disabled" if disabled else status.note,
        conflicts=rows.conflicts if status.points is None else status.conflicts,
        dead_letters=status.dead_letters,
        rejected=rows.rejected,
        dropped=journal.dropped,
        recovered=delivery.recovered,
        lines_dropped=streams.lines_dropped,
        pending_beside=pending_beside,
        journals_beside=tuple(stream.journal for stream in side_streams if stream.journal is not None),
        journal=journal.path if journal.path.exists() else None,
        error=error,
        blocked=str(delivery.blocked) if pending or pending_beside else "",
        set_aside=delivery.set_aside,
        set_aside_files=find_set_aside_files(journals) if delivery.set_aside else (),
        content_same=None if pending or session is None else is_same(session, delivery.content, lost),
        moved=session.moved_rows if session else 0,
    )
