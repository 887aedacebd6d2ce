"""Sums over runs: those of a plain pandas computation, for runs of any lengths and densities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from stepwell_query.series.groups.aggregate import aggregate_groups, group_values
from stepwell_query.series.math.buckets import Buckets, from_points

numbers = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf, -math.inf]))
Run = dict[int, float]
some_runs = st.lists(st.dictionaries(st.integers(0, 400), numbers, max_size=40), min_size=1, max_size=6)


@given(some_runs, st.integers(0, 8), st.data())
def test_groups_are_what_pandas_says(runs: list[Run], shift: int, data: st.DataObject) -> None:
    some_groups = st.lists(st.integers(0, 2), unique=True, max_size=3)
    members = [(run, group) for run in range(len(runs)) for group in data.draw(some_groups)]
    rows = [(run, step, own[step]) for run, own in enumerate(runs) for step in sorted(own)]
    owner, step = np.array([row[:2] for row in rows], np.int64).reshape(-1, 2).T
    value = np.array([row[2] for row in rows], np.float64)
    shifts = np.full(len(runs), shift)
    buckets = from_points(owner, step, value, None, shifts, extremes=False)
    found = aggregate_groups(buckets, shifts, members)
    names = ("group", "step", "mean", "min", "max", "std", "runs", "low", "high")
    table = pd.DataFrame({name: getattr(found, name) for name in names})

    expected = expected_groups(rows, members, shift)
    assert len(table) == len(expected)
    for name in names:
        np.testing.assert_allclose(table[name], expected[name], rtol=1e-9, atol=1e-6, err_msg=name)
    for name in ("min", "max"):
        owners = getattr(found, f"{name}_owner").tolist()
        means = zip(found.group.tolist(), (found.step >> shift).tolist(), getattr(found, name).tolist(), strict=True)
        alone = [aggregate_groups(buckets, shifts, [(owner, 0)]) for owner in range(len(runs))]
        for owner, (group, bucket, mean) in zip(owners, means, strict=True):
            assert (owner, group) in members
            assert alone[owner].mean[(alone[owner].step >> shift).tolist().index(bucket)] == mean
    for group in range(3):
        assert found.select_group(group).step.tolist() == table[table["group"] == group]["step"].tolist()


def expected_groups(rows: list[Any], members: list[tuple[int, int]], shift: int) -> pd.DataFrame:
    """Return the aggregates computed with pandas: the mean of each run, then statistics over these means."""
    frame = pd.DataFrame(rows, columns=["run", "step", "value"]).astype({"step": "int64", "value": "float64"})
    frame["bucket"] = frame["step"] // 2**shift
    frame["finite"] = frame["value"].where(np.isfinite(frame["value"]))
    of_run = frame.groupby(["run", "bucket"], as_index=False).agg(
        step=("step", "max"), mean=("finite", "mean"), low=("value", "min"), high=("value", "max")
    )
    of_run = of_run.dropna(subset=["mean"])
    joined = of_run.merge(pd.DataFrame(members, columns=["run", "group"]).astype("int64"), on="run")
    return joined.groupby(["group", "bucket"], as_index=False).agg(
        step=("step", "max"), mean=("mean", "mean"), min=("mean", "min"), max=("mean", "max"),
        std=("mean", "std"), runs=("mean", "count"), low=("low", "min"), high=("high", "max"),
    )  # fmt: skip


def test_values_are_sorted_and_equal_ones_are_one() -> None:
    values, places = group_values([[0.1], [2], ["b"], [2.0], [None], [True], [[1]], ["a", "b", "a"], [-1]])
    assert values == [-1, 0.1, 2, "a", "b", [1], True, None]
    assert places == [[1], [2], [4], [2], [7], [6], [5], [3, 4], [0]]


def test_no_runs_and_no_members() -> None:
    assert len(aggregate_groups(Buckets.empty(), np.empty(0, np.int64), []).step) == 0
    assert len(aggregate_groups(Buckets.empty(), np.zeros(1, np.int64), [(0, 0)]).step) == 0
