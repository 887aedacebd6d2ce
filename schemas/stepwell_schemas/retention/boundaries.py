"""The steps from which runs have their rows, as readers need them.

Nearly all projects have lost nothing. Readers therefore know the projects that have, and look up boundaries of their
runs only. A boundary is recorded some time before rows are deleted (`retention_settle_seconds`), so that readers know
it by then.
"""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

import time
from collections.abc import Sequence
from threading import Lock
from typing import Final, NamedTuple
from weakref import WeakKeyDictionary

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.clickhouse.tables import RUNS_CONDITION
from stepwell_schemas.rules.identifiers import RunPath

KNOWN_SECONDS: Final = 5.0
"""Seconds for which a reader knows the projects with boundaries."""

_PROJECTS: Final = "SELECT DISTINCT entity, project FROM {db}.retained_steps WHERE raw_from > 0"
_BOUNDARIES: Final = (
    "SELECT entity, project, run_id, writer, max(raw_from) AS raw, max(curves_from) AS curves"
    f" FROM {{db}}.retained_steps WHERE {RUNS_CONDITION} GROUP BY entity, project, run_id, writer"
    " HAVING raw > 0 ORDER BY ALL"
)


class Boundary(NamedTuple):
    """The steps from which a writer has all its values, and from which it has curves; 0: nothing is gone."""

    raw_from: int = 0
    curves_from: int = 0


class _Known(NamedTuple):
    until: float
    projects: frozenset[tuple[str, str]]


_known: WeakKeyDictionary[Store, _Known] = WeakKeyDictionary()
_lock: Final = Lock()


def read_boundaries(store: Store, runs: Sequence[RunPath]) -> dict[RunPath, dict[str, Boundary]]:
    """Return the boundaries of those runs that have any. Raises: StoreError."""
    projects = _projects(store)
    some = [run for run in runs if (run.entity, run.project) in projects]
    found: dict[RunPath, dict[str, Boundary]] = {}
    if not some:
        return found
    for row in store.query(_BOUNDARIES, {"runs": [tuple(run) for run in some]}).to_pylist():
        run = RunPath(row["entity"], row["project"], row["run_id"])
        found.setdefault(run, {})[row["writer"]] = Boundary(row["raw"], row["curves"])
    return found


def forget_projects(store: Store) -> None:
    """Forget which projects have boundaries, so that the next read looks again."""
    with _lock:
        _known.pop(store, None)


def _projects(store: Store) -> frozenset[tuple[str, str]]:
    now = time.monotonic()
    with _lock:
        known = _known.get(store)
    if known is None or known.until <= now:
        rows = store.query(_PROJECTS).to_pylist()
        known = _Known(now + KNOWN_SECONDS, frozenset((row["entity"], row["project"]) for row in rows))
        with _lock:
            _known[store] = known
    return known.projects
