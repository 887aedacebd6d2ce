"""Plan the events about a run itself: its start, changes and end, and the chunks of its media files."""

from __future__ import annotations

from stepwell_ingestor.messages import Received
from stepwell_ingestor.planner.accumulator import EarlySession, Flush
from stepwell_ingestor.planner.run_document import RunDocument
from stepwell_ingestor.planner.run_tables import (
    MediaFile,
)
from stepwell_ingestor.planner.session_steps import begin_session
from stepwell_ingestor.planner.shared_writers import note_start
from stepwell_schemas.errors import DeadLetterReason
from stepwell_schemas.events.models import MediaChunk, RunFinished, RunStarted, RunUpdated
from stepwell_schemas.limits import VERSION_ROW_BITS
from stepwell_schemas.rules.identifiers import RunPath


def take_document(flush: Flush, item: Received, document: RunDocument, *, late: bool) -> None:
    """Apply an event to its run's document, or refuse it; `late`: later records of its session are stored."""
    state, event = flush.states[item.path], item.event
    if item.path not in flush.documents:
        # Copied once per flush and not per event: a flush may hold thousands of changes to a large document.
        document = state.document = document.copy()
    why = flush.left_out.documents.get(item.path)
    if why is not None:
        flush.refuse(item, DeadLetterReason.UNUSABLE, why)
    try:
        if late:
            _complete_document(document, item)
        elif isinstance(event, RunStarted):
            if not item.message.origin:
                # Also if the document is refused or left out: later rows must get the same steps either way. A redriven
                # start is late: the rows of its session have their steps.
                begin_session(state, event)
                note_start(state, event, item.timestamp)
            document.start(event, item.timestamp)
            _look_for_predecessor(flush, item.path, event)
        elif isinstance(event, RunUpdated):
            document.update(event)
        elif isinstance(event, RunFinished):
            document.finish(event, item.timestamp)
    except ValueError as error:
        flush.refuse(item, DeadLetterReason.BAD_VALUE, f"{event.name}: {error}")
        return
    flush.documents[item.path] = item.message.offset << VERSION_ROW_BITS


def _complete_document(document: RunDocument, item: Received) -> None:
    """Apply an event that fills a gap of its session. It decides no steps and no state: later records have."""
    if isinstance(item.event, RunStarted):
        document.complete_start(item.event, item.timestamp)
    elif isinstance(item.event, RunUpdated):
        document.complete_update(item.event)


def _look_for_predecessor(flush: Flush, path: RunPath, event: RunStarted) -> None:
    """Record that a session overtook its predecessor: nothing is held back, since its rows carry their own steps."""
    missing = event.predecessor_sequence - flush.states[path].sessions.get(event.predecessor, 0)
    if event.predecessor and missing > 0:
        flush.early.append(EarlySession(path, event.session, event.predecessor, missing))


def take_media(flush: Flush, item: Received, chunk: MediaChunk) -> None:
    """Record a file when its last chunk has arrived; its bytes are stored already."""
    refusal = flush.refused.get(item.message.offset)
    if refusal is not None:
        flush.refuse(item, DeadLetterReason.BAD_MEDIA, refusal)
    elif chunk.index == chunk.count - 1:
        version = item.message.offset << VERSION_ROW_BITS
        # Another run, in another partition, may log the same file: the first content type stored is kept.
        content_type = flush.media_types.setdefault(chunk.sha256, chunk.content_type)
        flush.files.append(MediaFile(item.path, chunk.sha256, chunk.size, content_type, version))
