"""Reading by writer: the primary writer of each key by default, one writer, several, and all."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pytest

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.writers import primary_writer
from support.factories.points import RunWriter, gathered
from support.readers.writer_rows import Value, model_rows
from support.servers.query import Service, service_over

pytestmark = [pytest.mark.anyio, pytest.mark.one_dsn]

RUN = RunPath("me", "ranks", "one")
LONG = 1_500
FIXED = ("_step", "_timestamp", "_runtime")


@pytest.fixture
def service(store: Store) -> Iterator[Service]:
    with service_over(store, query_scan_values=1_000) as service:
        yield service


def write_ranks(store: Store, run: RunPath = RUN, ranks: int = 3, steps: int = LONG) -> None:
    """Write `loss` by every rank, the last one first, `lr` by the first and `mark` by the last rank only."""
    writer = RunWriter(store, run).document()
    for rank in reversed(range(ranks)):
        writer.as_writer(f"rank{rank}").numbers("loss", range(steps), np.arange(steps) * 10.0 + rank)
        writer.bools("flag", range(steps), [step % 2 == rank % 2 for step in range(steps)])
    writer.numbers("lr", range(steps), np.arange(steps) / 8)
    writer.as_writer(f"rank{ranks - 1}").numbers("mark", [0, 5], [1.0, 2.0])


async def test_a_key_shows_its_primary_writer(service: Service, store: Store) -> None:
    write_ranks(store)
    answer = await service.json(RUN, "series", key=["loss", "lr", "mark", "flag"], points=100)
    shown = {series["key"]: (series["writer"], series["other_writers"], series["count"]) for series in answer["series"]}
    assert shown == {
        "loss": ("rank0", 2, LONG), "lr": ("rank0", 0, LONG), "mark": ("rank2", 0, 2), "flag": ("rank0", 2, LONG),
    }  # fmt: skip
    loss = answer["series"][0]
    assert (loss["value"][-1], loss["min"][0], loss["max"][-1]) == (14_990.0, 0.0, 14_990.0)
    history = await service.json(RUN, "history", samples=10)
    assert history["other_writers"] == {"loss": 2, "flag": 2}
    assert "_writer" not in history["rows"][0]
    assert (history["rows"][-1]["loss"], history["rows"][0]["mark"]) == (14_990.0, 1.0)
    joint = (await service.json(RUN, "history", key=["loss", "mark"]))["rows"]
    assert [(row["loss"], row["mark"]) for row in joint] == [(0.0, 1.0), (50.0, 2.0)]
    filled = (await service.json(RUN, "history", key=["loss", "mark"], interpolate="last", max_step=3))["rows"]
    assert [(row["loss"], row["mark"]) for row in filled] == [(step * 10.0, 1.0) for step in range(4)]
    assert (await service.json(RUN))["summary"] == {"flag": False, "loss": 14_990.0, "lr": 187.375, "mark": 2.0}


async def test_one_writer_is_read_alone(service: Service, store: Store) -> None:
    write_ranks(store)
    for rank in range(3):
        await assert_alone(service, rank)


async def assert_alone(service: Service, rank: int) -> None:
    """Check that what is read of a rank's writer is of no other one."""
    name = f"rank{rank}"
    answer = await service.json(RUN, "series", key=["loss", "lr"], writer=name, points=64, smoothing=0.5)
    assert [(series["key"], series["writer"]) for series in answer["series"]] == [
        ("loss", name), *([("lr", name)] if not rank else []),
    ]  # fmt: skip
    assert answer["unknown_keys"] == ([] if not rank else ["lr"])
    loss = answer["series"][0]
    assert [value % 10 for value in loss["value"]] == [float(rank)] * len(loss["value"])
    assert (loss["min"][0], loss["max"][-1], sum(loss["counts"])) == (float(rank), 14_990.0 + rank, LONG)
    rows = (await service.json(RUN, "history", key="loss", writer=name, samples=LONG))["rows"]
    assert [row["loss"] for row in rows] == [step * 10.0 + rank for step in range(LONG)]
    text = (await service.get(RUN, "scan", writer=name)).text.splitlines()
    assert [json.loads(line)["loss"] for line in text] == [row["loss"] for row in rows]
    long = (await service.get(RUN, "scan", key="loss", writer=name, shape="long")).text.splitlines()
    assert [json.loads(line)["value"] for line in long] == [row["loss"] for row in rows]
    for sampling in ("lttb", "random", "raw"):
        points = (await service.json(RUN, "series", key="loss", writer=name, sampling=sampling, points=50))["series"]
        assert {value % 10 for value in points[0]["value"]} == {float(rank)}


