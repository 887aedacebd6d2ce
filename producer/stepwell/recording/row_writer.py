"""The hot path: one `log()` call to one journal record, and what is remembered of it for `step` and `summary`.

A call costs one lookup of its shape, one pack and one copy into the mapping. Everything a row can be that is not plain
scalars under string keys takes the slower way through `cells_of`.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Mapping
from time import time_ns
from typing import Any, Final, NamedTuple

from stepwell.errors import NoRoomError, UsageError
from stepwell.journal.format import RECORD_HEAD, TAG_ROW
from stepwell.journal.journal import Journal
from stepwell.journal.row_layout import Layout, codes_of
from stepwell.media.journal_files import Files
from stepwell.recording.cells import cells_of
from stepwell.recording.metric_tracking import Defined, plain_scalar, with_step_metrics
from stepwell.recording.summary import Metric
from stepwell.terminal import say
from stepwell.values.arrays import as_logged
from stepwell.values.convert import Cell, cell_of
from stepwell_schemas.errors import KeyRuleError
from stepwell_schemas.limits import MAX_STEP, MEDIA_MAX_BYTES, SEND_BATCH_BYTES
from stepwell_schemas.rules.keys import check_key, fold_key
from stepwell_schemas.rules.metric_definitions import LEFT_OUT
from stepwell_schemas.rules.steps import COMMIT_DEFAULT, COMMIT_FALSE, COMMIT_TRUE, NO_STEP, check_step

_PLAIN_KINDS: Final = frozenset({"number", "string", "bool"})
"""The kinds whose cells hold the value itself; all others hold its JSON."""

MAX_LAYOUTS: Final = 1_024
"""Shapes kept in memory; a run whose keys never repeat logs through the JSON records instead."""

ROW_MAX_BYTES: Final = 2 * SEND_BATCH_BYTES
"""Keys and values of one journal row; a larger one is written as several at its step, so that each fits an event."""

_VALUE_BYTES: Final = 16
_UTF8_BYTES: Final = 4

Shape = tuple[tuple[str, ...], tuple[type, ...]]

_pack_head = RECORD_HEAD.pack_into
_crc32 = zlib.crc32


def parts_of_row(cells: dict[str, Cell]) -> list[dict[str, Cell]]:
    """Cut a row's cells, in order, into parts of at most ROW_MAX_BYTES (or one cell); at least one, maybe empty."""
    parts: list[dict[str, Cell]] = [{}]
    used = 0
    for key, (kind, value) in cells.items():
        size = _VALUE_BYTES + _UTF8_BYTES * (len(key) + (len(value) if isinstance(value, str) else _VALUE_BYTES))
        if used + size > ROW_MAX_BYTES and parts[-1]:
            parts.append({})
            used = 0
        parts[-1][key] = kind, value
        used += size
    return parts


class JsonText(NamedTuple):
    """The JSON of a list, an array, None or media that were logged."""

    text: str


def _plain(value: Any) -> Any:
    """Return what a remembered value was."""
    return as_logged(json.loads(value.text)) if isinstance(value, JsonText) else plain_scalar(value)


