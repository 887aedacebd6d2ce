"""The cache of run states, bounded in bytes over all partitions of an ingestor.

Eviction is least recently used first. Open rollup buckets, which can be computed from stored points, are evicted once
those of all runs exceed a quarter of the limit. Beyond the limit, whole states are evicted; they can be loaded again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from stepwell_ingestor.planner.run_state import RunState
from stepwell_schemas.rules.identifiers import RunPath

_OPEN_SHARE: Final = 4


class StateMemory:
    """The cached states of all partitions of an ingestor, and their size in bytes."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._states: dict[tuple[StateCache, RunPath], RunState] = {}
        self._counted: dict[tuple[StateCache, RunPath], tuple[int, int]] = {}
        # The entries with open buckets, in the same order.
        self._opened: dict[tuple[StateCache, RunPath], None] = {}
        self.bytes = 0
        self._open_bytes = 0

    def cache(self) -> StateCache:
        """Return a cache for one partition, for the time it is assigned."""
        return StateCache(self)

    def get(self, cache: StateCache, path: RunPath) -> RunState | None:
        """Return a cached state, or None."""
        return self._states.get((cache, path))

    def put(self, cache: StateCache, path: RunPath, state: RunState) -> None:
        """Cache a state as the most recently used one."""
        place = (cache, path)
        self.drop(place)
        self._states[place] = state
        self._count(place, state.bytes, state.open_bytes)

    def evict(self) -> None:
        """Evict entries until the limits are met."""
        while self._open_bytes * _OPEN_SHARE > self._limit:
            place = next(iter(self._opened))
            self._states[place].forget_open_buckets()
            self._count(place, self._states[place].bytes, 0)
        while self.bytes > self._limit:
            self.drop(next(iter(self._states)))

    def drop_all(self, cache: StateCache) -> None:
        """Remove all states of a partition's cache."""
        for place in [place for place in self._states if place[0] is cache]:
            self.drop(place)

    def drop(self, place: tuple[StateCache, RunPath]) -> None:
        """Remove a state, if it is cached."""
        self._count(place, 0, 0)
        self._states.pop(place, None)
        self._counted.pop(place, None)

    def _count(self, place: tuple[StateCache, RunPath], size: int, open_size: int) -> None:
        known, known_open = self._counted.get(place, (0, 0))
        self._counted[place] = size, open_size
        self.bytes += size - known
        self._open_bytes += open_size - known_open
        self._opened.pop(place, None)
        if open_size:
            self._opened[place] = None


class StateCache:
    """The cached states of one partition's runs; a partition that is assigned again gets a new cache."""

    def __init__(self, memory: StateMemory) -> None:
        self._memory = memory
        self._closed = False

    def known(self, paths: Iterable[RunPath]) -> dict[RunPath, RunState]:
        """Return the cached states among some runs."""
        found = {path: self._memory.get(self, path) for path in paths}
        return {path: state for path, state in found.items() if state is not None}

    def put(self, states: Mapping[RunPath, RunState]) -> None:
        """Cache the states after a flush as the most recently used ones."""
        for path, state in states.items():
            settled = state.settle()
            if not self._closed:
                self._memory.put(self, path, settled)
        self._memory.evict()

    def close(self) -> None:
        """Remove all states, and ignore those that a flush in progress puts later."""
        self._closed = True
        self._memory.drop_all(self)
