"""The series of a run by columns: the same as dictionaries, whatever is forked, settled and evicted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stepwell_ingestor.planner.rollups.rows import ROW, UNKNOWN
from stepwell_ingestor.planner.running import last_of_each, running
from stepwell_ingestor.planner.series_columns import OpenRows, read_open_rows, read_totals
from stepwell_ingestor.planner.series_ledger import SeriesLedger
from stepwell_ingestor.planner.totals import NO_TOTALS, TOTALS, SeriesTotals

SHIFT = 3
names = st.tuples(st.sampled_from("abc"), st.sampled_from(["number", "string"]), st.sampled_from(["", "rank1"]))


class Change(NamedTuple):
    """The effect of a flush on some series: their last steps, and whether their open bucket is known after it."""

    series: dict[tuple[str, str, str], int]
    known: bool
    fate: str


changes = st.lists(
    st.builds(
        Change,
        st.dictionaries(names, st.integers(0, 40), min_size=1),
        st.booleans(),
        st.sampled_from(["settle", "settle", "drop", "evict before it settles", "evict", "keep on top"]),
    ),
    max_size=8,
)


def write(ledger: SeriesLedger, change: Change) -> None:
    """Write a change to a ledger, with a row for each open bucket whose `count` is the last step."""
    ids = {ledger.id_of(*series): step for series, step in change.series.items()}
    ordered = np.array(sorted(ids), np.int64)
    steps = np.array([ids[one] for one in ordered.tolist()], np.int64)
    totals = np.zeros(len(ids), TOTALS)
    totals["last_step"], totals["points"] = steps, 1
    rows = np.zeros(len(ids), ROW)
    rows["bucket"], rows["count"] = steps >> SHIFT, steps
    opened = {0: OpenRows(ordered, rows)} if change.known else {}
    ledger.write(ordered, totals, np.full(len(ids), change.known, np.uint8), opened)


def check(ledger: SeriesLedger, expected: dict[tuple[str, str, str], int], known: set[tuple[str, str, str]]) -> None:
    """Compare a ledger with the last steps of all series, and those whose open bucket is known."""
    assert dict(ledger) == {series: SeriesTotals(step, 1, 0, 0.0) for series, step in expected.items()}
    assert len(ledger) == len(expected)
    ledger = ledger.fork()  # `id_of` numbers new names
    everything = sorted({*expected, ("new", "number", "")}, key=lambda series: ledger.id_of(*series))
    ids = np.array([ledger.id_of(*series) for series in everything], np.int64)
    totals, there, levels = ledger.totals(ids)
    assert there.tolist() == [series in expected for series in everything]
    assert totals["last_step"].tolist() == [expected.get(series, NO_TOTALS.last_step) for series in everything]
    rows = read_open_rows([ledger.layers()], ids, np.array([len(ids)]), 0, totals["last_step"] >> SHIFT, levels)
    assert rows["bucket"].tolist() == [
        expected[series] >> SHIFT if series in known else UNKNOWN for series in everything
    ]
    assert rows["count"].tolist() == [expected[series] if series in known else 0 for series in everything]


@given(changes)
def test_a_ledger_is_what_its_settled_forks_have_written(drawn: list[Change]) -> None:
    ledger, expected, known = SeriesLedger(), dict[tuple[str, str, str], int](), set[tuple[str, str, str]]()
    base = ledger
    for change in drawn:
        size = base.bytes
        fork = ledger.fork()
        write(fork, change)
        after = expected | change.series
        known_after = known - change.series.keys() | (change.series.keys() if change.known else set())
        check(fork, after, known_after)
        if ledger is base:
            check(base, expected, known)
        if change.fate == "drop":
            continue
        if change.fate == "keep on top":
            ledger, expected, known = fork, after, known_after
            continue
        if change.fate == "evict before it settles" and ledger is base:
            base.forget_open_buckets()
            known_after = set()
        open_size = ledger.open_bytes
        added, opened = fork.settle()
        expected, known = after, known_after
        if ledger is base:
            assert (base.open_bytes - open_size) == opened
            assert (base.bytes - size) == added or change.fate == "evict before it settles"
        if change.fate == "evict" and ledger is base:
            base.forget_open_buckets()
            assert base.open_bytes == 0
            known = set()
        check(ledger, expected, known)


@given(
    st.lists(st.tuples(st.lists(changes, max_size=2), st.integers(0, 90)), min_size=1, max_size=5),
    st.lists(names, max_size=6, unique=True),
    st.data(),
)
def test_series_of_many_runs_are_read_as_those_of_each(
    drawn: list[tuple[list[list[Change]], int]], wanted: list[tuple[str, str, str]], data: st.DataObject
) -> None:
    ledgers = []
    for layers, more in drawn:
        ledger = SeriesLedger()
        if more:
            # More series than are read, so that the run is searched by itself.
            write(ledger, Change({(f"key{number}", "number", ""): number for number in range(more)}, True, ""))
        for layer in layers:
            ledger = ledger.fork()
            for change in layer:
                write(ledger, change)
        ledgers.append(ledger.fork())
    ids = [np.array(sorted(ledger.id_of(*series) for series in wanted), np.int64) for ledger in ledgers]
    ids = [own[: data.draw(st.integers(0, len(own)))] for own in ids]
    counts, joined = np.array([len(own) for own in ids]), np.concatenate(ids)
    together = read_totals([ledger.layers() for ledger in ledgers], joined, counts)
    alone = [ledger.totals(own) for ledger, own in zip(ledgers, ids, strict=True)]
    for column, of_runs in zip(together, zip(*alone, strict=True), strict=True):
        assert column.tolist() == np.concatenate(of_runs).tolist()
    totals, _, levels = together
    rows = read_open_rows([one.layers() for one in ledgers], joined, counts, 0, totals["last_step"] >> SHIFT, levels)
    expected = [
        read_open_rows([ledger.layers()], own, np.array([len(own)]), 0, totals["last_step"] >> SHIFT, levels)
        for ledger, own, (totals, _, levels) in zip(ledgers, ids, alone, strict=True)
    ]
    assert rows.tolist() == np.concatenate(expected).tolist()


def test_a_loaded_ledger_knows_no_open_buckets() -> None:
    ledger = SeriesLedger.from_totals(
        {("b", "number", ""): SeriesTotals(9, 2, 1, 0.5), ("a", "string", "w"): NO_TOTALS}
    )
    assert dict(ledger) == {("b", "number", ""): SeriesTotals(9, 2, 1, 0.5), ("a", "string", "w"): NO_TOTALS}
    assert ledger.open_bytes == 0
    assert ("b", "string", "") not in ledger


def test_a_series_takes_less_than_300_bytes() -> None:
    ledger = SeriesLedger()
    write(ledger, Change({(f"key{number}", "number", ""): number for number in range(1_000)}, True, ""))
    assert ledger.bytes < 250 * 1_000


floats = st.floats() | st.sampled_from([0.1, 1e16, -1e16, 1e308])


@given(st.lists(st.lists(floats, min_size=1, max_size=9), min_size=1, max_size=9), st.data())
def test_values_are_added_one_after_the_other(runs: list[list[float]], data: st.DataObject) -> None:
    begun = data.draw(st.lists(floats, min_size=len(runs), max_size=len(runs)))
    starts = np.cumsum([0, *(len(run) for run in runs[:-1])])
    before, total = running(np.add, np.array(begun), np.concatenate(runs), starts)
    expected = []
    for first, run in zip(begun, runs, strict=True):
        for value in run:
            expected.append(first)
            first += value
    results = []
    for first, run in zip(begun, runs, strict=True):
        for value in run:
            first += value
        results.append(first)
    assert repr(before.tolist()) == repr(expected)
    assert repr(total.tolist()) == repr(results)


@given(st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=6), min_size=1))
def test_the_last_value_is_at_the_greatest_step_and_version(runs: list[list[tuple[int, int]]]) -> None:
    starts = np.cumsum([0, *(len(run) for run in runs[:-1])])
    steps, versions = (np.array([pair[part] for run in runs for pair in run]) for part in (0, 1))
    found = last_of_each(steps, versions.astype(np.uint64), starts) - starts
    assert found.tolist() == [max(range(len(run)), key=lambda place: (run[place], place)) for run in runs]