class RowLog:
    """Writes the rows of one writer. Safe to call from any thread.

    Attributes:
        current: the step the next `log()` writes at. conflicts: steps that were asked for below it.
        rejected: values that could not be stored.
    """

    def __init__(self, journal: Journal, current: int, label: str, media_max_bytes: int = MEDIA_MAX_BYTES) -> None:
        self.journal = journal
        self._files = Files(journal, media_max_bytes)
        self.current = current
        self.conflicts = 0
        self.rejected = 0
        self._slow_rows = self._slow_points = 0
        # The ingestor's writer may stand elsewhere (a new writer at 0, an old one on its last row): the first row
        # without a step of its own says where this session begins.
        self._unpinned = current > 0
        self._label = label
        self._layouts: dict[Shape, Layout] = {}
        self._slow_values: dict[str, tuple[int, Any]] = {}
        self._spellings: dict[str, str] = {}
        self._warned: set[str] = set()
        self._defined = Defined()
        self._before_first: Callable[[], None] | None = None
        self._finished = False

    @property
    def rows(self) -> int:
        """The calls written."""
        return self._slow_rows + sum(layout.rows for layout in list(self._layouts.values()))

    @property
    def points(self) -> int:
        """The values written."""
        return self._slow_points + sum(layout.rows * len(layout.keys) for layout in list(self._layouts.values()))

    def log(self, data: Mapping[str, Any], step: int | None, commit: bool | None) -> None:
        """Write one row. Raises: TypeError when `data` is no mapping, StepError, UsageError."""
        if type(data) is not dict:
            if not isinstance(data, Mapping):
                raise TypeError(f"log() takes a dict of metrics, not {type(data).__name__}")
            data = dict(data)
        asked = NO_STEP
        if step is not None:
            asked = step if type(step) is int and -MAX_STEP <= step <= MAX_STEP else check_step(step)
        code = COMMIT_DEFAULT if commit is None else COMMIT_TRUE if commit else COMMIT_FALSE
        values = tuple(data.values())
        shape = (tuple(data), tuple(map(type, values)))
        try:
            layout = self._layouts.get(shape) or self._new_layout(shape)
            if layout is None:
                return self._log_slowly(data, asked, code)
            if layout.missing and len(synced := with_step_metrics(data, layout.missing)) > len(data):
                return self.log(synced, step, commit)
            body = layout.pack(layout.tag, time_ns() // 1000, asked, code, *values)
        except (struct.error, OverflowError, TypeError):
            # Integers beyond 64 bits, or keys that can't be hashed: exact all the same, as JSON.
            return self._log_slowly(data, asked, code)
        journal = self.journal
        size = layout.record_bytes
        with journal.lock:
            if journal.end + size + 8 > journal.limit and not journal.make_room(size):
                return None
            crc = _crc32(body, size)
            start = journal.end
            # Reserved, then filled, without a call in between: see Journal.append.
            journal.end = start + size
            layout.newest = journal.sequence
            journal.sequence += 1
            layout.last_values = values
            journal.map[start + 8 : start + size] = body
            layout.rows += 1
            _pack_head(journal.map, start, size, crc)
            if step is None:
                if code:
                    self.current += 1
            else:
                self._move(asked, code)
        for place, followed in layout.followed:
            followed.add(values[place])
        return None

    def _move(self, asked: int, code: int) -> None:
        """Apply the step rule to an asked step. The caller holds the lock."""
        if asked >= self.current:
            self.current = asked + 1 if code == COMMIT_TRUE else asked
            return
        self.conflicts += 1
        if self.conflicts == 1:
            self._warn(
                "conflict",
                f"{self._label}: step {asked} was asked for, but step {self.current} is reached: logged at "
                f"{self.current}. Later conflicts are only counted; SQL view step_conflicts lists them all.",
            )
        if code:
            self.current += 1

    def _new_layout(self, shape: Shape) -> Layout | None:
        keys, kinds = shape
        if self._finished:
            raise UsageError(f"{self._label}: the run is finished; init() starts another, or goes on with resume=")
        if self._before_first is not None:
            self._before_first()
        if self._unpinned:
            return None
        codes = codes_of(kinds)
        if codes is None or len(self._layouts) >= MAX_LAYOUTS or not all(type(key) is str for key in keys):
            return None
        try:
            for key in keys:
                check_key(key)
        except KeyRuleError:
            return None
        if sum(len(key.encode()) + _VALUE_BYTES for key in keys) > ROW_MAX_BYTES:
            return None
        self._note_spellings(keys)
        with self.journal.lock:
            layout = self._layouts.get(shape) or self.journal.define(keys, codes)
            if layout is not None:
                self._layouts[shape] = layout
                self._follow(layout)
        return layout

    def _log_slowly(self, data: Mapping[Any, Any], asked: int, code: int) -> None:
        if self._before_first is not None:
            self._before_first()
        try:
            cells = cells_of(data, self._refuse, self._files)
        except NoRoomError:
            return
        for axis in self._defined.missing(cells):
            if axis.value is not None:
                cells[axis.key] = cell_of(axis.value)
        self._note_spellings(cells)
        *first, last = parts_of_row(cells)
        journal = self.journal
        with journal.lock:
            now = time_ns() // 1000
            # The parts of a row too large for one event stay at its step; the last one moves on as the call asks.
            for part in first:
                self._append_cells(part, now, asked, COMMIT_FALSE)
            self._slow_rows += self._append_cells(last, now, asked, code)
        for key, (kind, value) in cells.items() if self._defined else ():
            for follower in self._defined.followers(key):
                follower.add(value if kind in _PLAIN_KINDS else as_logged(json.loads(value)))

    def _append_cells(self, cells: dict[str, Cell], now: int, asked: int, code: int) -> bool:
        """Append a row as JSON; False when it was dropped. The caller holds the lock."""
        number = self.journal.sequence
        if self._unpinned and asked == NO_STEP:
            asked = self.current
            code = COMMIT_TRUE if code != COMMIT_FALSE else COMMIT_FALSE
        if not self.journal.append_json(TAG_ROW, {"t": now, "s": asked, "c": code, "d": cells}):
            return False
        for key, (kind, value) in cells.items():
            self._slow_values[key] = (number, value if kind in _PLAIN_KINDS else JsonText(value))
        self._slow_points += len(cells)
        self._unpinned = self._unpinned and asked < self.current
        if asked == NO_STEP:
            self.current += code != COMMIT_FALSE
        else:
            self._move(asked, code)
        return True

    def _refuse(self, key: str, kind: str, rule: str) -> None:
        self.rejected += 1
        shown = key if len(key) <= 80 else f"{key[:80]}…"
        self._warn(f"{shown} {kind}", f"{self._label}: {shown!r} ({kind}) is not stored: {rule}")

    def _note_spellings(self, keys: Any) -> None:
        for key in keys:
            first = self._spellings.setdefault(fold_key(key), key)
            if first != key:
                self._warn(f"spelling {key}", f"{self._label}: {key!r} is the metric {first!r} (case does not count)")

    def _warn(self, about: str, message: str) -> None:
        if about not in self._warned:
            self._warned.add(about)
            say(message)

    def finish(self) -> None:
        """Take no more rows: later calls raise UsageError. What was logged stays readable."""
        with self.journal.lock:
            self._slow_values = self._newest_values()
            self._slow_rows, self._slow_points = self.rows, self.points
            self._layouts.clear()
            self._finished = True

    def in_child(self, before_first: Callable[[], None]) -> None:
        """In a forked child: forget the parent's account, and call `before_first` when a row is to be written."""
        self._slow_values = {key: (-1, value) for key, (_, value) in self._newest_values().items()}
        self._layouts.clear()
        self._slow_rows = self._slow_points = self.conflicts = self.rejected = 0
        self._before_first = before_first

    def begin(self, journal: Journal) -> None:
        """In a forked child: write to its own journal from now on."""
        self.journal = journal
        self._files = self._files.of(journal)
        self._unpinned = True
        self._before_first = None

    def define(self, metric: Metric) -> None:
        """Follow what `define_metric` asks for from now on."""
        with self.journal.lock:
            self._defined.define(metric)
            for layout in self._layouts.values():
                self._follow(layout)

    def _follow(self, layout: Layout) -> None:
        layout.followed = self._defined.places(layout.keys)
        layout.missing = self._defined.missing(layout.keys)

    def last_values(self) -> dict[str, Any]:
        """Return every metric's summary as logged: its last value, or what its definition asks for."""
        with self.journal.lock:
            newest = self._newest_values()
        last: dict[str, tuple[int, Any]] = {}
        for key, (number, value) in newest.items():
            shown = self._spellings.get(fold_key(key), key)
            if shown not in last or last[shown][0] <= number:
                last[shown] = number, value
        found = {key: self._defined.summary(key, _plain(value)) for key, (_, value) in last.items()}
        return {key: value for key, value in found.items() if value is not LEFT_OUT}

    def _newest_values(self) -> dict[str, tuple[int, Any]]:
        newest = dict(self._slow_values)
        for layout in self._layouts.values():
            for key, value in zip(layout.keys, layout.last_values or (), strict=False):
                if key not in newest or newest[key][0] < layout.newest:
                    newest[key] = (layout.newest, value)
        return newest
