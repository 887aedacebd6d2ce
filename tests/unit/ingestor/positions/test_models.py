"""Positions, plans, boundaries and checksums."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from stepwell_ingestor.kafka.log_metadata import LogIdentity
from stepwell_ingestor.log_watch import is_replaced
from stepwell_ingestor.messages import Message
from stepwell_ingestor.positions.checksums import boundary_after, record_checksum, records_checksum
from stepwell_ingestor.positions.models import Boundary, LogPosition, PlanMark, parse_plan, thin_out
from stepwell_ingestor.positions.stored import position_row

LOG = LogIdentity("cluster", "id", 2)


@given(st.integers(0, 2**44), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_a_plan_is_read_as_it_was_written(end: int, checksum: int, epoch: int) -> None:
    for plan in (PlanMark(end, checksum, epoch), PlanMark(end, None, 0)):
        assert parse_plan(plan.text) == plan


@given(st.lists(st.integers(1, 50), min_size=1, max_size=400))
def test_boundaries_stay_few_and_are_dense_near_the_end(lengths: list[int]) -> None:
    position = LogPosition("t", 0, LOG, "begun")
    ends = list(itertools.accumulate(lengths))
    for end in ends:
        position = position.advance(end, Boundary(end, end, end), holds_rows=False)
    kept = [boundary.end for boundary in position.boundaries]
    assert len(kept) <= 24
    assert kept == sorted(set(kept))
    assert (kept[0], kept[-1]) == (ends[0], ends[-1])
    assert set(kept) <= set(ends)
    for older, newer in itertools.pairwise(kept):
        assert newer - older <= max(ends[-1] - older, 100), "no part is without a boundary"


def test_distances_of_boundaries_grow_with_their_age() -> None:
    boundaries: tuple[Boundary, ...] = ()
    for end in range(1, 100_001):
        boundaries = thin_out((*boundaries, Boundary(end, 0, 0)))
    ages = [100_000 - boundary.end for boundary in boundaries]
    assert ages[0] == 99_999
    assert sum(age < 100 for age in ages) >= 5
    assert all(older <= 4 * newer + 4 for older, newer in itertools.pairwise(ages))


def test_a_flush_that_is_repeated_advances_nothing() -> None:
    boundary = Boundary(9, 1, 1)
    position = LogPosition("t", 0, LOG, "begun").advance(9, boundary, holds_rows=True)
    assert position.advance(9, boundary, holds_rows=False) == position
    assert (position.end, position.holds_rows, position.boundaries) == (9, True, (boundary,))


def test_a_row_has_every_column_and_the_version() -> None:
    position = LogPosition("t", 0, LOG, "begun", epoch=3, base=7).advance(9, Boundary(9, 1, 1), holds_rows=True)
    (row,) = position_row(position).to_pylist()
    assert row["version"] == position.version == 16 << 16 | 3
    assert row["boundaries"] == [{"end_offset": 9, "timestamp": 1, "checksum": 1}]


def test_a_checksum_covers_place_time_key_and_value() -> None:
    message = Message(5, 1_000, b"k", b"v")
    others = [
        message._replace(offset=6),
        message._replace(timestamp=1_001),
        message._replace(key=b""),
        message._replace(key=None),
        message._replace(key=b"kv", value=b""),
        message._replace(value=b"w"),
    ]
    checksums = {record_checksum(other) for other in (message, *others)}
    assert len(checksums) == 1 + len(others)
    assert boundary_after(message) == Boundary(6, 1_000, record_checksum(message))
    assert records_checksum([message, others[0]]) != records_checksum([others[0], message])


def test_a_log_is_replaced_if_its_id_or_its_partitions_change() -> None:
    assert not is_replaced(LOG, LOG)
    assert not is_replaced(LOG, LOG._replace(cluster_id="moved disks"))
    assert is_replaced(LOG, LOG._replace(topic_id="other"))
    assert is_replaced(LOG, LOG._replace(partitions=3))
    old = LOG._replace(topic_id="")
    assert not is_replaced(old, old)
    assert is_replaced(old, old._replace(cluster_id="another"))
