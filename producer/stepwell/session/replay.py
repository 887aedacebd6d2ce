"""Replay of journals: what earlier sessions on this machine recorded, and the service may not know yet."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from stepwell.delivery.order import JournalEntry
from stepwell.errors import JournalError
from stepwell.journal.items import JournalItem, JsonRow, MetaEvent, Rows
from stepwell.journal.reader import Reader
from stepwell.journal.segments import first_position
from stepwell.journal.stored import StoredJournal
from stepwell.recording.figures import array_figures
from stepwell.recording.kept_values import PLAIN_KINDS
from stepwell.recording.metric_tracking import SummaryTracker
from stepwell.session.known_run import KnownRun
from stepwell.values.metadata import restore_floats
from stepwell_schemas.rules.keys import fold_key
from stepwell_schemas.rules.metric_definitions import Definition, find_definition
from stepwell_schemas.rules.streams import DEFAULT, parse_stream
from stepwell_schemas.rules.writers import FIRST_RANK, UNNAMED

_PRIMARY: Final = (UNNAMED, FIRST_RANK)
_DESCRIPTION: Final = {
    "display_name": "name",
    "notes": "notes",
    "tags": "tags",
    "group": "group",
    "job_type": "job_type",
}
"""Fields of events that describe the run, and the attributes of `KnownRun`."""


def replay_journals(known: KnownRun, journals: Iterable[JournalEntry], settled: Mapping[str, int]) -> KnownRun:
    """Return what is known of a run after its journals, which are in order.

    Args:
        settled: for each session, the number of its first records that are in `known` already.
    """
    replay = Replay(known)
    for path, info in journals:
        if parse_stream(info.writer) != DEFAULT:
            continue
        done = settled.get(info.session, 0)
        # What can't be read is reported when the journal is delivered.
        with contextlib.suppress(OSError, JournalError), StoredJournal(path) as journal:
            reader = Reader(check=False)
            # A journal that is kept holds the whole session: only segments with further records are read.
            starts = [first_position(segment) for segment in journal.segments() if segment.info.sequence <= done]
            if starts:
                reader.skip_to(journal, starts[-1])
            for item in reader.read_all(journal):
                records = len(item.array) if isinstance(item, Rows) else 1
                at = reader.position.sequence - records
                if at + records > done:
                    replay.apply(item, info.writer, max(done - at, 0))
    return replay.result()


class Replay:
    """Applies the items of journals, oldest first, to what is known of a run."""

    def __init__(self, known: KnownRun) -> None:
        self._known = known
        self._config = dict(known.config)
        self._by_hand = dict(known.by_hand)
        self._logged = dict(known.logged)
        self._definitions = dict(known.definitions)
        self._trackers: dict[str, SummaryTracker] = {}
        self._spellings = {fold_key(key): key for key in known.logged}
        # What the service shows is of the unnamed writer or of the first rank, if one of them logged it.
        self._writers = dict.fromkeys(known.logged, FIRST_RANK)

    def apply(self, item: JournalItem, writer: str, skip: int = 0) -> None:
        """Apply an item of a writer's journal, without the first `skip` of its rows."""
        if isinstance(item, MetaEvent):
            self._apply_event(item.fields)
        elif isinstance(item, JsonRow):
            for key, (kind, value) in item.row["d"].items():
                self._apply_json(key, kind, value, writer)
        elif isinstance(item, Rows) and len(item.array) > skip:
            self._apply_rows(item, skip, writer)

    def result(self) -> KnownRun:
        """Return what is known now."""
        definitions = list(self._definitions.values())
        figures = dict(self._known.figures)
        for key, tracker in self._trackers.items():
            if find_definition(key, definitions).summary:
                later = tracker.figures
                figures[key] = figures[key].then(later) if key in figures else later
        return replace(
            self._known,
            config=self._config,
            by_hand=self._by_hand,
            logged=self._logged,
            figures=figures,
            definitions=self._definitions,
        )

    def _apply_event(self, fields: Mapping[str, Any]) -> None:
        """Apply a start or a change, as the ingestor does: a start keeps what it leaves empty."""
        starts = fields.get("event") == "RunStarted"
        for sent, name in _DESCRIPTION.items():
            value = fields.get(sent)
            if value is not None and (value or not starts):
                changed: dict[str, Any] = {name: tuple(value) if name == "tags" else value}
                self._known = replace(self._known, **changed)
        for target, name in ((self._config, "config"), (self._by_hand, "summary")):
            target.update(restore_floats(fields.get(name) or {}))
            for key in fields.get(f"{name}_remove") or ():
                target.pop(key, None)
        for stored in fields.get("metrics") or ():
            definition = Definition.read(stored)
            self._definitions.pop(definition.name, None)
            self._definitions[definition.name] = definition

    def _apply_rows(self, item: Rows, skip: int, writer: str) -> None:
        for number, (_, first, end) in enumerate(item.layout.code_runs()):
            columns = item.array[f"v{number}"][skip:]
            for place, key in enumerate(item.layout.keys[first:end]):
                column = columns[:, place]
                last = column[-1].item()
                shown = self._set_last(key, last, writer)
                if shown and not isinstance(last, bool):
                    self._tracker(shown).merge(array_figures(column))

    def _apply_json(self, key: str, kind: str, value: Any, writer: str) -> None:
        shown = self._set_last(key, value if kind in PLAIN_KINDS else json.loads(value), writer)
        if shown and kind == "number":
            self._tracker(shown).add(value)

    def _set_last(self, key: str, value: Any, writer: str) -> str:
        """Set a metric's last value; return its shown key, or "" if another writer's values are shown."""
        shown = self._spellings.setdefault(fold_key(key), key)
        holder = self._writers.setdefault(shown, writer)
        if _rank(writer) > _rank(holder) or (_rank(writer) == _rank(holder) == len(_PRIMARY) and writer != holder):
            return ""
        if writer != holder:
            self._trackers.pop(shown, None)
        self._writers[shown] = writer
        self._logged[shown] = value
        return shown

    def _tracker(self, key: str) -> SummaryTracker:
        return self._trackers.setdefault(key, SummaryTracker(Definition(key)))


def _rank(writer: str) -> int:
    """Return a writer's place among those whose values are shown; see `rules.writers`."""
    return _PRIMARY.index(writer) if writer in _PRIMARY else len(_PRIMARY)
