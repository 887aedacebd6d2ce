"""The memory of what recent requests have read of runs: read again when a run has progressed, and after some time."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from stepwell_query.catalog.known_runs import KnownRuns
from stepwell_query.catalog.models import Activity
from stepwell_query.catalog.writers import EVERY, PRIMARY
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.limits import MIB
from stepwell_schemas.rules.identifiers import RunPath

ONE, OTHER = RunPath("e", "p", "one"), RunPath("e", "p", "other")
PROGRESS = Activity(9, 5, 10, 10, 0, 1)


class Tables(Store):
    """A store whose runs have the number `loss`, up to the step `reached`; it notes the runs of each statement."""

    def __init__(self) -> None:
        self.asked: list[list[RunPath]] = []
        self.reached = 9

    def query(self, sql: str, parameters: Any = None) -> pa.Table:
        runs = [RunPath(*run) for run in parameters["runs"]]
        self.asked.append(runs)
        if "run_documents" in sql:
            return _columns(runs, created_ms=7, metric_definitions="[]")
        if "key_spellings" in sql:
            return pa.table({})
        return _columns(
            runs, key="loss", kind="number", writer="", first=0, last=self.reached, rows=10, rewritten=0, stream="",
            first_version=1,
        )  # fmt: skip

    def queries(self, statements: Any) -> list[pa.Table]:
        return [self.query(*statement) for statement in statements]


def _columns(runs: list[RunPath], **values: Any) -> pa.Table:
    return pa.Table.from_pylist([run._asdict() | values for run in runs])


def test_series_are_read_once_while_their_run_has_the_same_progress() -> None:
    store, known = Tables(), KnownRuns(MIB)
    activity = {ONE: PROGRESS}
    first = known.read(store, [ONE], activity, ["loss"], PRIMARY, documents=True)
    assert first[0][ONE].created_ms == 7
    assert [info.last for info in first[1][ONE]["loss"]] == [9]
    assert known.read(store, [ONE], activity, ["loss"], PRIMARY, documents=True) == first
    assert store.asked == [[ONE], [ONE]], "documents and series, once"
    store.reached = 20
    _, series = known.read(store, [ONE], {ONE: Activity(20, 6, 21, 21, 0, 2)}, ["loss"], PRIMARY, documents=True)
    assert [info.last for info in series[ONE]["loss"]] == [20]


def test_only_runs_that_are_not_known_are_read() -> None:
    store, known = Tables(), KnownRuns(MIB)
    known.read(store, [ONE], {ONE: PROGRESS}, ["loss"], PRIMARY, documents=False)
    _, series = known.read(store, [ONE, OTHER], {ONE: PROGRESS}, ["loss"], PRIMARY, documents=False)
    assert list(series) == [ONE, OTHER]
    assert store.asked == [[ONE], [OTHER]]
    # Without progress, nothing tells whether it has changed.
    known.read(store, [OTHER], {ONE: PROGRESS}, ["loss"], PRIMARY, documents=False)
    assert store.asked[2:] == [[OTHER]]


def test_other_keys_and_writers_are_other_requests() -> None:
    store, known = Tables(), KnownRuns(MIB)
    for keys, writers in ((["loss"], PRIMARY), (["loss"], EVERY), (["loss", "loss"], PRIMARY), (["acc"], PRIMARY)):
        known.read(store, [ONE], {ONE: PROGRESS}, keys, writers, documents=False)
    assert len([runs for runs in store.asked if runs]) == 4, "primary, every, and `acc` with its spellings"


def test_what_is_known_is_forgotten_after_a_while() -> None:
    now = [0.0]
    store, known = Tables(), KnownRuns(MIB, lambda: now[0])
    known.read(store, [ONE], {ONE: PROGRESS}, ["loss"], PRIMARY, documents=False)
    now[0] = 29.0
    known.read(store, [ONE], {ONE: PROGRESS}, ["loss"], PRIMARY, documents=False)
    assert len(store.asked) == 1
    now[0] = 31.0
    known.read(store, [ONE], {ONE: PROGRESS}, ["loss"], PRIMARY, documents=False)
    assert len(store.asked) == 2


def test_nothing_is_kept_without_memory_for_it() -> None:
    store, known = Tables(), KnownRuns(0)
    for _ in range(2):
        known.read(store, [ONE], {ONE: PROGRESS}, ["loss"], PRIMARY, documents=False)
    assert len(store.asked) == 2
