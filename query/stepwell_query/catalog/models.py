"""Metadata of runs and their series that is read before any value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stepwell_query.catalog.writers import PRIMARY, WriterSelection
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind
from stepwell_schemas.rules.metric_definitions import Definition
from stepwell_schemas.rules.streams import DEFAULT
from stepwell_schemas.rules.writers import UNNAMED, writer_order


@dataclass(frozen=True, slots=True)
class Activity:
    """The stored extent of a run: counts, and extremes over its flushes. Every flush changes at least one of them.

    `rebuilt_at` is the time of its last rebuild in seconds since the epoch, 0 if there was none.
    """

    step: int
    offset: int
    log_rows: int
    points: int
    first_ms: int
    last_ms: int
    rebuilt_at: int = 0


@dataclass(frozen=True, slots=True)
class Document:
    """The part of a run's document that views need."""

    created_ms: int
    definitions: Sequence[Definition]


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a run: its last step and the last Kafka offset whose rows can be read (-1: none yet).

    `started_ms` is the begin of the run, in milliseconds since the epoch: the zero of `_runtime`.
    """

    step: int
    offset: int
    log_rows: int
    started_ms: int

    def as_json(self) -> dict[str, int]:
        """Return the `complete_to` of an answer."""
        return {"step": self.step, "offset": self.offset}


@dataclass(frozen=True, slots=True)
class SeriesInfo:
    """One metric of a run: a key with a kind, as one writer logged it.

    `rows` is exact unless `rewritten`, when it is an upper bound. `stream` is DEFAULT for what the run itself logged,
    otherwise the side stream. `writers` is the number of writers that logged the key. Values below `raw_from` may be
    removed by retention, and buckets below `curves_from`; 0 for media values.
    """

    key: str
    kind: Kind
    first: int
    last: int
    rows: int
    rewritten: bool
    stream: str = DEFAULT
    writer: str = UNNAMED
    writers: int = 1
    raw_from: int = 0
    curves_from: int = 0

    @property
    def has_rows_from(self) -> int:
        """The first step at which the series has rows: values below it are removed."""
        return max(self.first, self.raw_from)

    @property
    def is_drawn_from(self) -> int:
        """The first step of its curve; numbers have one of buckets where their rows are removed."""
        return max(self.first, self.curves_from if self.kind is Kind.NUMBER else self.raw_from)

    @property
    def removed_to(self) -> int:
        """The step below which it had rows that are removed, 0 if it has lost none."""
        return self.raw_from if self.first < self.raw_from else 0


SeriesByKey = dict[RunPath, dict[str, list[SeriesInfo]]]
"""The series of each run by requested key, one for each kind and selected writer."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The series that a request for rows selects.

    If the request named keys (`named`), rows must have all of them; `unknown` lists those without a metric. Otherwise
    the series are all of one stream. For the run's own stream, the tables also hold the keys `others`, to be left out.
    `of` has the selected writers.
    """

    series: list[SeriesInfo]
    unknown: list[str]
    named: bool
    others: list[str]
    stream: str = DEFAULT
    of: WriterSelection = PRIMARY

    @property
    def keys(self) -> list[str]:
        """The keys of the series, each once."""
        return list(dict.fromkeys(info.key for info in self.series))

    @property
    def columns(self) -> list[SeriesInfo]:
        """The first series of each key and kind."""
        first: dict[tuple[str, Kind], SeriesInfo] = {}
        for info in self.series:
            first.setdefault((info.key, info.kind), info)
        return list(first.values())

    @property
    def writers(self) -> list[str]:
        """The writers of the series, each once, in order."""
        return sorted({info.writer for info in self.series}, key=writer_order)

    @property
    def of_several(self) -> bool:
        """True if several writers were selected and their values are distinguished."""
        return not self.of.is_primary and len(self.writers) > 1

    @property
    def shared(self) -> frozenset[str]:
        """The keys that several of the selected writers logged."""
        writers: dict[str, set[str]] = {}
        for info in self.series:
            writers.setdefault(info.key, set()).add(info.writer)
        return frozenset(key for key, names in writers.items() if len(names) > 1)

    @property
    def other_writers(self) -> dict[str, int]:
        """The number of writers of each key that are not selected, where there are any."""
        selected: dict[str, set[str]] = {}
        for info in self.series:
            selected.setdefault(info.key, set()).add(info.writer)
        numbers = {info.key: info.writers - len(selected[info.key]) for info in self.series}
        return {key: number for key, number in numbers.items() if number}
