"""The statements of rollups and points: one for few series, and never one that mixes points with and without FINAL."""

from __future__ import annotations

import re

import pytest

from stepwell_query.catalog.models import SeriesInfo
from stepwell_query.series.bucket_statements import BucketStatements
from stepwell_query.series.read_batches import ReadBatch
from stepwell_query.series.read_plan import ReadKind, SeriesRead
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind
from stepwell_schemas.rules.streams import DEFAULT

LAST = 99_999
STATEMENTS = BucketStatements(times=False, extremes=False)


def batch(series: int, *, low: int = 0, last: int = LAST, rewritten: tuple[int, ...] = ()) -> ReadBatch:
    """Return a batch of series `k0`, `k1` … of one run; those named in `rewritten` have steps written twice."""
    reads = [
        SeriesRead(
            RunPath("e", "p", "r"),
            SeriesInfo(f"k{number}", Kind.NUMBER, 0, last, last + 1, number in rewritten, DEFAULT),
            low, last, 7,
        )
        for number in range(series)
    ]  # fmt: skip
    return ReadBatch(reads, range(series))


def built(reads: ReadBatch) -> list[tuple[str, dict[str, object]]]:
    rollups, points = STATEMENTS.rolled(ReadKind.from_read(reads.reads[0]), reads)
    return [*rollups, *(statement for statement in points if statement)]


@pytest.mark.parametrize("series", [1, 12])
@pytest.mark.parametrize("low", [0, 50_001])
def test_few_series_have_one_statement(series: int, low: int) -> None:
    assert len(built(batch(series, low=low))) == 1


def test_many_series_have_a_statement_for_rollups_and_one_for_points() -> None:
    assert len(built(batch(1_000))) == 2


def test_points_with_and_without_steps_written_twice_are_never_mixed() -> None:
    statements = built(batch(2, rewritten=(1,)))
    assert len(statements) == 3
    assert [sql.count("FINAL") for sql, _ in statements] == [0, 0, 1]
    (together,) = built(batch(2, rewritten=(0, 1)))
    assert together[0].count("FINAL") == 1


def test_no_points_are_read_of_a_range_that_ends_with_closed_buckets() -> None:
    ((sql, _),) = built(batch(1, last=128 * 1_000 - 1 + 128 - 1))
    assert "points_number" in sql
    read = SeriesRead(
        RunPath("e", "p", "r"), SeriesInfo("k", Kind.NUMBER, 0, LAST, LAST + 1, False, DEFAULT), 0, 1_279, 7
    )
    ((sql, _),) = built(ReadBatch([read], [0]))
    assert "points_number" not in sql


@pytest.mark.parametrize("reads", [batch(1), batch(3, low=50_001), batch(40), batch(2, rewritten=(1,))])
def test_each_parameter_of_a_statement_has_a_value(reads: ReadBatch) -> None:
    for sql, named in built(reads):
        assert set(re.findall(r"\{(\w+):", sql)) <= named.keys() | reads.parameters().keys()


def of_lengths(*lasts: int, shift: int) -> ReadBatch:
    """Return a batch of series of one run with different last steps."""
    reads = [
        SeriesRead(
            RunPath("e", "p", "r"), SeriesInfo(f"k{last}", Kind.NUMBER, 0, last, last + 1, False, DEFAULT), 0, last,
            shift,
        )
        for last in lasts
    ]  # fmt: skip
    return ReadBatch(reads, range(len(reads)))


def test_series_of_different_lengths_are_read_together() -> None:
    ((sql, named),) = built(of_lengths(LAST, LAST - 300, shift=7))
    assert named["point_edges"]
    assert sql.count("UNION ALL") == 1


def test_the_ends_of_rollups_and_of_points_have_parameters_of_their_own() -> None:
    ((sql, named),) = built(of_lengths(LAST, LAST - 30_000, shift=12))
    assert re.findall(r"\{(\w+_edges):Array\((.+?)\)\}", sql) == [
        ("rollup_edges", "Tuple(UInt8, Int64)"),
        ("point_edges", "Tuple(Int64)"),
    ]
    assert [len(named[name][0]) for name in ("rollup_edges", "point_edges")] == [2, 1]  # type: ignore[index]
