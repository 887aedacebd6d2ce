"""The progress of one run, read as rows, is that of many runs, which ClickHouse aggregates."""

from __future__ import annotations

import numpy as np
import pytest

from stepwell_query.catalog.progress import read_activity
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.points import RunWriter

ONE, OTHER, NONE = (RunPath("me", "activity", name) for name in ("one", "other", "none"))


@pytest.mark.parametrize("merged", [False, True])
def test_one_run_has_the_progress_that_it_has_among_many(store: Store, merged: bool) -> None:
    for number, run in enumerate((ONE, OTHER)):
        writer = RunWriter(store, run).document()
        # The first steps last: a later flush does not have the greater steps and times.
        for first in (50, 200, 0):
            writer.numbers("loss", range(first, first + 10 + number), np.arange(10.0 + number))
    if merged:
        store.command("OPTIMIZE TABLE {db}.run_activity FINAL")
    many = read_activity(store, [ONE, OTHER, NONE])
    assert many.keys() == {ONE, OTHER}
    assert read_activity(store, [ONE]) == {ONE: many[ONE]}
    assert read_activity(store, [OTHER]) == {OTHER: many[OTHER]}
    assert many[ONE] != many[OTHER]


def test_a_run_without_rows_has_no_progress(store: Store) -> None:
    assert read_activity(store, [NONE]) == {}
    assert read_activity(store, []) == {}