async def test_several_writers_are_a_series_each(service: Service, store: Store) -> None:
    write_ranks(store)
    answer = await service.json(RUN, "series", key=["loss", "flag"], writer="*", points=30)
    assert [(series["key"], series["writer"]) for series in answer["series"]] == [
        (key, f"rank{rank}") for key in ("loss", "flag") for rank in range(3)
    ]
    for rank, series in enumerate(answer["series"][:3]):
        assert {value % 10 for value in series["value"]} == {float(rank)}
        alone = (await service.json(RUN, "series", key="loss", writer=f"rank{rank}", points=30))["series"][0]
        assert series == alone
    for series in answer["series"][3:]:
        assert (
            series == (await service.json(RUN, "series", key="flag", writer=series["writer"], points=30))["series"][0]
        )
    for query in (["rank2,rank0"], ["rank2", "rank0"]):
        found = (await service.json(RUN, "series", key="loss", writer=query))["series"]
        assert [series["writer"] for series in found] == ["rank0", "rank2"]
    table = pa.ipc.open_stream(
        io.BytesIO((await service.get(RUN, "series", key="loss", writer="*", format="arrow")).content)
    ).read_all()
    assert table.column_names[-1] == "writer"
    assert set(table.column("writer").to_pylist()) == {"rank0", "rank1", "rank2"}


async def test_a_series_is_drawn_over_the_metric_of_its_writer(service: Service, store: Store) -> None:
    run = RunWriter(store, RUN).document()
    for rank in (1, 0):
        run.as_writer(f"rank{rank}").numbers("epoch", range(100), np.arange(100.0) + rank * 1_000)
        run.numbers("loss", range(100), np.arange(100.0) + rank)
    run.as_writer("eval").numbers("acc", range(50), np.arange(50.0))
    found = (await service.json(RUN, "series", key=["loss", "acc"], writer="*", x="epoch"))["series"]
    assert [(series["key"], series["writer"], series["x"][0], series["x"][-1]) for series in found] == [
        ("loss", "rank0", 0.0, 99.0), ("loss", "rank1", 1_000.0, 1_099.0), ("acc", "eval", 0.0, 49.0),
    ]  # fmt: skip


