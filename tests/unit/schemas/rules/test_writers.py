"""The primary writer of a key, and the order of writers' names."""

from __future__ import annotations

import random

import pytest

from stepwell_schemas.rules.writers import primary_writer, writer_order


@pytest.mark.parametrize(
    ("first_versions", "primary"),
    [
        ({"rank3": 1, "": 9, "rank0": 2}, ""),
        ({"rank3": 1, "rank0": 9}, "rank0"),
        ({"rank3": 7, "rank0.2": 9, "rank10": 5}, "rank10"),
        ({"fork-12": 4, "eval": 4}, "eval"),
    ],
)
def test_the_unnamed_writer_is_primary_then_rank_0_then_the_first(first_versions: dict[str, int], primary: str) -> None:
    assert primary_writer(first_versions) == primary


def test_names_are_ordered_by_the_numbers_in_them() -> None:
    names = ["", "eval", "fork-9", "fork-10", "rank0", "rank0.2", "rank1", "rank2", "rank10", "rank100", "rank٣"]
    shuffled = random.Random(1).sample(names, len(names))
    assert sorted(shuffled, key=writer_order) == names
