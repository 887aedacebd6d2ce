"""Tallies: the same for the same records however they travel, another one for anything else."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stepwell_ingestor.verify.session_digest import SessionTally, Tallies, Tally
from stepwell_schemas.events.models import Block, LogBatch, RunStarted
from stepwell_schemas.rules.kinds import Kind
from stepwell_schemas.rules.steps import COMMIT_DEFAULT, NO_STEP

_RUN = {"entity": "e", "project": "p", "run_id": "r", "session": "s"}
_ROWS = 20

_VALUES = {
    "number": st.floats(),
    "bool": st.booleans(),
    "string": st.text(max_size=3),
}
_CELLS = st.sampled_from(sorted(_VALUES)).flatmap(lambda kind: st.tuples(st.just(kind), _VALUES[kind]))
_RECORDS = st.lists(st.dictionaries(st.sampled_from("abc"), _CELLS, max_size=3), max_size=_ROWS)
_CUTS = st.lists(st.integers(0, _ROWS), max_size=4)

Records = list[dict[str, tuple[str, Any]]]


def a_block(row: int, key: str, kind: str, value: Any) -> Block:
    """Return a block of one value."""
    rows = np.array([row], "<u4").tobytes()
    if kind == "number":
        return Block(kind=Kind.NUMBER, keys=[key], rows=rows, packed=np.array([value], "<f8").tobytes())
    if kind == "bool":
        return Block(kind=Kind.BOOL, keys=[key], rows=rows, packed=bytes([value]))
    return Block(kind=Kind.STRING, keys=[key], rows=rows, texts=[value])


def a_batch(records: Records, first: int, *, turned: bool = False) -> LogBatch:
    """Return records as a batch, a block for each value; `turned`: the blocks in the opposite order."""
    blocks = [a_block(row, key, *cell) for row, record in enumerate(records) for key, cell in record.items()]
    return LogBatch(
        **_RUN,
        sequence=first,
        rows=len(records),
        timestamps=(1_000 + first + np.arange(len(records), dtype="<i8")).tobytes(),
        blocks=blocks[::-1] if turned else blocks,
    )


def pieces(records: Records, places: Sequence[int], *, turned: bool = False) -> list[LogBatch]:
    """Return records as batches cut at some places."""
    ends = sorted({min(place, len(records)) for place in places} | {0, len(records)})
    return [a_batch(records[start:end], start, turned=turned) for start, end in pairwise(ends)]


def tallied(batches: Sequence[LogBatch], end: int = _ROWS) -> SessionTally:
    """Return the tally of batches in their order."""
    tally = SessionTally(end)
    for batch in batches:
        tally.add(batch)
    return tally


@given(_RECORDS, _CUTS, _CUTS)
def test_how_records_are_cut_and_ordered_makes_no_difference(records: Records, one: list[int], two: list[int]) -> None:
    assert tallied(pieces(records, one)).tallies == tallied(pieces(records, two, turned=True)).tallies


@given(_RECORDS, _CUTS, _CUTS)
def test_what_comes_twice_counts_once(records: Records, one: list[int], two: list[int]) -> None:
    once = tallied(pieces(records, one))
    assert tallied(pieces(records, one) + pieces(records, two)) == once


@given(_RECORDS, _CUTS, _CUTS, st.permutations(range(12)))
@example([{"a": ("number", float(row))} for row in range(4)], [1, 2, 3], [], [*range(2, 12), 0, 1])
def test_records_that_arrive_late_count_once_too(
    records: Records, one: list[int], two: list[int], order: list[int]
) -> None:
    batches = pieces(records, one) + pieces(records, two)
    tally, in_order = tallied([batches[at] for at in order if at < len(batches)]), tallied(pieces(records, one))
    assert tally.all_tallies() == in_order.tallies
    assert tally.following == in_order.following
    first = 0 if tally.first is None else tally.first
    after = [a_batch(records[first:], first)] if first < len(records) else []
    assert tally.tallies == tallied(after).tallies, "records before the one that arrived first are kept apart"


@given(_RECORDS, _CUTS, st.integers(0, _ROWS))
def test_what_lies_behind_the_end_is_left_out(records: Records, cuts: list[int], end: int) -> None:
    clipped = tallied(pieces(records, cuts), end)
    assert clipped.tallies == tallied(pieces(records[:end], cuts)).tallies
    assert clipped.following == min(end, len(records))


def two_numbers(values: Sequence[float] = (1.0, 2.0), **changes: Any) -> Tallies:
    """Return the tally of a key's values in two rows."""
    packed = np.array(values, "<f8").tobytes()
    fields: dict[str, Any] = {
        **_RUN,
        "sequence": 0,
        "rows": 2,
        "timestamps": np.array([10, 20], "<i8").tobytes(),
        "blocks": [Block(kind=Kind.NUMBER, keys=["a"], packed=packed)],
    }
    return tallied([LogBatch(**fields | changes)]).tallies


@pytest.mark.parametrize(
    "other",
    [
        two_numbers((2.0, 1.0)),
        two_numbers((1.0, np.nextafter(2.0, 3.0))),
        two_numbers((1.0, float("nan"))),
        two_numbers(timestamps=np.array([10, 21], "<i8").tobytes()),
        two_numbers(steps=np.array([0, 1], "<i8").tobytes()),
        two_numbers(commits=bytes([0, COMMIT_DEFAULT])),
        two_numbers(
            blocks=[
                Block.model_validate(
                    {
                        "kind": "number",
                        "keys": ["a"],
                        "packed": np.array([1.0, 2.0]).tobytes(),
                        "exact": [{"index": 1, "text": "2"}],
                    }
                )
            ]
        ),
    ],
    ids=["swapped", "one bit", "NaN", "time", "asked step", "commit", "exact"],
)
def test_any_change_shows(other: Tallies) -> None:
    assert other[("a", "number")].points == 2
    assert other != two_numbers()


def test_no_step_asked_for_is_the_same_however_it_is_written() -> None:
    plain = np.full(2, NO_STEP).astype("<i8").tobytes()
    assert two_numbers(steps=plain, commits=bytes([COMMIT_DEFAULT] * 2)) == two_numbers()


def test_zero_and_minus_zero_differ_and_one_nan_is_itself() -> None:
    assert two_numbers((0.0, 1.0)) != two_numbers((-0.0, 1.0))
    assert two_numbers((float("nan"), 1.0)) == two_numbers((float("nan"), 1.0))


def test_a_gap_shows_and_other_events_have_a_number_too() -> None:
    records: Records = [{"a": ("number", 1.0)} for _ in range(4)]
    started = RunStarted(**_RUN, sequence=0)
    tally = SessionTally(_ROWS)
    for event in (RunStarted(**_RUN), started, a_batch(records[:1], 1), a_batch(records[:1], 3)):
        tally.add(event)
    assert (tally.first, tally.following, tally.tallies[("a", "number")].points) == (0, 4, 2)


def test_a_block_with_rows_that_are_not_there_is_left_out() -> None:
    outside = a_block(7, "a", "number", 1.0)
    batch = a_batch([{"b": ("number", 1.0)}], 0)
    assert list(tallied([batch.model_copy(update={"blocks": [outside, *batch.blocks]})]).tallies) == [("b", "number")]


def test_digests_add_up_within_64_bits() -> None:
    high = Tally(1, 2**64 - 1)
    assert high.plus(Tally(2, 3)) == Tally(3, 2)
