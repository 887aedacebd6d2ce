"""The run states that an ingestor keeps in memory, bounded in bytes over all of its partitions.

The least recently used ones go first: of them the open buckets of rollups, which can be computed from what is stored,
as soon as those of all runs take more than a quarter of the bound; then whole states, which can be loaded again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from stepwell_ingestor.planner.run_state import RunState
from stepwell_schemas.rules.identifiers import RunPath

_OPEN_SHARE: Final = 4


class StateMemory:
    """The states of all partitions of an ingestor, and how many bytes they take."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._states: dict[tuple[StateCache, RunPath], RunState] = {}
        self._counted: dict[tuple[StateCache, RunPath], tuple[int, int]] = {}
        # Those that have open buckets, in the same order.
        self._opened: dict[tuple[StateCache, RunPath], None] = {}
        self.bytes = 0
        self._open_bytes = 0

    def cache(self) -> StateCache:
        """Return a cache for one partition, for as long as it is owned."""
        return StateCache(self)

    def get(self, cache: StateCache, path: RunPath) -> RunState | None:
        """Return a state that is here."""
        return self._states.get((cache, path))

    def put(self, cache: StateCache, path: RunPath, state: RunState) -> None:
        """Keep a state, as the most recently used one."""
        place = (cache, path)
        self.drop(place)
        self._states[place] = state
        self._count(place, state.bytes, state.open_bytes)

    def evict(self) -> None:
        """Let go of what is beyond the bound."""
        while self._open_bytes * _OPEN_SHARE > self._limit:
            place = next(iter(self._opened))
            self._states[place].forget_open_buckets()
            self._count(place, self._states[place].bytes, 0)
        while self.bytes > self._limit:
            self.drop(next(iter(self._states)))

    def drop_all(self, cache: StateCache) -> None:
        """Let go of what a cache holds."""
        for place in [place for place in self._states if place[0] is cache]:
            self.drop(place)

    def drop(self, place: tuple[StateCache, RunPath]) -> None:
        """Let go of a state, if it is here."""
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
    """The states of one partition's runs; a partition that is owned again begins with a new one."""

    def __init__(self, memory: StateMemory) -> None:
        self._memory = memory
        self._closed = False

    def known(self, paths: Iterable[RunPath]) -> dict[RunPath, RunState]:
        """Return the states that are here, of the runs asked for."""
        found = {path: self._memory.get(self, path) for path in paths}
        return {path: state for path, state in found.items() if state is not None}

    def put(self, states: Mapping[RunPath, RunState]) -> None:
        """Keep the states that a flush left, as the most recently used ones."""
        for path, state in states.items():
            settled = state.settle()
            if not self._closed:
                self._memory.put(self, path, settled)
        self._memory.evict()

    def close(self) -> None:
        """Let go of everything, also of what a flush that is under way would put."""
        self._closed = True
        self._memory.drop_all(self)
