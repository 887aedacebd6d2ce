"""The ingestor's state of a run between flushes."""

from __future__ import annotations

from dataclasses import dataclass, field
from sys import intern
from typing import Any, Final

from stepwell_ingestor.planner.arrivals import Gaps
from stepwell_ingestor.planner.content import SessionContent
from stepwell_ingestor.planner.layers import Known, Layer, entry_bytes
from stepwell_ingestor.planner.run_document import RunDocument
from stepwell_ingestor.planner.series_ledger import SeriesLedger
from stepwell_ingestor.planner.totals import NO_COUNTS, Counts
from stepwell_schemas.rules.keys import fold_key
from stepwell_schemas.rules.steps import NO_STEP, StepState

_STATE_BYTES: Final = 2_000
_NOT_DELETED: Final = -1

RUN_SCOPE: Final = "run"
"""The scope of `RunState.counters` in the table of states."""

NEXT_STEP: Final = "next_step"
DOCUMENT_SINCE: Final = "document_since"
"""Names in `RunState.counters`: the step after the run's last one, and the logical offset of the event with which its
document began."""

DELETION_SCOPE: Final = "deletion"
DELETED_SCOPE: Final = "deleted"
NOTE_SCOPES: Final = frozenset({DELETION_SCOPE, DELETED_SCOPE})
"""The scopes of `RunState.deletion` and of `RunState.deleted` in the table of states, which outlast later deletions."""

DELETED_AT: Final = "at"
DELETED_OFFSET: Final = "offset"
"""Names in `RunState.deletion`: the time of the run's last deletion (µs), and its event's logical offset."""


