"""Rows of series that recent requests have read, kept as long as the progress of their runs stays the same.

A flush writes `run_activity` after all rows of rollups and points. So what was read since a run had some progress holds
until it has another one. Retention changes the `SeriesInfo` of a series before it removes rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple, Self

from stepwell_query.cache import KNOWN_SECONDS, Cache
from stepwell_query.catalog.known_runs import KnownRuns
from stepwell_query.catalog.models import Activity, SeriesInfo
from stepwell_query.series.pages import Page, PageId
from stepwell_schemas.rules.identifiers import RunPath

# Of the memory for runs and rows.
_RUNS_SHARE: Final = 5


class SeriesVersion(NamedTuple):
    """A series as of some progress of its run, and the columns of its rows (`RowDecoder.columns`)."""

    run: RunPath
    activity: Activity
    info: SeriesInfo
    columns: tuple[bool, bool]


class RunRows(NamedTuple):
    """The known rows of some runs at their present progress."""

    known: KnownRows
    activity: Mapping[RunPath, Activity]


class KnownRows:
    """A cache of pages, of limited size and age. Thread-safe.

    Args:
        max_bytes: limit of all pages together; 0 keeps none.
        clock: returns seconds; the age of pages is measured with it.
    """

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._pages: Cache[tuple[SeriesVersion, PageId], Page] = Cache(
            max_bytes, lambda page: page.size, KNOWN_SECONDS, clock
        )

    def of(self, activity: Mapping[RunPath, Activity]) -> RunRows | None:
        """Return what is known of runs whose progress was read before this call; None if nothing is kept."""
        return RunRows(self, activity) if self._max_bytes else None

    def pages(self, series: SeriesVersion, pages: Iterable[PageId]) -> dict[PageId, Page]:
        """Return those of some pages of a series that are known."""
        found = self._pages.get_all((series, page) for page in pages)
        return {page: rows for (_, page), rows in found.items()}

    def keep(self, series: SeriesVersion, pages: Mapping[PageId, Page]) -> None:
        """Keep pages that were read after the series had its version."""
        self._pages.put_all({(series, page): rows for page, rows in pages.items()})


class Known(NamedTuple):
    """The caches of what recent requests have read of runs, and of the rows of their series."""

    runs: KnownRuns
    rows: KnownRows

    @classmethod
    def of_size(cls, max_bytes: int) -> Self:
        """Return caches of at most some bytes together, most of them for rows; 0 keeps nothing."""
        of_runs = max_bytes // _RUNS_SHARE
        return cls(KnownRuns(of_runs), KnownRows(max_bytes - of_runs))
