"""Metadata and summaries of runs that recent lists have read, kept as long as the runs stay the same.

A list reads the version of each run's document with the ids of its page. The details of a run follow from its document
and from what it logged. A flush writes the activity of a run last, so details that were read since an activity hold
until there is another one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from stepwell_query.cache import KNOWN_SECONDS, Cache
from stepwell_query.encoding import NotFinite
from stepwell_query.runs.fields import LAST_ACTIVITY, STATE
from stepwell_query.runs.metadata import RunMetadata, read_marks, read_metadata
from stepwell_query.runs.summary_reader import Summary, read_summaries
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.run_states import served_state

_ENTRY_BYTES: Final = 4_000
_VALUE_BYTES: Final = 250
# Details are kept with the stored state, which does not depend on the time.
_ALWAYS_ALIVE: Final = 0

_Name = tuple[str, str, str, NotFinite, tuple[str, ...] | None]


class RunDetails(NamedTuple):
    """The metadata of a run, and its summary of the requested metrics."""

    metadata: RunMetadata
    summary: Summary

    def served(self, alive_since: int) -> RunDetails:
        """Return the details with the state that is served at a time (`rules.run_states`)."""
        state = served_state(self.metadata[STATE], self.metadata[LAST_ACTIVITY], alive_since)
        return self if state == self.metadata[STATE] else self._replace(metadata={**self.metadata, STATE: state})


def _size(details: RunDetails) -> int:
    texts = sum(len(details.metadata[name]) for name in ("config", "summary", "metric_definitions"))
    return _ENTRY_BYTES + texts + _VALUE_BYTES * len(details.summary)


class KnownDetails:
    """A cache of limited size and age. Thread-safe.

    Args:
        max_bytes: limit of all entries together; 0 keeps none.
        clock: returns seconds; the age of entries is measured with it.
    """

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._entries: Cache[_Name, RunDetails] = Cache(max_bytes, _size, KNOWN_SECONDS, clock)

    def read(
        self,
        store: Store,
        entity: str,
        project: str,
        versions: Mapping[str, int],
        not_finite: NotFinite = NotFinite.TEXT,
        keys: Sequence[str] | None = None,
    ) -> list[RunDetails]:
        """Return the details of a project's runs with their stored states; unknown runs are left out.

        Args:
            versions: the versions of the runs' documents by run id, read before this call, in the order of the result.
            keys: the metrics to summarize, as they are stored; None: all.

        Raises:
            StoreError: when ClickHouse does not answer.
        """
        metrics = None if keys is None else tuple(keys)
        names: dict[str, _Name] = {run_id: (entity, project, run_id, not_finite, metrics) for run_id in versions}
        known = self._find_valid(store, names, versions)
        missing = [run_id for run_id in versions if run_id not in known]
        documents = read_metadata(store, entity, project, missing, _ALWAYS_ALIVE)
        summaries = read_summaries(store, documents, not_finite, keys)
        read = {row["run_id"]: RunDetails(row, summaries[row["run_id"]]) for row in documents}
        self._entries.put_all({names[run_id]: details for run_id, details in read.items()})
        known |= read
        return [known[run_id] for run_id in versions if run_id in known]

    def _find_valid(
        self, store: Store, names: Mapping[str, _Name], versions: Mapping[str, int]
    ) -> dict[str, RunDetails]:
        """Return the entries of runs whose document and activity are still the same."""
        found = self._entries.get_all(names.values())
        same = {
            run_id: found[name]
            for run_id, name in names.items()
            if name in found and found[name].metadata["version"] == versions[run_id]
        }
        if not same:
            return {}
        entity, project, *_ = next(iter(names.values()))
        marks = read_marks(store, entity, project, list(same))
        return {run_id: entry for run_id, entry in same.items() if entry.metadata["mark"] == marks.get(run_id)}