@pytest.mark.parametrize("points", [7, 10_000])
async def test_a_band_across_writers_names_its_extremes(service: Service, store: Store, points: int) -> None:
    run = RunWriter(store, RUN).document()
    for rank in (2, 10, 0, 1):
        # The order of the ranks turns round in the middle.
        values = [rank * (1.0 if step < LONG // 2 else -1.0) for step in range(LONG)]
        run.as_writer(f"rank{rank}").numbers("loss", range(LONG), values)
    query: dict[str, Any] = {"key": ["loss", "none"], "across": "writers", "points": points}
    answer = await service.json(RUN, "series", **query)
    assert (answer["unknown_keys"], answer["complete_to"]["step"]) == (["none"], LONG - 1)
    band = answer["series"][0]
    assert band["writers"] == ["rank0", "rank1", "rank2", "rank10"]
    assert (set(band["count"]), set(band["low"]), set(band["high"])) <= ({4}, {0.0, -10.0}, {10.0, 0.0})
    first, last = ({name: band[name][at] for name in ("mean", "min", "max")} for at in (0, -1))
    assert (first, last) == ({"mean": 3.25, "min": 0.0, "max": 10.0}, {"mean": -3.25, "min": -10.0, "max": 0.0})
    ends = [(band["writers"][band["min_writer"][at]], band["writers"][band["max_writer"][at]]) for at in (0, -1)]
    assert ends == [("rank0", "rank10"), ("rank10", "rank0")]
    assert band["std"][0] == pytest.approx(np.std([0, 1, 2, 10], ddof=1))
    some = await service.json(RUN, "series", writer="rank1,rank2", **query)
    assert (some["series"][0]["writers"], some["series"][0]["min"][0]) == (["rank1", "rank2"], 1.0)
    table = pa.ipc.open_stream(
        io.BytesIO((await service.get(RUN, "series", format="arrow", **query)).content)
    ).read_all()
    assert (table.column("min_writer")[0].as_py(), table.column("max_writer")[0].as_py()) == ("rank0", "rank10")
    refused = await service.get(RUN, "series", sampling="raw", **query)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "across")
    absent = await service.get(RUN._replace(run_id="none"), "series", **query)
    assert absent.status_code == 404


async def test_groups_are_the_writers_of_runs(service: Service, store: Store) -> None:
    second = RUN._replace(run_id="two")
    write_ranks(store)
    write_ranks(store, second, ranks=2)
    RunWriter(store, second).as_writer("").numbers("mark", [0], [7.0])
    body: dict[str, Any] = {"runs": [str(RUN), str(second)], "keys": ["loss", "mark"], "points": 50}

    async def ask(**more: Any) -> Any:
        answer = await service.client.post("/api/v1/groups", json=body | more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    answer = await ask(group_by="writer")
    assert [(group["value"], group["runs"]) for group in answer["groups"]] == [
        ("", [str(second)]), ("rank0", [str(RUN), str(second)]), ("rank1", [str(RUN), str(second)]),
        ("rank2", [str(RUN)]),
    ]  # fmt: skip
    loss, mark = answer["series"]
    assert [group["value"] for group in loss["groups"]] == ["rank0", "rank1", "rank2"]
    for rank, group in enumerate(loss["groups"]):
        assert set(group["count"]) == {1 if rank == 2 else 2}
        assert (group["low"][0], group["high"][-1]) == (float(rank), 14_990.0 + rank)
    means = [(group["value"], group["mean"][0]) for group in mark["groups"]]
    assert means == [("", 7.0), ("rank1", 1.0), ("rank2", 1.0)]
    some = await ask(group_by="writer", writer=["rank2", "rank1"])
    assert [group["value"] for group in some["groups"]] == ["rank1", "rank2"]
    alone = await ask(writer=["rank1"])
    assert (alone["groups"][0]["value"], alone["series"][0]["groups"][0]["low"][0]) == (None, 1.0)
    every = await ask(writer=["*"])
    assert set(every["series"][0]["groups"][0]["count"]) == {5}
    primary = await ask()
    assert set(primary["series"][0]["groups"][0]["count"]) == {2}


async def test_runs_of_unnamed_writers_are_answered_as_before(service: Service, store: Store) -> None:
    RunWriter(store, RUN).document().numbers("loss", range(10), np.arange(10.0))
    plain = [await service.get(RUN, below, key="loss") for below in ("series", "history", "scan")]
    named = [await service.get(RUN, below, key="loss", writer="") for below in ("series", "history", "scan")]
    every = [await service.get(RUN, below, key="loss", writer="*") for below in ("series", "history", "scan")]
    assert [answer.content for answer in plain] == [answer.content for answer in named]
    assert [answer.content for answer in plain] == [answer.content for answer in every]
    assert all(b"writer" not in answer.content for answer in plain)


async def test_lists_of_runs_show_the_primary_writer(service: Service, store: Store) -> None:
    with gathered(store) as gathering:
        for number in range(4):
            run = RunWriter(gathering, RUN._replace(run_id=f"r{number}"), rolled=False).document(
                metric_definitions=[{"name": "acc", "summary": "max,first"}] if number % 2 else []
            )
            for name in {0: ["rank1", "rank0"], 1: ["rank1", ""], 2: [""], 3: ["rank2", "rank1"]}[number]:
                base = number * 10.0 if name != "rank1" else -1.0
                run.as_writer(name).numbers("loss", [0, 1], [base + 1, base]).numbers("acc", [0, 1], [base, base + 2])
                run.numbers("acc", [1], [base + 1])
    # Of runs without the first rank, the writer that logged first counts: rank2 of the last run.
    query = {"order": "-summary.loss", "filter": "summary.loss >= 0", "columns": ["summary.loss", "summary.acc.max"]}
    answer = (await service.client.get("/api/v1/projects/me/ranks/runs", params=query)).json()
    found = [(run["run_id"], run["values"]) for run in answer["runs"]]
    assert found == [
        ("r3", {"summary.loss": 30.0, "summary.acc.max": 31.0}), ("r2", {"summary.loss": 20.0}),
        ("r1", {"summary.loss": 10.0, "summary.acc.max": 11.0}), ("r0", {"summary.loss": 0.0}),
    ]  # fmt: skip
    ordered = (await service.client.get("/api/v1/projects/me/ranks/runs", params={"order": "summary.acc.first"})).json()
    assert [run["run_id"] for run in ordered["runs"]][:2] == ["r1", "r3"]
    assert {run["run_id"]: run["summary"]["loss"] for run in ordered["runs"]} == {
        f"r{number}": number * 10.0 for number in range(4)
    }
    body = {"runs": [f"me/ranks/r{number}" for number in range(4)], "keys": ["loss"]}
    groups = (await service.client.post("/api/v1/groups", json=body)).json()["series"][0]["groups"][0]
    assert (groups["min"][-1], groups["max"][-1], groups["count"][-1]) == (0.0, 30.0, 4)
    many = (await service.client.post("/api/v1/series", json=body)).json()["runs"]
    assert [run["series"][0].get("writer") for run in many] == ["rank0", "", None, "rank2"]


async def test_metrics_and_views_have_a_row_for_each_writer(service: Service, store: Store) -> None:
    write_ranks(store, steps=10)
    metrics = (await service.json(RUN, "metrics"))["metrics"]
    assert [(row["key"], row["writer"], row["count"]) for row in metrics] == [
        *[("flag", f"rank{rank}", 10) for rank in range(3)], *[("loss", f"rank{rank}", 10) for rank in range(3)],
        ("lr", "rank0", 10), ("mark", "rank2", 2),
    ]  # fmt: skip
    some = (await service.json(RUN, "metrics", writer="rank2"))["metrics"]
    assert [(row["key"], row["writer"]) for row in some] == [(key, "rank2") for key in ("flag", "loss", "mark")]
    RunWriter(store, RUN).as_writer("rank1").numbers("loss", [3, 3], [0.0, 0.5])
    counts = store.query("SELECT writer, count FROM {db}.metrics WHERE key = 'loss' ORDER BY writer").to_pylist()
    assert counts == [{"writer": f"rank{rank}", "count": 10} for rank in range(3)]
    first = "SELECT writer, value FROM {db}.numbers WHERE key = 'loss' AND step < 3"
    sql = f"SELECT writer, sum(value) AS total FROM ({first}) GROUP BY writer ORDER BY writer"
    assert [(row["writer"], row["total"]) for row in store.query(sql).to_pylist()] == [
        (f"rank{rank}", 30.0 + 3 * rank) for rank in range(3)
    ]


# Rows of several writers, against a model


def write_values(store: Store, chance: random.Random) -> list[Value]:
    """Write random values of some writers, and return them."""
    run = RunWriter(store, RUN, rolled=False).document()
    found = []
    for name in chance.sample(["", "rank0", "rank2", "rank10", "eval"], chance.randint(2, 4)):
        run.as_writer(name)
        for key in ("a", "b", "c", "d"):
            steps = sorted(chance.sample(range(12), chance.randint(0, 8)))
            numbers = [float(chance.randint(0, 99)) for _ in steps]
            if steps:
                run.numbers(key, steps, numbers)
                found += [Value(name, key, step, number) for step, number in zip(steps, numbers, strict=True)]
    return found


def plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name == "_step" or name not in FIXED}


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.long) for seed in (2, 3))])
async def test_rows_of_several_writers_are_those_of_the_model(service: Service, store: Store, seed: int) -> None:
    chance = random.Random(seed)
    values = write_values(store, chance)
    names = sorted({value.writer for value in values})
    some = chance.sample(names, min(2, len(names)))
    primary: dict[str, str] = {}
    for key in "abcd":
        order = dict.fromkeys(value.writer for value in values if value.key == key)
        if order:
            primary[key] = primary_writer({name: place for place, name in enumerate(order)})
    selections: list[tuple[dict[str, Any], list[Value]]] = [
        ({"writer": "*"}, values),
        ({"writer": some}, [value for value in values if value.writer in some]),
        ({"writer": names[0]}, [value for value in values if value.writer == names[0]]),
        ({}, [value for value in values if value.writer == primary[value.key]]),
    ]
    for query, selected in selections:
        for keys in ([], ["a"], ["a", "b"], ["b", "c", "d"]):
            there = {value.key for value in selected}
            if not set(keys) <= there or not selected:
                continue
            expected = model_rows(selected, keys)
            history = await service.json(RUN, "history", samples=100, key=keys, **query)
            assert [plain(row) for row in history["rows"]] == expected, (query, keys)
            lines = (await service.get(RUN, "scan", key=keys, **query)).text.splitlines()
            assert [plain(json.loads(line)) for line in lines] == expected, (query, keys)
            content = (await service.get(RUN, "scan", key=keys, format="arrow", **query)).content
            table = pa.ipc.open_stream(io.BytesIO(content)).read_all().to_pylist()
            assert [drop_missing(plain(row)) for row in table] == [drop_missing(row) for row in expected]
        long = [json.loads(line) for line in (await service.get(RUN, "scan", shape="long", **query)).text.splitlines()]
        assert [(row["key"], row.get("writer"), row["step"], row["value"]) for row in long] == [
            (value.key, value.writer if "writer" in long[0] else None, value.step, value.number)
            for value in sorted(selected, key=lambda value: (value.key, value.writer, value.step))
        ]


