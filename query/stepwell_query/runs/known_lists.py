"""Pages of lists that recent requests have read, kept as long as their project stays the same.

A page is kept as the bytes of its answer, under the fingerprint of the project that was read before it. The states of
its runs depend on the time too: the answer counts while each is served in the same state.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from stepwell_query.cache import KNOWN_SECONDS, Cache
from stepwell_query.encoding import json_bytes
from stepwell_query.runs.fields import FIELDS, LAST_ACTIVITY, STATE
from stepwell_query.runs.filters.ast import Ref, Source
from stepwell_query.runs.fingerprint import Fingerprint, read_fingerprint
from stepwell_query.runs.known_details import KnownDetails, RunDetails
from stepwell_query.runs.list import RunsRequest, build_answer, read_list
from stepwell_query.shared_reads import SharedReads
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.run_states import served_state

_ENTRY_BYTES: Final = 1_000
_RUN_BYTES: Final = 150
_PROJECTS_MAX: Final = 10_000
_UNTRIED_MAX: Final = 7

_Project = tuple[str, str]
_Name = tuple[str, str, str]


class _Page(NamedTuple):
    """An answer; `signs` has the stored state and the time of the last sign of life of each run, `states` what they are
    served as in the answer.
    """

    fingerprint: Fingerprint
    signs: tuple[tuple[str, int], ...]
    states: tuple[str, ...]
    answer: bytes


class _Changes(NamedTuple):
    """The number of lookups in a row that found a changed project, and of requests that pass without a lookup."""

    found: int
    untried: int


class KnownLists:
    """A cache of limited size and age. Thread-safe.

    In a project that changes between any two requests, nothing is found, and a lookup is wasted work. After some that
    were, only one request of eight looks a page up.

    Args:
        max_bytes: limit of all entries together; 0 keeps none.
        clock: returns seconds; the age of entries is measured with it.
    """

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._keeps = max_bytes > 0
        self._pages: Cache[_Name, _Page] = Cache(max_bytes, _size, KNOWN_SECONDS, clock)
        self._changes: Cache[_Project, _Changes] = Cache(_PROJECTS_MAX, lambda _: 1, KNOWN_SECONDS, clock)
        self._fingerprints: SharedReads[tuple[str, str, tuple[Ref, ...]], Fingerprint] = SharedReads()

    def read(self, store: Store, entity: str, project: str, request: RunsRequest, known: KnownDetails) -> bytes:
        """Return a page of a project's runs as JSON; see `read_runs`, which also describes the errors."""
        refs = tuple(dict.fromkeys(request.refs))
        if not self._keeps or _depends_on_time(refs) or not self._may_be_same((entity, project)):
            return json_bytes(build_answer(read_list(store, entity, project, request, known), request))
        fingerprint = self._fingerprints.read(
            (entity, project, refs), lambda: read_fingerprint(store, entity, project, refs)
        )
        # As a text, since 1 and true are equal as parts of a filter.
        name = entity, project, repr(replace(request, alive_since=0))
        page = self._pages.get(name)
        if page is not None:
            self._count_change((entity, project), same=page.fingerprint == fingerprint)
            if page.fingerprint == fingerprint and page.states == _states(page.signs, request.alive_since):
                return page.answer
        read = read_list(store, entity, project, request, known)
        answer, signs = json_bytes(build_answer(read, request)), _signs(read.details)
        self._pages.put(name, _Page(fingerprint, signs, _states(signs, request.alive_since), answer))
        return answer

    def _may_be_same(self, project: _Project) -> bool:
        """Return whether to look a page up, and count a request that does not."""
        changes = self._changes.get(project)
        if changes is None or not changes.untried:
            return True
        self._changes.put(project, changes._replace(untried=changes.untried - 1))
        return False

    def _count_change(self, project: _Project, *, same: bool) -> None:
        """Count a lookup: after each one that found a change, twice as many requests pass before the next one."""
        before = self._changes.get(project)
        found = 0 if same else 1 if before is None else before.found + 1
        self._changes.put(project, _Changes(found, min(2**found - 1, _UNTRIED_MAX)))


def _depends_on_time(refs: Sequence[Ref]) -> bool:
    return any(ref.source is Source.FIELD and FIELDS[ref.name].depends_on_time for ref in refs)


def _signs(details: Sequence[RunDetails]) -> tuple[tuple[str, int], ...]:
    return tuple((run.metadata[STATE], run.metadata[LAST_ACTIVITY]) for run in details)


def _states(signs: Sequence[tuple[str, int]], alive_since: int) -> tuple[str, ...]:
    return tuple(served_state(stored, last_sign, alive_since) for stored, last_sign in signs)


def _size(page: _Page) -> int:
    return _ENTRY_BYTES + len(page.answer) + _RUN_BYTES * len(page.signs)
