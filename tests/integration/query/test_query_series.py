"""Series over HTTP: buckets against a plain Python model, on both ways to ClickHouse."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind
from support.factories.points import BEGIN_MS, STEP_MS, RunWriter
from support.readers.views import assert_same_points, model, noisy, points_of
from support.servers.query import Service, service_over

pytestmark = [pytest.mark.anyio, pytest.mark.one_dsn]

RUN = RunPath("me", "digits", "run one/".strip("/"))


@pytest.fixture
def service(store: Store) -> Iterator[Service]:
    with service_over(store) as service:
        yield service


@pytest.fixture
def run(store: Store) -> RunWriter:
    writer = RunWriter(store, RUN)
    writer.document()
    return writer


@pytest.mark.both_dsns
async def test_a_long_series_is_the_models_buckets(service: Service, run: RunWriter) -> None:
    steps, values = np.arange(20_000), noisy(20_000)
    run.numbers("loss", steps, values)
    answer = await service.json(RUN, "series", key="loss", points=300)
    series = answer["series"][0]
    assert (series["sampled"], series["sampling"], series["bucket_width"]) == (True, "buckets", 128)
    assert series["count"] == 20_000
    assert_same_points(points_of(series), model(steps, values, 128))


async def test_a_short_series_is_its_rows(service: Service, run: RunWriter) -> None:
    steps, values = np.arange(0, 5_000, 7), noisy(715)
    run.numbers("loss", steps, values)
    series = (await service.json(RUN, "series", key="loss"))["series"][0]
    assert (series["sampled"], series["sampling"], series["bucket_width"]) == (False, "raw", 1)
    assert_same_points(points_of(series), model(steps, values, 1))


async def test_a_zoom_reaches_the_rows_and_includes_both_ends(service: Service, run: RunWriter) -> None:
    steps, values = np.arange(20_000), noisy(20_000)
    run.numbers("loss", steps, values)
    answer = await service.json(RUN, "series", **{"key": "loss", "points": 300, "from": 500, "to": 799})
    assert_same_points(points_of(answer["series"][0]), model(steps[500:800], values[500:800], 1))
    answer = await service.json(RUN, "series", **{"key": "loss", "points": 300, "from": 500, "to": 800})
    assert answer["series"][0]["bucket_width"] == 2


async def test_few_rows_in_a_wide_range_are_the_rows(service: Service, run: RunWriter) -> None:
    sparse = np.concatenate([np.arange(5_000), 1_000_000 * np.arange(1, 50)])
    run.numbers("loss", sparse, sparse.astype(float))
    query = {"key": "loss", "points": 100, "from": 900_000}
    series = (await service.json(RUN, "series", **query))["series"][0]
    assert series["sampled"] is False
    assert series["step"] == sparse[5_000:].tolist()


@pytest.mark.both_dsns
async def test_buckets_of_enormous_steps(service: Service, run: RunWriter) -> None:
    steps = np.array([0, 1, 5, 2**40, 2**61, 2**62 - 1, 2**62])
    run.numbers("loss", steps, np.arange(7.0))
    series = (await service.json(RUN, "series", key="loss", points=3))["series"][0]
    assert series["bucket_width"] == 2**61
    assert series["step"] == [2**40, 2**62 - 1, 2**62]
    assert series["counts"] == [4, 2, 1]


async def test_the_same_request_gives_the_same_bytes(service: Service, run: RunWriter, store: Store) -> None:
    run.numbers("loss", np.arange(100_000), noisy(100_000))
    first = await service.get(RUN, "series", key="loss")
    store.command("OPTIMIZE TABLE {db}.points_number FINAL")
    for _ in range(3):
        assert (await service.get(RUN, "series", key="loss")).content == first.content


async def test_a_run_that_goes_on_moves_no_closed_bucket(service: Service, run: RunWriter) -> None:
    values = noisy(10_000)
    run.numbers("loss", np.arange(9_000), values[:9_000])
    before = points_of((await service.json(RUN, "series", key="loss", points=100))["series"][0])
    run.numbers("loss", np.arange(9_000, 10_000), values[9_000:])
    after = points_of((await service.json(RUN, "series", key="loss", points=100))["series"][0])
    assert_same_points(after[: len(before) - 1], before[:-1])
    assert len(after) > len(before)


async def test_a_value_overwritten_at_its_step_counts_once(service: Service, run: RunWriter) -> None:
    run.numbers("loss", np.arange(5_000), np.full(5_000, 1_000.0))
    run.numbers("loss", np.arange(5_000), np.arange(5_000.0))
    series = (await service.json(RUN, "series", key="loss", points=100))["series"][0]
    assert_same_points(points_of(series), model(np.arange(5_000), np.arange(5_000.0), 64))
    raw = (await service.json(RUN, "series", key="loss", points=5_000))["series"][0]
    assert raw["value"] == list(range(5_000))


async def test_several_keys_kinds_and_spellings(service: Service, run: RunWriter) -> None:
    run.numbers("loss", range(3_000), np.arange(3_000.0))
    run.numbers("acc", [5], [0.5])
    run.bools("acc", range(4), [True, False, True, True])
    run.texts("note", Kind.STRING, [1], ["x"])
    run.spelling("loss")
    run.spelling("Loss")
    answer = await service.json(RUN, "series", key=["acc", "LOSS", "nothing", "note", "loss"], points=100)
    assert [(series["key"], series["kind"]) for series in answer["series"]] == [
        ("acc", "bool"),
        ("acc", "number"),
        ("loss", "number"),
    ]
    assert answer["series"][0]["value"] == [1, 0, 1, 1]
    assert len(answer["series"][2]["step"]) == 94
    assert answer["unknown_keys"] == ["nothing"]
    assert answer["undrawn"] == [{"key": "note", "kind": "string"}]
    assert answer["complete_to"]["step"] == 2_999


async def test_the_axes_of_time(service: Service, run: RunWriter) -> None:
    run.numbers("loss", range(4_000), np.arange(4_000.0))
    clock = (await service.json(RUN, "series", key="loss", points=100, x="_timestamp"))["series"][0]
    assert clock["x"] == [(BEGIN_MS + step * STEP_MS) / 1_000 for step in clock["step"]]
    runtime = (await service.json(RUN, "series", key="loss", points=4_000, x="_runtime"))["series"][0]
    assert runtime["x"] == [step * STEP_MS / 1_000 for step in range(4_000)]


@pytest.mark.parametrize("points", [100, 5_000])
async def test_a_metric_as_axis_joins_on_the_step(service: Service, run: RunWriter, points: int) -> None:
    run.numbers("loss", range(4_000), np.arange(4_000.0))
    run.numbers("epoch", range(3, 4_000, 4), np.arange(1_000.0))
    series = (await service.json(RUN, "series", key="loss", points=points, x="epoch"))["series"][0]
    assert series["count"] == 1_000
    assert series["x"] == [(step - 3) / 4 for step in series["step"]]
    assert series["value"] == series["step"]


async def test_a_range_without_rows_is_empty(service: Service, run: RunWriter) -> None:
    run.numbers("loss", range(10), np.arange(10.0))
    answer = await service.json(RUN, "series", **{"key": "loss", "from": 100})
    assert answer["series"][0]["step"] == []
    assert answer["series"][0]["count"] == 0


async def test_raw_gives_every_row_or_says_what_to_do(service: Service, run: RunWriter) -> None:
    run.numbers("loss", range(12_000), np.arange(12_000.0))
    rows = await service.json(RUN, "series", **{"key": "loss", "sampling": "raw", "from": 5_000})
    assert rows["series"][0]["step"] == list(range(5_000, 12_000))
    refused = await service.get(RUN, "series", key="loss", sampling="raw")
    assert refused.status_code == 422
    assert "scan" in refused.json()["errors"][0]["remedy"]


async def test_as_arrow_csv_ndjson_and_parquet(service: Service, run: RunWriter) -> None:
    run.numbers("loss", range(5_000), noisy(5_000))
    answer = await service.get(RUN, "series", headers={"accept": "application/vnd.apache.arrow.stream"}, key="loss")
    table = pa.ipc.open_stream(answer.content).read_all()
    assert table.num_rows == 625
    assert table.column("run")[0].as_py() == str(RUN)
    for fmt, first in (("csv", b'"run","key"'), ("ndjson", b'{"run":'), ("parquet", b"PAR1")):
        assert (await service.get(RUN, "series", key="loss", format=fmt)).content.startswith(first)


async def test_many_runs_and_keys_in_one_request(service: Service, store: Store) -> None:
    paths = [RunPath("me", "digits", name) for name in ("a", "b")]
    for path in paths:
        writer = RunWriter(store, path)
        writer.document()
        writer.numbers("loss", range(10), np.arange(10.0))
        writer.numbers("acc", [1], [1.0])
    runs = [*map(str, paths), "me/digits/none"]
    answer = (await service.client.post("/api/v1/series", json={"runs": runs, "keys": ["loss", "acc"]})).json()
    assert [run["run"] for run in answer["runs"]] == runs[:2]
    assert [[series["key"] for series in run["series"]] for run in answer["runs"]] == [["loss", "acc"]] * 2
    assert answer["unknown_runs"] == ["me/digits/none"]
    refused = await service.client.post("/api/v1/series?format=arrow", json={"runs": runs, "keys": ["loss"]})
    assert pa.ipc.open_stream(io.BytesIO(refused.content)).read_all().num_rows == 20


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({}, "key"),
        ({"key": "loss", "points": 0}, "points"),
        ({"key": "loss", "points": 10_001}, "points"),
        ({"key": "loss", "points": "many"}, "points"),
        ({"key": "loss", "from": 5, "to": 4}, "to"),
        ({"key": "loss", "from": -1}, "from"),
        ({"key": "loss", "to": 2**63}, "to"),
        ({"key": "loss", "sampling": "some"}, "sampling"),
        ({"key": "loss", "x": "nothing"}, "x"),
        ({"key": "loss", "format": "xml"}, "format"),
        ({"key": "loss", "pionts": 5}, "pionts"),
        ({"key": ""}, "key"),
        ({"key": "k" * 10_000}, "key"),
        ({"key": "a\nb"}, "key"),
        ({"key": [f"k{number}" for number in range(1_001)], "points": 1}, "key"),
        ({"key": [f"k{number}" for number in range(500)], "points": 10_000}, "points"),
    ],
)
async def test_bad_parameters_name_field_rule_and_remedy(
    service: Service, run: RunWriter, query: dict[str, Any], field: str
) -> None:
    answer = await service.get(RUN, "series", **query)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    error = answer.json()["errors"][0]
    assert error["field"] == field
    assert error["rule"]
    assert error["remedy"]


async def test_hostile_keys_are_values(service: Service, run: RunWriter) -> None:
    hostile = [
        "'; DROP TABLE points_number; --",
        "a' OR '1'='1",
        "{db}",
        "{key:String}",
        "%s %d %(x)s",
        "\\'",
        "📉",
        "NULL",
    ]
    for number, key in enumerate(hostile):
        run.numbers(key, [number], [float(number)])
    answer = await service.json(RUN, "series", key=hostile)
    assert [series["key"] for series in answer["series"]] == hostile
    assert [series["value"] for series in answer["series"]] == [[float(number)] for number in range(len(hostile))]
    assert isinstance(answer, dict)


async def test_an_unknown_run_is_404(service: Service, store: Store) -> None:
    answer = await service.get(RunPath("me", "digits", "none"), "series", key="loss")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:stepwell:problem:not-found")
    assert isinstance(answer, httpx.Response)


async def test_without_an_axis_each_metric_is_drawn_over_its_own(service: Service, run: RunWriter) -> None:
    run.numbers("loss", range(10), np.arange(10.0)).numbers("acc", range(10), np.arange(10.0))
    run.numbers("Epoch", range(0, 10, 2), np.arange(5.0)).spelling("Epoch").strings("name", [1], ["x"])
    definitions = [
        {"name": "*", "glob": True, "step_metric": "epoch"},
        {"name": "acc", "step_metric": "never logged"},
        {"name": "flag", "step_metric": "name"},
        {"name": "when", "step_metric": "_runtime"},
    ]
    run.document(metric_definitions=definitions)
    run.bools("flag", [3], [True]).numbers("when", [4], [1.0])
    found = (await service.json(RUN, "series", key=["loss", "acc", "epoch", "flag", "when"]))["series"]
    axes = {series["key"]: (series["x_axis"], series["x"]) for series in found}
    assert [series["key"] for series in found] == ["loss", "acc", "Epoch", "flag", "when"]
    assert axes == {
        "loss": ("Epoch", [0, 1, 2, 3, 4]),
        "acc": ("_step", [*range(10)]),
        "Epoch": ("_step", [*range(0, 10, 2)]),
        "flag": ("_step", [3]),
        "when": ("_runtime", [4 * STEP_MS / 1_000]),
    }
    named = (await service.json(RUN, "series", key="loss", x="_step"))["series"][0]
    assert (named["x_axis"], len(named["x"])) == ("_step", 10)
    table = pa.ipc.open_stream(io.BytesIO((await service.get(RUN, "series", key="loss", format="arrow")).content))
    assert set(table.read_all().column("x_axis").to_pylist()) == {"Epoch"}


async def test_series_write_nan_as_asked(service: Service, run: RunWriter) -> None:
    run.numbers("loss", range(3), [math.nan, math.inf, 1.0])
    assert '"value":[NaN,Infinity,1.0]' in (await service.get(RUN, "series", key="loss", nan="literal")).text
    assert '"value":["NaN","Infinity",1.0]' in (await service.get(RUN, "series", key="loss")).text