def drop_missing(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


async def test_samples_bound_the_rows_of_all_writers(service: Service, store: Store) -> None:
    write_ranks(store, ranks=4, steps=500)
    answer = await service.json(RUN, "history", key="loss", writer="*", samples=41)
    rows = [(row["_step"], row["_writer"], row["loss"]) for row in answer["rows"]]
    assert answer["sampled"]
    assert 30 <= len(rows) <= 41
    steps = sorted({step for step, _, _ in rows})
    assert (steps[0], steps[-1]) == (0, 499)
    assert rows == [(step, f"rank{rank}", step * 10.0 + rank) for step in steps for rank in range(4)]
    few = await service.get(RUN, "history", key="loss", writer="*", samples=7)
    assert (few.status_code, few.json()["errors"][0]["field"]) == (422, "samples")
    filled = await service.get(RUN, "history", key="loss", writer="*", interpolate="linear")
    assert (filled.status_code, filled.json()["errors"][0]["field"]) == (422, "interpolate")
    assert (await service.get(RUN, "history", key="mark", writer="*", interpolate="linear")).status_code == 200


@pytest.mark.both_dsns
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long)])
async def test_scans_of_writers_cut_anywhere_send_every_value_once(service: Service, store: Store, seed: int) -> None:
    chance = random.Random(seed)
    run = RunWriter(store, RUN, rolled=False).document()
    reached = dict.fromkeys(("rank0", "rank1", "rank10", ""), 0)
    cursor, received = "", list[tuple[Any, ...]]()
    for turn in range(8):
        # Writers of shared keys from the start, so that the order of values stays.
        for name in reached if not turn else chance.sample(list(reached), 2):
            count = chance.randint(1, 30)
            for key in ("loss", "b:,@%/*"):
                steps = range(reached[name], reached[name] + count)
                run.as_writer(name).numbers(key, steps, [chance.random() for _ in steps])
            reached[name] += count
        answer = await service.get(RUN, "scan", shape="long", writer="*", cursor=cursor)
        rows = [json.loads(line) for line in answer.text.splitlines()]
        got = rows[: chance.randint(0, len(rows))]
        received += [(row["key"], row["writer"], row["step"]) for row in got]
        if len(got) == len(rows):
            cursor = answer.headers["stepwell-next"]
        elif got:
            names = ":".join(quote(got[-1][name], safe="") for name in ("key", "writer"))
            offset = answer.headers["stepwell-complete-to-offset"]
            cursor = f"number:{names}:{got[-1]['step'] + 1}@{offset},{cursor}"
    queries: list[dict[str, Any]] = [{"cursor": cursor}, {}]
    for rest in queries:
        lines = (await service.get(RUN, "scan", shape="long", writer="*", **rest)).text.splitlines()
        rows = [json.loads(line) for line in lines]
        found = [(row["key"], row["writer"], row["step"]) for row in rows]
        received += found if rest else []
    assert sorted(received) == sorted(found)
    assert len(set(found)) == len(found)
