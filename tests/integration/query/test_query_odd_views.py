"""Requests at the edges of what is allowed: each gets a view or a refusal that names the field, and none a failure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.points import RunWriter
from support.servers.query import Service, service_over

pytestmark = pytest.mark.anyio

RUN = RunPath("me", "odd", "run")

SAMPLINGS = ("buckets", "lttb", "random", "raw")
POINTS = (1, 2, 3, 7)
KEYS = ("one", "nan", "infinite", "same", "flag", "far", "zeros")
RANGES: tuple[dict[str, int], ...] = ({}, {"from": 2**63 - 1}, {"to": 0}, {"from": 299, "to": 299})


@pytest.fixture
def service(chdb_store: Store) -> Iterator[Service]:
    with service_over(chdb_store) as service:
        yield service


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.long)], ids=["pairs", "every"])
async def test_every_combination_has_an_answer(service: Service, chdb_store: Store, every: bool) -> None:
    run = RunWriter(chdb_store, RUN).document()
    run.numbers("one", [299], [1.0]).numbers("nan", range(300), [math.nan] * 300)
    run.numbers("infinite", range(300), [math.inf, -math.inf] * 150)
    run.numbers("same", range(300), [5.0] * 300).bools("flag", range(300), [True] * 300)
    run.numbers("far", [0, 2**62], [1e308, -1e308]).numbers("zeros", range(300), [-0.0, 0.0] * 150)
    combinations = itertools.product(range(4), repeat=3)
    # A Latin square: each pair of values of two parameters occurs.
    chosen = [(one, two, three) for one, two, three in combinations if every or (one + two + three) % 4 == 0]
    assert len(chosen) == (64 if every else 16)
    for sampling, points, steps in ((SAMPLINGS[one], POINTS[two], RANGES[three]) for one, two, three in chosen):
        query: dict[str, Any] = {"key": KEYS, "sampling": sampling, "points": points, "smoothing": 0.9, **steps}
        answer = await service.get(RUN, "series", **query)
        assert answer.status_code == 200, (query, answer.text)
        for series in answer.json()["series"]:
            assert sampling == "raw" or len(series["step"]) <= points, query
            assert len(series["step"]) == len(series.get("smoothed", [])) == len(series["x"])
    for x, points in itertools.product(KEYS, (1, 2, 7)):
        answer = await service.get(RUN, "series", key=KEYS, x=x, points=points)
        assert answer.status_code == (422 if x == "flag" else 200), (x, points, answer.text)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"smoothing": 1}, "smoothing"),
        ({"smoothing": -0.1}, "smoothing"),
        ({"smoothing": "nan"}, "smoothing"),
        ({"x": ""}, "x"),
        ({"sampling": "lttb", "x": "_runtime"}, "x"),
    ],
)
async def test_refusals_name_the_field(service: Service, chdb_store: Store, query: dict[str, Any], field: str) -> None:
    RunWriter(chdb_store, RUN).document().numbers("loss", range(10), np.arange(10.0))
    refused = await service.get(RUN, "series", key="loss", **query)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == field
    assert refused.json()["errors"][0]["remedy"]
