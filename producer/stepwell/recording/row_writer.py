"""The hot path of `log()`: write one call as one journal record, and keep its values for `step` and `summary`.

A row of plain scalars under string keys costs one comparison of its keys, one `struct` pack and one `pwrite`. All other
rows take the slower path through `build_cells` and JSON.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Mapping
from time import time_ns
from typing import Any, Final

from stepwell.errors import NoRoomError, UsageError
from stepwell.journal.format import RECORD_HEAD, TAG_ROW
from stepwell.journal.journal import Journal
from stepwell.journal.row_layout import Layout, struct_codes
from stepwell.media.journal_files import MediaFiles
from stepwell.media.references import media_cell
from stepwell.recording.cells import build_cells, keys_fit_layout, split_row
from stepwell.recording.figures import Figures
from stepwell.recording.kept_values import (
    PLAIN_KINDS,
    JsonText,
    NumberedValue,
    keep_json_value,
    newest_by_name,
    newest_values,
    to_logged_value,
)
from stepwell.recording.metric_tracking import MetricTracker, ValueObserver, with_step_metrics
from stepwell.recording.row_notices import RowNotices
from stepwell.recording.step_counter import NO_ROW, StepCounter
from stepwell.recording.summary import Metric
from stepwell.values.arrays import restore_value
from stepwell.values.convert import Cell, to_cell
from stepwell_schemas.limits import MAX_STEP, MEDIA_MAX_BYTES
from stepwell_schemas.rules.metric_definitions import LEFT_OUT
from stepwell_schemas.rules.steps import COMMIT_DEFAULT, COMMIT_FALSE, COMMIT_TRUE, NO_STEP, check_step

MAX_LAYOUTS: Final = 1_024
"""Layouts kept in memory; further combinations of keys and types are written as JSON records."""

RowShape = tuple[tuple[str, ...], tuple[type, ...]]

_NO_CALL: Final = (None, None, None)
_pack_head = RECORD_HEAD.pack
_crc32 = zlib.crc32


class RowWriter(StepCounter):
    """Writes the rows of one writer. Thread-safe, and safe to call from signal handlers."""

    def __init__(self, journal: Journal, current: int, label: str, media_max_bytes: int = MEDIA_MAX_BYTES) -> None:
        super().__init__(journal, current, RowNotices(label))
        self._files = MediaFiles(journal, media_max_bytes, self._notices.reject_part)
        self._json_rows = self._json_points = 0
        self._layouts: dict[RowShape, Layout] = {}
        self._last: tuple[list[Any] | None, list[type] | None, Layout | None] = _NO_CALL
        self._json_values: dict[str, NumberedValue] = {}
        self._tracker = MetricTracker()
        self._on_first_row: Callable[[], None] | None = None
        self._refusal: Callable[[], Exception] | None = None

    @property
    def rejected(self) -> int:
        """Number of values that could not be stored."""
        return self._notices.rejected

    @property
    def rows(self) -> int:
        """Number of rows written."""
        return self._json_rows + sum(layout.rows for layout in list(self._layouts.values()))

    @property
    def points(self) -> int:
        """Number of values written."""
        return self._json_points + sum(layout.rows * len(layout.keys) for layout in list(self._layouts.values()))

    def log(self, data: Mapping[str, Any], step: int | None, commit: bool | None) -> None:  # noqa: C901 - calls are slow
        """Write one row. Raises: TypeError if `data` is no mapping, StepError, UsageError."""
        if type(data) is not dict:
            if not isinstance(data, Mapping):
                raise TypeError(f"log() takes a dict of metrics, not {type(data).__name__}")
            data = dict(data)
        asked = NO_STEP
        if step is not None:
            asked = step if type(step) is int and -MAX_STEP <= step <= MAX_STEP else check_step(step)
        code = COMMIT_DEFAULT if commit is None else COMMIT_TRUE if commit else COMMIT_FALSE
        values = tuple(data.values())
        # Lists: with 50 values, tuples take half as long again to fill and to compare.
        keys, kinds = [*data], [*map(type, values)]
        try:
            last = self._last
            # Most calls have the keys and types of the one before. Comparing them costs less than their hashes.
            layout = last[2] if last[0] == keys and last[1] == kinds else self._find_layout(keys, kinds, asked)
            if layout is None:
                return self._log_as_json(data, asked, code)
            if layout.missing_step_metrics:
                synced = with_step_metrics(data, layout.missing_step_metrics)
                if len(synced) > len(data):
                    return self.log(synced, step, commit)
            body = layout.pack(layout.tag, time_ns() // 1000, asked, code, *values)
        except (struct.error, OverflowError, TypeError):
            # Integers beyond 64 bits, or keys that can't be hashed: stored exactly as JSON.
            return self._log_as_json(data, asked, code)
        journal = self.journal
        size = layout.record_bytes
        record = _pack_head(size, _crc32(body, size)) + body
        intent = asked, code
        # `Appender.append`, inlined to save its call per row. The lock is reentrant, since a signal handler that runs
        # on the main thread inside this block may log as well; a plain lock would deadlock.
        with journal.lock:
            if journal.intent is not None:
                self._apply(journal.intent)
            while True:
                while journal.end + layout.reserve > journal.limit:
                    if not journal.make_room(size, layout):
                        if journal.intent is intent:
                            journal.intent = None
                        return None
                # Reserve the space and write, without another call in between: no signal handler runs there, so that
                # neither its own rows nor its exception can leave a reserved record unfilled. See `appending`.
                start = journal.end
                journal.end = start + size
                number = journal.sequence
                journal.sequence = number + 1
                journal.intent = intent
                try:
                    written: int | BaseException = journal.pwrite(record, start - journal.base)
                except BaseException as error:
                    written = error
                if written == size or journal.settle(record, start, written):
                    break
            layout.newest = number
            layout.last_values = values
            layout.rows += 1
            if step is not None:
                self._apply(intent)
            elif journal.intent is intent:
                journal.intent = None
                if code:
                    self.current += 1
                else:
                    self._begun = self.current
        for index, observer in layout.observers:
            observer.add(values[index])
        return None

    def _find_layout(self, keys: list[Any], kinds: list[type], asked: int) -> Layout | None:
        shape = tuple(keys), tuple(kinds)
        layout = self._layouts.get(shape) or self._new_layout(shape, asked)
        if layout is not None:
            self._last = keys, kinds, layout
        return layout

    def _new_layout(self, shape: RowShape, asked: int) -> Layout | None:
        keys, kinds = shape
        if self._refusal is not None:
            raise self._refusal()
        self._begin_in_child(asked)
        codes = struct_codes(kinds)
        if codes is None or len(self._layouts) >= MAX_LAYOUTS or not keys_fit_layout(keys):
            return None
        self._notices.note_spellings(keys)
        with self.journal.lock:
            layout = self._layouts.get(shape) or self.journal.define(keys, codes)
            self._layouts[shape] = layout
            self._attach_observers(layout)
        return layout

    def _log_as_json(self, data: Mapping[Any, Any], asked: int, code: int) -> None:
        self._begin_in_child(asked)
        try:
            cells = build_cells(data, self._notices.reject, self._files)
        except NoRoomError:
            return
        for axis in self._tracker.missing_step_metrics(cells):
            if axis.value is not None:
                cells[axis.key] = to_cell(axis.value)
        self._notices.note_spellings(cells)
        *first, last = split_row(cells)
        journal = self.journal
        with journal.lock:
            if journal.intent is not None:
                self._apply(journal.intent)
            now = time_ns() // 1000
            # If a row is too large for one event, its parts stay at its step; the last one commits as the call asks.
            # Only the first one requests a step: a second request below the current step would begin another row.
            for part in first:
                if self._append_cells(part, now, asked, COMMIT_FALSE) and asked != NO_STEP:
                    code = COMMIT_FALSE if code == COMMIT_DEFAULT and asked == self.current else code
                    asked = NO_STEP
            self._json_rows += self._append_cells(last, now, asked, code)
        for key, (kind, value) in cells.items() if self._tracker else ():
            for observer in self._tracker.observers(key):
                observer.add(value if kind in PLAIN_KINDS else restore_value(json.loads(value)))

    def media_cell(self, value: Any) -> Cell | None:
        """Store a media value outside a row; return its kind and reference, None for other values.

        Raises:
            UnstorableError: if it can't be stored. NoRoomError: if the journal has no room for it.
        """
        if self._on_first_row is not None:
            self._on_first_row()
        return media_cell(value, self._files)

    def _append_cells(self, cells: dict[str, Cell], now: int, asked: int, code: int) -> bool:
        """Append a row as JSON; return False if it was dropped. The caller holds the lock."""
        number = self.journal.sequence
        intent = asked, code
        if not self.journal.append_json(TAG_ROW, {"t": now, "s": asked, "c": code, "d": cells}, intent):
            return False
        for key, (kind, value) in cells.items():
            # Two spellings of a metric are in the order of the call: see `newest_values`.
            self._json_values.pop(key, None)
            self._json_values[key] = (number, value if kind in PLAIN_KINDS else JsonText(value))
        self._json_points += len(cells)
        self._apply(intent)
        return True

    def finish(self) -> None:
        """Reject further rows: later calls raise UsageError. Logged values stay readable."""
        label, remedy = self._notices.label, "call init() for another one, or with resume= to continue it"
        self.refuse(lambda: UsageError(f"{label}: the run is finished; {remedy}"))

    def refuse(self, error: Callable[[], Exception]) -> None:
        """Let later calls raise an error. Logged values stay readable."""
        with self.journal.lock:
            self._json_values = self._newest_values()
            self._json_rows, self._json_points = self.rows, self.points
            # The fast path uses known layouts only, so that it needs no test of its own.
            self._forget_layouts()
            self._refusal = error

    def _forget_layouts(self) -> None:
        self._layouts.clear()
        self._last = _NO_CALL

    def in_child(self, on_first_row: Callable[[], None]) -> None:
        """In a forked child: reset the parent's counts, and call `on_first_row` before the first row is written."""
        self._json_values = {key: (-1, value) for key, (_, value) in self._newest_values().items()}
        self._forget_layouts()
        self._json_rows = self._json_points = self.conflicts = self._notices.rejected = 0
        self._begun = NO_ROW
        self._on_first_row = on_first_row

    def _begin_in_child(self, asked: int) -> None:
        """In a forked child, before its first row: begin at the step that it asks for, also below its parent's."""
        if self._on_first_row is not None:
            if NO_STEP < asked < self.current:
                self.current = asked
            self._on_first_row()

    def switch_journal(self, journal: Journal) -> None:
        """In a forked child: write later rows to its own journal."""
        self.journal = journal
        journal.current_step = self._current_step
        self._files = self._files.for_journal(journal)
        self._on_first_row = None

    def restore(self, known: Mapping[str, Any], figures: Mapping[str, Figures]) -> None:
        """Begin with each metric's last value in earlier sessions, in JSON's types, and with the figures of some."""
        for key, value in known.items():
            # As if logged before the first record, so that every row of this session is newer.
            self._json_values[key] = (-1, keep_json_value(value))
            self._notices.first_spelling(key)
        self._tracker.restore(figures)

    def observe(self, find: Callable[[str], ValueObserver | None]) -> None:
        """Attach an observer to each key for which the function returns one; called before the first row."""
        self._tracker.find_observer = find

    def define(self, metric: Metric) -> None:
        """Apply a metric definition to later rows."""
        with self.journal.lock:
            self._tracker.define(metric)
            for layout in self._layouts.values():
                self._attach_observers(layout)

    def _attach_observers(self, layout: Layout) -> None:
        layout.observers = self._tracker.indexed_observers(layout.keys)
        layout.missing_step_metrics = self._tracker.missing_step_metrics(layout.keys)

    def last_values(self) -> dict[str, Any]:
        """Return every metric's summary: its last value, or the summary that its definition requests."""
        with self.journal.lock:
            newest = self._newest_values()
        last = newest_by_name(newest, self._notices.first_spelling)
        summaries = {key: self._tracker.summary(key, to_logged_value(value)) for key, value in last.items()}
        return {key: value for key, value in summaries.items() if value is not LEFT_OUT}

    def _newest_values(self) -> dict[str, NumberedValue]:
        return newest_values(self._json_values, self._layouts.values())
