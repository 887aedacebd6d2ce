"""Sign of life of a run: an event without rows, which the sender adds to the run's events.

A script may log nothing for hours, and system metrics may be off; events of a backlog have the times at which they were
logged. So the sign does not depend on either. It has no place in a session: it is neither kept in the journal nor
repeated, and a process that can't reach the brokers gives none.
"""

from __future__ import annotations

from stepwell.journal.format import JournalInfo
from stepwell_schemas.events.codec import encode
from stepwell_schemas.events.models import LogBatch
from stepwell_schemas.limits import SIGN_OF_LIFE_SECONDS
from stepwell_schemas.rules.streams import SYSTEM, stream_writer


class SignOfLife:
    """Decides when a run's next sign of life is due. Times are seconds of a monotonic clock."""

    def __init__(self, info: JournalInfo, now: float) -> None:
        """Begin at a session's start, whose first event is a sign of life."""
        self._info = info
        self._last = now

    def is_due(self, now: float, delivered: int) -> bool:
        """Return whether a sign is due, given the number of the session's delivered records.

        The session's first record, its start, comes before any sign: the first event of a run creates it.
        """
        return delivered > 0 and now - self._last >= SIGN_OF_LIFE_SECONDS

    def next_event(self, now: float, timestamp: int) -> bytes:
        """Return the encoded event of a sign at `now`; `timestamp` is the wall clock's time in µs."""
        self._last = now
        return encode(
            LogBatch(
                entity=self._info.entity,
                project=self._info.project,
                run_id=self._info.run_id,
                timestamp=timestamp,
                writer=stream_writer(self._info.writer, SYSTEM),
                rows=0,
                timestamps=b"",
                blocks=[],
            )
        )
