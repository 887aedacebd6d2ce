"""Samplings other than buckets of steps: LTTB, random and raw, and other x axes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stepwell_query.series import smoothing, views, xy_views
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.points import BEGIN_MS, STEP_MS, RunWriter
from support.readers.views import as_number, assert_same_points, model, noisy, points_of
from support.servers.query import Service, service_over

pytestmark = [pytest.mark.anyio, pytest.mark.one_dsn]

RUN = RunPath("me", "samplings", "run")


@pytest.fixture
def service(chdb_store: Store) -> Iterator[Service]:
    with service_over(chdb_store) as service:
        yield service


@pytest.fixture
def run(chdb_store: Store) -> RunWriter:
    return RunWriter(chdb_store, RUN).document()


async def view(service: Service, key: str = "loss", **query: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await service.json(RUN, "series", key=key, **query))["series"][0]
    return found


def pairs(series: dict[str, Any]) -> list[tuple[int, float]]:
    return list(zip(series["step"], map(as_number, series["value"]), strict=True))


# 5,000 rows are read from points, 70,000 from rollups.
@pytest.mark.parametrize("count", [5_000, 70_000])
async def test_lttb_keeps_rows_with_every_extreme_and_no_nan(service: Service, run: RunWriter, count: int) -> None:
    values = np.sin(np.arange(count) / 300) + np.random.default_rng(1).normal(0, 0.1, count)
    values[::50] = math.nan
    values[count // 3], values[count // 2] = 50, -50
    run.numbers("loss", np.arange(count), values)
    series = await view(service, sampling="lttb", points=100)
    assert (series["sampling"], series["count"], series["nan_count"]) == ("lttb", count, np.isnan(values).sum())
    assert len(series["step"]) == 100
    assert all(values[step] == value for step, value in pairs(series))
    assert {count // 3, count // 2, count - 1} <= set(series["step"])
    assert series["min"] == series["max"] == series["mean"] == series["value"]
    assert set(series["counts"]) == {1}
    assert await view(service, sampling="lttb", points=100) == series


async def test_lttb_of_few_rows_and_of_nan_alone(service: Service, run: RunWriter) -> None:
    run.numbers("loss", range(150), [*[math.nan] * 100, *range(50)])
    short = await view(service, sampling="lttb", points=200)
    assert (short["sampling"], len(short["step"])) == ("raw", 150)
    assert (await view(service, sampling="lttb", points=100))["step"] == list(range(100, 150))
    nothing = await view(service, sampling="lttb", points=10, to=99)
    assert (nothing["step"], nothing["count"], nothing["nan_count"]) == ([], 100, 100)


async def test_random_rows_are_those_of_the_seed(service: Service, run: RunWriter) -> None:
    values = noisy(20_000)
    run.numbers("loss", np.arange(20_000), values).numbers("acc", np.arange(20_000), values)
    run.numbers("short", range(300), values[:300])
    query = {"key": ["loss", "acc", "short"], "sampling": "random", "points": 500, "x": "_timestamp"}
    first, again = [await service.json(RUN, "series", **query, seed=7) for _ in range(2)]
    other = await service.json(RUN, "series", **query, seed=8)
    assert first == again
    loss, acc, short = first["series"]
    assert (loss["sampling"], short["sampling"]) == ("random", "raw")
    assert len(loss["step"]) == 500
    assert all(math.isnan(value) if math.isnan(values[s]) else values[s] == value for s, value in pairs(loss))
    assert loss["x"] == [(BEGIN_MS + step * STEP_MS) / 1_000 for step in loss["step"]]
    assert loss["step"] == sorted(set(loss["step"]))
    # Keys of one length are drawn at the same steps.
    assert acc["step"] == loss["step"]
    assert len(set(other["series"][0]["step"]) & set(loss["step"])) < 50
    # Drawn evenly: a half of the steps below the middle, within what chance allows.
    assert 180 < sum(step < 10_000 for step in loss["step"]) < 320


async def test_random_is_refused_where_it_would_look_at_too_much(
    service: Service, run: RunWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.numbers("loss", range(5_000), np.arange(5_000.0))
    monkeypatch.setattr(views, "RANDOM_ROWS", 4_000)
    refused = await service.get(RUN, "series", key="loss", sampling="random", points=10)
    assert refused.status_code == 422
    assert "lttb" in refused.json()["errors"][0]["remedy"]
    assert len((await view(service, sampling="random", points=10, to=3_999))["step"]) == 10


@pytest.mark.parametrize(("sampling", "x"), [("lttb", "_timestamp"), ("lttb", "epoch"), ("random", "epoch")])
async def test_rows_picked_by_step_are_drawn_over_steps(
    service: Service, run: RunWriter, sampling: str, x: str
) -> None:
    run.numbers("loss", range(10), np.arange(10.0)).numbers("epoch", range(10), np.arange(10.0))
    refused = await service.get(RUN, "series", key="loss", sampling=sampling, x=x)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "x")


async def test_smoothing_is_over_the_whole_series_before_sampling(service: Service, run: RunWriter) -> None:
    values = noisy(20_000)
    run.numbers("loss", np.arange(20_000), values)
    finite = pd.Series(np.where(np.isfinite(values), values, np.nan))
    expected = finite.ewm(alpha=0.01, adjust=True, ignore_na=True).mean().to_numpy()
    queries: list[dict[str, Any]] = [
        {"points": 50},
        {"from": 15_000, "points": 100},
        {"points": 20, "sampling": "lttb"},
    ]
    for query in queries:
        series = await view(service, smoothing=0.99, **query)
        assert series["smoothed_width"] == 1
        assert series["smoothed"] == pytest.approx(expected[series["step"]].tolist(), rel=1e-9)
    raw = await view(service, smoothing=0, points=50)
    assert "smoothed" not in raw
    # The weight of a hundredth of the series is that of 200 rows, whatever of it is in view.
    for query in queries[:2]:
        series = await view(service, smoothing=0.99**200, smoothing_parts=100, **query)
        assert series["smoothed"] == pytest.approx(expected[series["step"]].tolist(), rel=1e-9)
    of_rows = await view(service, smoothing=0.99, smoothing_parts=10_000, to=100)
    assert of_rows["smoothed"] == pytest.approx((await view(service, smoothing=0.99**0.5, to=100))["smoothed"])
    csv = (await service.get(RUN, "series", key="loss", points=50, smoothing=0.99, format="csv")).text
    assert csv.splitlines()[0].endswith('"smoothed"')


async def test_smoothing_of_a_long_series_is_made_of_rollups(
    service: Service, run: RunWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 60_000
    values = np.cumsum(np.random.default_rng(1).normal(0, 0.01, count))
    run.numbers("loss", np.arange(count), values)
    run.bools("flag", range(count), [step % 4 == 0 for step in range(count)])
    monkeypatch.setattr(smoothing, "SMOOTHED_ROWS", 5_000)
    expected = pd.Series(values).ewm(alpha=0.001, adjust=True).mean().to_numpy()
    whole = await view(service, smoothing=0.999, points=100)
    assert whole["smoothed_width"] == 128
    assert whole["smoothed"][1:] == pytest.approx(expected[whole["step"]].tolist()[1:], abs=0.02)
    # In a closer view its own rows count one by one, and what was before them is of buckets.
    closer: dict[str, Any] = {"from": 50_000, "to": 50_600}
    near = await view(service, smoothing=0.999, points=100, **closer)
    assert near["smoothed_width"] == 1
    assert near["smoothed"] == pytest.approx(expected[near["step"]].tolist(), abs=0.005)
    flag = await view(service, "flag", smoothing=0.999, points=100)
    assert flag["smoothed"][-1] == pytest.approx(0.25, abs=0.01)


def over_epochs(steps: Any) -> Any:
    """Return an x axis that is not in the order of steps."""
    return np.sin(np.asarray(steps) / 1_000) * 10


async def test_a_metric_over_another_one_is_cut_on_the_x_axis(service: Service, run: RunWriter) -> None:
    values = noisy(6_000)
    run.numbers("loss", np.arange(6_000), values)
    run.numbers("lr", np.arange(0, 6_000, 2), over_epochs(np.arange(0, 6_000, 2)))
    series = await view(service, x="lr", points=50)
    assert (series["x_axis"], series["sampling"], series["count"]) == ("lr", "buckets", 3_000)
    assert series["bucket_width"] == 1
    width = series["x_width"]
    frame = pd.DataFrame({"step": np.arange(0, 6_000, 2)})
    frame["x"], frame["value"] = over_epochs(frame["step"]), values[frame["step"]]
    frame["bucket"] = np.floor(frame["x"] / width)
    expected = []
    for _, rows in frame.sort_values(["x", "step"]).groupby("bucket"):
        own = model(np.arange(len(rows)), rows["value"].to_numpy(), 1 << 20)[0]
        expected.append(own | {"step": rows["step"].iloc[-1]})
    assert_same_points(points_of(series), expected)
    assert series["x"] == sorted(series["x"])
    assert 25 < len(series["x"]) <= 50
    # Closer, the buckets are parts of these.
    near = await view(service, x="lr", points=50, to=700)
    assert near["x_width"] < width
    assert (await view(service, x="lr", points=5_000))["x_width"] is None


@pytest.mark.parametrize("sparse", ["val", "epoch"])
async def test_a_sparse_metric_is_joined_exactly_however_long_the_other_is(
    service: Service, run: RunWriter, monkeypatch: pytest.MonkeyPatch, sparse: str
) -> None:
    monkeypatch.setattr(xy_views, "JOINED_ROWS", 1_000)
    steps = {"val": np.arange(30_000), "epoch": np.arange(30_000)} | {sparse: np.arange(7, 30_000, 1_000)}
    for key, own in steps.items():
        run.numbers(key, own, own / 10)
    series = await view(service, "val", x="epoch")
    assert series["step"] == list(range(7, 30_000, 1_000))
    assert series["x"] == series["value"] == [step / 10 for step in series["step"]]
    assert series["sampled"] is False
    raw = await view(service, "val", x="epoch", sampling="raw")
    assert raw["step"] == series["step"]


async def test_two_long_metrics_are_joined_by_buckets(
    service: Service, run: RunWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xy_views, "JOINED_ROWS", 1_000)
    values = noisy(30_000)
    run.numbers("loss", np.arange(30_000), values).numbers("tokens", np.arange(30_000), -np.arange(30_000.0))
    run.bools("flag", range(30_000), [True] * 30_000)
    series = await view(service, x="tokens", points=200)
    assert (series["bucket_width"], series["x_width"], series["sampled"]) == (256, None, True)
    expected = model(np.arange(30_000), values, 256)[::-1]
    assert_same_points(points_of(series), expected)
    assert series["x"] == [-point["step"] for point in expected]
    assert (await view(service, "flag", x="tokens", points=200))["count"] == 30_000
    refused = await service.get(RUN, "series", key="loss", x="tokens", sampling="raw")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "sampling")


async def test_x_that_some_runs_lack(service: Service, run: RunWriter, chdb_store: Store) -> None:
    run.numbers("loss", range(10), np.arange(10.0)).numbers("epoch", range(10), np.arange(10.0))
    other = RunPath("me", "samplings", "other")
    RunWriter(chdb_store, other).document().numbers("loss", range(10), np.arange(10.0))
    body = {"runs": [str(RUN), str(other)], "keys": ["loss"], "x": "epoch"}
    answer = (await service.client.post("/api/v1/series", json=body)).json()
    assert [len(found["series"][0]["x"]) for found in answer["runs"]] == [10, 0]
    assert [found["series"][0]["x_axis"] for found in answer["runs"]] == ["epoch", "epoch"]
    refused = await service.client.post("/api/v1/series", json=body | {"runs": [str(other)]})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "x")
