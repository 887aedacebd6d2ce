"""Documents and series of runs that recent requests have read, kept as long as the runs' progress stays the same.

A zoom requests the same series as the view before it. A flush writes `run_activity` after a run's document and series,
so what was read since a run had some progress holds until it has another one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from stepwell_query.cache import KNOWN_SECONDS, Cache
from stepwell_query.catalog.models import Activity, Document, SeriesByKey, SeriesInfo
from stepwell_query.catalog.series import find_series, read_documents_and_series
from stepwell_query.catalog.writers import WriterSelection
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath

_ENTRY_BYTES: Final = 1_000
_SERIES_BYTES: Final = 300

_Name = tuple[RunPath, Activity, tuple[str, ...], WriterSelection, bool]


class _Known(NamedTuple):
    document: Document | None
    series: Mapping[str, list[SeriesInfo]]


def _size(known: _Known) -> int:
    return _ENTRY_BYTES + _SERIES_BYTES * (len(known.series) + sum(map(len, known.series.values())))


class KnownRuns:
    """A cache of limited size and age. Thread-safe.

    Args:
        max_bytes: limit of all entries together; 0 keeps none.
        clock: returns seconds; the age of entries is measured with it.
    """

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._entries: Cache[_Name, _Known] = Cache(max_bytes, _size, KNOWN_SECONDS, clock)

    def read(
        self,
        store: Store,
        runs: Sequence[RunPath],
        activity: Mapping[RunPath, Activity],
        keys: Iterable[str],
        writers: WriterSelection,
        *,
        documents: bool,
    ) -> tuple[dict[RunPath, Document], SeriesByKey]:
        """Return the series of each run with each key (see `find_series`), and the documents if requested.

        Args:
            activity: the progress of each run, read before this call; runs without it are always read.

        Raises:
            StoreError: when ClickHouse does not answer.
        """
        requested = tuple(dict.fromkeys(keys))
        names = {run: (run, activity[run], requested, writers, documents) for run in runs if run in activity}
        entries = self._entries.get_all(names.values())
        known = {run: entries[name] for run, name in names.items() if name in entries}
        missing = [run for run in runs if run not in known]
        if missing:
            found: dict[RunPath, Document] = {}
            if documents:
                found, series = read_documents_and_series(store, missing, requested, writers)
            else:
                series = find_series(store, missing, requested, writers)
            for run in missing:
                known[run] = _Known(found.get(run), series[run])
            self._entries.put_all({names[run]: known[run] for run in missing if run in names})
        return (
            {run: document for run in runs if (document := known[run].document) is not None},
            {run: dict(known[run].series) for run in runs},
        )