@dataclass
class RunState:
    """A run's ingest state.

    `writers`: each writer's current step, the highest that its rows reached. `begun`: the last step at which each
    writer has begun a row without advancing. `lines`: by session, whether its steps are final (see `session_steps`);
    sessions that don't begin a line are missing if their steps are final. `sessions`: each journal's next sequence
    number. `gaps`: the ranges of missing records of each journal, () if all were filled (see `arrivals`).
    `spellings`: the stored key of each folded key. `stored_as`: the stored key of each known spelling.
    `series`: the totals of each series, and the rollup rows of its open buckets; these are not stored and may be
    unknown. `counts`: what became of the run's records; `session_counts`: the same of each
    session; `contents`: the content of each session's rows. `counters`: `next_step`, the step after the last one in the
    run's own rows, and `document_since`, the offset of the event that created the document. `deletion`: the run's last
    deletion, empty if there was none. `deleted`: the sessions that began before it, each with the time of its deletion
    in µs (see `deletions`). `writer_starts`: the time at which each named writer was last started, in µs;
    `last_sessions`: a checksum of the session's name; `shared_writers`: the last such time of writers whose name two
    processes had; `numbered`: the numbers that sessions have in their writers' names since then (see
    `shared_writers`). All but the open buckets is a function of the log up to an offset.

    `bytes`: approximate memory of the state; `open_bytes`: the part of it used by the open buckets. Those of a fork
    exclude its changes.
    """

    writers: Known[str, int] = field(default_factory=dict)
    sessions: Known[str, int] = field(default_factory=dict)
    spellings: Known[str, str] = field(default_factory=dict)
    stored_as: Known[str, str] = field(default_factory=dict)
    series: SeriesLedger = field(default_factory=SeriesLedger)
    document: RunDocument | None = None
    counters: Known[str, int] = field(default_factory=dict)
    counts: Counts = NO_COUNTS
    session_counts: Known[str, Counts] = field(default_factory=dict)
    bytes: int = field(default=0, compare=False)
    open_bytes: int = field(default=0, compare=False)
    parent: RunState | None = field(default=None, compare=False, repr=False)
    begun: Known[str, int] = field(default_factory=dict)
    lines: Known[str, int] = field(default_factory=dict)
    contents: Known[str, SessionContent] = field(default_factory=dict)
    gaps: Known[str, Gaps] = field(default_factory=dict)
    deletion: Known[str, int] = field(default_factory=dict)
    deleted: Known[str, int] = field(default_factory=dict)
    writer_starts: Known[str, int] = field(default_factory=dict)
    last_sessions: Known[str, int] = field(default_factory=dict)
    shared_writers: Known[str, int] = field(default_factory=dict)
    numbered: Known[str, int] = field(default_factory=dict)

    @property
    def begins(self) -> int:
        """The logical offset after the run's last deletion, 0 if there was none: what ends before it is not the run's.

        An ingestor that was frozen may have inserted rows of the deleted run since then (see `removal.late_rows`).
        """
        return self.deletion.get(DELETED_OFFSET, _NOT_DELETED) + 1

    def writer(self, name: str) -> StepState:
        """Return the state of a writer."""
        current = self.writers.get(name, 0)
        return StepState(current, self.begun.get(name, NO_STEP) == current)

    def wrote(self, name: str, after: StepState) -> None:
        """Record the state that a writer's rows have reached, unless others have reached a higher step."""
        if after.current >= self.writers.get(name, 0):
            self.writers[name] = after.current
            if after.begun:
                self.begun[name] = after.current

    def reached(self, step: int) -> None:
        """Record that the run's own rows have reached a step."""
        self.counters[NEXT_STEP] = max(self.counters.get(NEXT_STEP, 0), step + 1)

    def resume(self, writer: str) -> None:
        """Continue a writer after the run's last step, so that it does not write into rows of an earlier session."""
        self.writers[writer] = max(self.writers.get(writer, 0), self.counters.get(NEXT_STEP, 0))

    def stored_key(self, key: str) -> tuple[str, str]:
        """Return the stored spelling of a key, and its folded form if the spelling is new ("" otherwise)."""
        stored = self.stored_as.get(key)
        if stored is not None:
            return stored, ""
        # One object for all runs, and both dictionaries: a string takes more memory than an entry.
        key = intern(key)
        folded = intern(fold_key(key))
        stored = self.stored_as[key] = self.spellings.setdefault(folded, key)
        return stored, folded

    def fork(self) -> RunState:
        """Return a copy-on-write copy, at a cost that does not depend on the state's size."""
        return RunState(
            Layer(self.writers), Layer(self.sessions), Layer(self.spellings), Layer(self.stored_as),
            self.series.fork(), self.document, Layer(self.counters), self.counts, Layer(self.session_counts),
            self.bytes, self.open_bytes, self, Layer(self.begun), Layer(self.lines), Layer(self.contents),
            Layer(self.gaps), Layer(self.deletion), Layer(self.deleted), Layer(self.writer_starts),
            Layer(self.last_sessions), Layer(self.shared_writers), Layer(self.numbered),
        )  # fmt: skip

    def settle(self) -> RunState:
        """Apply the changes to the state that this one was forked from, and return that state."""
        below = self.parent
        if below is None:
            return self
        for ledger, of_below in zip(self._ledgers(), below._ledgers(), strict=True):
            if isinstance(ledger, Layer) and ledger.changed and ledger.base is of_below:
                # Values of the other ledgers keep their sizes.
                grown = ledger.growth() if ledger is self.gaps else 0
                below.bytes += ledger.settle() + grown
        added, opened = self.series.settle()
        below.bytes += added
        below.open_bytes += opened
        below.counts = self.counts
        if self.document is not below.document:
            below.bytes += _document_bytes(self.document) - _document_bytes(below.document)
            below.document = self.document
        return below

    def forget_open_buckets(self) -> None:
        """Drop the open buckets; they are computed from stored points when needed."""
        self.series.forget_open_buckets()
        self.bytes, self.open_bytes = self.bytes - self.open_bytes, 0

    def measure(self) -> None:
        """Set `bytes` from the content."""
        entries = sum(entry_bytes(*item) for known in self._ledgers() for item in known.items())
        self.bytes = _STATE_BYTES + _document_bytes(self.document) + self.series.bytes + entries
        self.open_bytes = self.series.open_bytes

    def numbers(self) -> dict[str, Known[str, int]]:
        """Return the numbers that the table of states stores, by its scopes."""
        return {
            "writer": self.writers, "begun": self.begun, "line": self.lines, "session": self.sessions,
            RUN_SCOPE: self.counters, DELETION_SCOPE: self.deletion, DELETED_SCOPE: self.deleted,
            "writer_start": self.writer_starts, "last_session": self.last_sessions,
            "shared_writer": self.shared_writers, "numbered": self.numbered,
        }  # fmt: skip

    def _ledgers(self) -> tuple[Known[Any, Any], ...]:
        return (
            self.writers, self.sessions, self.spellings, self.stored_as, self.counters, self.session_counts,
            self.begun, self.lines, self.contents, self.gaps, self.deletion, self.deleted, self.writer_starts,
            self.last_sessions, self.shared_writers, self.numbered,
        )  # fmt: skip


def _document_bytes(document: RunDocument | None) -> int:
    return 0 if document is None else document.bytes
