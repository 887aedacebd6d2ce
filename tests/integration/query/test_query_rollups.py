"""Views read from rollups are those of the points alone, whatever the range, the width and the state of the tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stepwell_query.series import views
from stepwell_query.series.math.bucketing import bucket_shift
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rollups.sql import LEVELS
from stepwell_schemas.rules.identifiers import RunPath
from support.draws import draws
from support.factories.points import RunWriter
from support.readers.views import assert_same_points, model, noisy, points_of
from support.servers.query import Service, service_over

pytestmark = [pytest.mark.anyio, pytest.mark.one_dsn]

RUN = RunPath("me", "rollups", "run")
Steps = NDArray[np.int64]
Numbers = NDArray[np.float64]


@pytest.fixture
def service(store: Store) -> Iterator[Service]:
    with service_over(store) as service:
        yield service


@pytest.fixture
def run(store: Store) -> RunWriter:
    return RunWriter(store, RUN).document()


async def assert_views(service: Service, key: str, steps: Steps, values: Numbers, seed: int) -> None:
    """Compare views of random ranges and widths, the whole one among them, with the model."""
    rng = np.random.default_rng(seed)
    for number in range(draws(5, 8)):
        points = int(rng.choice([3, 40, 300]))
        low, high = np.sort(rng.integers(0, steps[-1] + 1, 2)).tolist() if number else (0, int(steps[-1]))
        query: dict[str, Any] = {"key": key, "points": points, "from": low, "to": high}
        series = (await service.json(RUN, "series", **query))["series"][0]
        chosen = (steps >= low) & (steps <= high)
        width = 1
        if chosen.sum() > points:
            width = 1 << bucket_shift(max(low, int(steps[0])), high, points)
        assert series["bucket_width"] == width, query
        assert_same_points(points_of(series), model(steps[chosen], values[chosen], width))
        assert series["count"] == chosen.sum()
        assert series["nan_count"] == np.isnan(values[chosen]).sum()


async def test_a_dense_series(service: Service, run: RunWriter, store: Store) -> None:
    steps, values = np.arange(60, 210_000), noisy(209_940)
    for part in np.array_split(np.arange(len(steps)), 3):
        run.numbers("loss", steps[part], values[part])
    await assert_views(service, "loss", steps, values, seed=1)
    # Without a row of rollups, its bucket must be missing: so it is them that is read.
    store.command("ALTER TABLE {db}.rollups DELETE WHERE level = 7 AND bucket = 8 SETTINGS mutations_sync = 2")
    series = (await service.json(RUN, "series", key="loss", points=2_000))["series"][0]
    assert series["bucket_width"] == 128
    assert series["count"] == len(steps) - 128


@pytest.mark.both_dsns
async def test_a_sparse_series_with_gaps_over_whole_buckets_of_every_level(service: Service, run: RunWriter) -> None:
    rng = np.random.default_rng(5)
    near = [rng.integers(0, 2**size, 700) for size in (10, 14, 18, 22, 27, 31)]
    steps = np.unique(np.concatenate(near))
    values = noisy(len(steps))
    run.numbers("loss", steps, values)
    await assert_views(service, "loss", steps, values, seed=2)


async def test_a_series_written_over_and_behind_itself(service: Service, run: RunWriter, store: Store) -> None:
    steps, values = np.arange(0, 60_000, 2), noisy(30_000)
    run.numbers("loss", steps, values)
    late, again = np.arange(1, 60_000, 1_001), np.arange(20_000, 20_400, 2)
    run.numbers("loss", late, np.arange(len(late)) * 1e6)
    run.numbers("loss", again, np.arange(len(again)) * -1e6)
    # Each write's rows have a version of their own; otherwise, which row is read would depend on the engine's threads.
    alike = "SELECT count() - uniqExact(key, level, bucket, version) AS n FROM {db}.rollups"
    assert store.query(alike).to_pylist() == [{"n": 0}]
    pairs = dict(zip(steps.tolist(), values.tolist(), strict=True))
    pairs |= dict(zip(late.tolist(), (np.arange(len(late)) * 1e6).tolist(), strict=True))
    pairs |= dict(zip(again.tolist(), (np.arange(len(again)) * -1e6).tolist(), strict=True))
    steps = np.array(sorted(pairs))
    values = np.array([pairs[step] for step in steps.tolist()])
    await assert_views(service, "loss", steps, values, seed=3)
    store.command("OPTIMIZE TABLE {db}.rollups FINAL")
    await assert_views(service, "loss", steps, values, seed=3)


async def test_bytes_depend_on_no_part_and_no_thread(service: Service, run: RunWriter, store: Store) -> None:
    values = noisy(200_000)
    for part in np.array_split(np.arange(200_000), 7):
        run.numbers("loss", part, values[part])
    queries: list[dict[str, Any]] = [{"points": 50}, {"points": 50, "from": 77, "to": 150_001}, {"points": 5_000}]
    before = [(await service.get(RUN, "series", key="loss", **query)).content for query in queries]
    for table in ("rollups", "points_number", "series"):
        store.command(f"OPTIMIZE TABLE {{db}}.{table} FINAL")
    assert [(await service.get(RUN, "series", key="loss", **query)).content for query in queries] == before


async def test_a_run_that_goes_on_changes_its_last_bucket_alone(service: Service, run: RunWriter) -> None:
    """Wherever a run stands: in a bucket of points, at the border of one, or of a wider one."""
    values = noisy(40_000)
    before: list[dict[str, Any]] = []
    width = reached = 0
    for stop in (9_000, 9_088, 9_089, 9_216, 12_288, 12_289, 16_383, 16_384, 16_385, 33_000, 40_000):
        run.numbers("loss", np.arange(reached, stop), values[reached:stop])
        reached = stop
        series = (await service.json(RUN, "series", key="loss", points=20))["series"][0]
        found = points_of(series)
        if series["bucket_width"] == width:
            assert repr(found[: len(before) - 1]) == repr(before[:-1])
        before, width = found, series["bucket_width"]
    assert_same_points(before, model(np.arange(40_000), values, width))


async def test_booleans_have_no_rollups_and_are_cut_alike(service: Service, run: RunWriter) -> None:
    values = np.random.default_rng(1).random(5_000) < 0.3
    run.bools("flag", np.arange(5_000), values.tolist())
    for query, first, last, width in (({}, 0, 5_000, 64), ({"from": 130, "to": 1_999}, 130, 2_000, 32)):
        series = (await service.json(RUN, "series", key="flag", points=100, x="_timestamp", **query))["series"][0]
        assert series["bucket_width"] == width
        expected = model(np.arange(first, last), values[first:last].astype(float), width)
        assert_same_points(points_of(series), expected)


async def test_views_of_every_level(service: Service, run: RunWriter) -> None:
    """From 2^7 to 2^27 steps a bucket, of which each is read from its level."""
    steps = np.unique(np.random.default_rng(3).integers(0, 2**31, 3_000))
    values = noisy(len(steps))
    run.numbers("loss", steps, values)
    for level in LEVELS:
        points = 8
        high = (points << level) - 1
        # The last point of the run is far ahead, so that all of these buckets are closed.
        query: dict[str, Any] = {"key": "loss", "points": points, "to": high}
        series = (await service.json(RUN, "series", **query))["series"][0]
        chosen = steps <= high
        width = 1 << level if chosen.sum() > points else 1
        assert series["bucket_width"] in {width, width // 2 or 1}
        assert_same_points(points_of(series), model(steps[chosen], values[chosen], series["bucket_width"]))


async def test_a_page_of_many_series_takes_wider_buckets_rather_than_all_points(
    service: Service, run: RunWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"long": noisy(6_000, 1), "shorter": noisy(3_000, 2), "short": noisy(90, 3)}
    for key, own in values.items():
        run.numbers(key, np.arange(len(own)), own)
    widths: list[list[int]] = []
    for budget in (9_000, 8_999, 2_999):
        monkeypatch.setattr(views, "POINT_ROWS", budget)
        found = (await service.json(RUN, "series", key=list(values), points=100))["series"]
        widths.append([series["bucket_width"] for series in found])
        for series in found:
            own = values[series["key"]]
            assert_same_points(points_of(series), model(np.arange(len(own)), own, series["bucket_width"]))
    assert widths == [[64, 32, 1], [128, 32, 1], [128, 128, 1]]


@pytest.fixture
def large(chdb_store: Store) -> Iterator[Service]:
    """The service over a run whose sums are beyond the range of float64."""
    count = 1 << 15
    values = np.where(np.arange(count) % 4 == 0, -1e308, 1e308)
    writer = RunWriter(chdb_store, RunPath("me", "digits", "large"))
    writer.document(metric_definitions=[{"name": "loss", "summary": "mean"}]).numbers("loss", range(count), values)
    with service_over(chdb_store) as service:
        yield service


async def test_means_of_values_whose_sums_overflow_are_right(large: Service) -> None:
    run = RunPath("me", "digits", "large")
    for points in (10, 100, 1_000):
        (series,) = (await large.json(run, "series", key="loss", points=points))["series"]
        assert series["mean"] == pytest.approx([5e307] * len(series["mean"]))
    assert (await large.json(run))["summary"]["loss"]["mean"] == pytest.approx(5e307)
    body = {"runs": [str(run)], "keys": ["loss"], "points": 10}
    (series,) = (await large.client.post("/api/v1/groups", json=body)).json()["series"]
    assert series["groups"][0]["mean"] == pytest.approx([5e307] * 8)
