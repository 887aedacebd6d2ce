"""Rows in every format and shape, cut anywhere and gone on, while the run is written; over both DSNs."""

from __future__ import annotations

import io
import json
import math
import random
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind
from stepwell_schemas.rules.streams import SYSTEM
from support.factories.points import BEGIN_MS, STEP_MS, RunWriter
from support.servers.query import Service, service_over

pytestmark = [pytest.mark.anyio, pytest.mark.one_dsn]

RUN = RunPath("me", "digits", "one")
LARGE = 2**80 + 1
Value = tuple[str, str, int, Any]


@pytest.fixture
def service(store: Store) -> Iterator[Service]:
    with service_over(store, query_scan_values=1_000, query_max_bytes=2**20) as service:
        yield service


@pytest.fixture
def run(store: Store) -> RunWriter:
    return RunWriter(store, RUN).document()


def all_kinds(run: RunWriter) -> list[Value]:
    """Write values of every kind, some twice, and return what is to be read: (key, kind, step, value)."""
    noise = np.random.default_rng(3).normal(size=1_200)
    noise[[5, 6, 7]] = math.nan, math.inf, -math.inf
    run.numbers("a/dense", range(1_200), -noise).numbers("a/dense", range(1_200), noise)
    run.numbers("sparse", [3, 1_199, 10**12], [0.5, -0.0, 1e300])
    run.integers("big", [10, 1_100], [LARGE, 7]).numbers("two", [1], [1.0]).strings("two", [1, 2], ["x", "NaN"])
    texts = ["", "plain", 'q"uo\\te', "line\nbreak", "ü📉", "\x00"]
    run.strings("text", range(6), texts).bools("flag", [0, 1_150], [True, False])
    run.texts("list", Kind.OTHER, [4], ['[1,{"a":null}]']).texts("image", Kind.IMAGE, [4], ['{"sha256":"00"}'])
    return [
        *[("a/dense", "number", step, float(value)) for step, value in enumerate(noise)],
        *[("sparse", "number", step, value) for step, value in ((3, 0.5), (1_199, -0.0), (10**12, 1e300))],
        *[("big", "number", 10, LARGE), ("big", "number", 1_100, 7.0)],
        *[("two", "number", 1, 1.0), ("two", "string", 1, "x"), ("two", "string", 2, "NaN")],
        *[("text", "string", step, text) for step, text in enumerate(texts)],
        *[("flag", "bool", 0, True), ("flag", "bool", 1_150, False)],
        *[("list", "other", 4, '[1,{"a":null}]'), ("image", "image", 4, '{"sha256":"00"}')],
    ]


def in_order(values: Sequence[Value]) -> list[Value]:
    """Return values as a long scan gives them."""
    kinds = [str(kind) for kind in Kind]
    return sorted(values, key=lambda value: (kinds.index(value[1]), value[0].encode(), value[2]))


def same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, float) and isinstance(found, float):
        return (math.isnan(wanted) and math.isnan(found)) or (
            found == wanted and math.copysign(1, found) == math.copysign(1, wanted)
        )
    return type(found) is type(wanted) and bool(found == wanted)


def arrow(answer: httpx.Response) -> pa.Table:
    return pa.ipc.open_stream(io.BytesIO(answer.content)).read_all()


def parquet(answer: httpx.Response) -> pa.Table:
    return pq.read_table(io.BytesIO(answer.content))


def lines(answer: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.content.split(b"\n")[:-1]]


async def scanned(service: Service, **query: Any) -> httpx.Response:
    answer = await service.get(RUN, "scan", **query)
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.both_dsns
async def test_a_wide_table_is_a_plain_pivot(service: Service, run: RunWriter) -> None:
    values = all_kinds(run)
    table = arrow(await scanned(service, format="arrow", exact="true"))
    names = [
        "a/dense", "big", "flag", "image", "list", "sparse", "text", "two", "two (string)",
        "a/dense (exact)", "big (exact)", "sparse (exact)", "two (exact)",
    ]  # fmt: skip
    assert table.column_names == ["_step", "_timestamp", "_runtime", *names]
    columns = {(key, kind): key for key, kind, _, _ in values} | {("two", "string"): "two (string)"}
    frame = pd.DataFrame(
        [(step, columns[key, kind], value) for key, kind, step, value in values],
        columns=["step", "name", "value"],
        dtype=object,
    )
    wanted = frame.pivot(index="step", columns="name", values="value").sort_index()
    logged = {(columns[key, kind], step): value for key, kind, step, value in values}
    assert table.column("_step").to_pylist() == wanted.index.tolist()
    for name in wanted.columns:
        for step, found in zip(wanted.index, table.column(name).to_pylist(), strict=True):
            if (name, step) not in logged:
                assert found is None
            elif name == "big":
                assert found == float(logged[name, step])
            else:
                assert same(found, wanted.loc[step, name]), (name, step)
    digits = dict(zip(table.column("_step").to_pylist(), table.column("big (exact)").to_pylist(), strict=True))
    assert {step: text for step, text in digits.items() if text is not None} == {10: str(LARGE)}
    assert parquet(await scanned(service, format="parquet", exact="true")).to_pandas().equals(table.to_pandas())
    csv = (await scanned(service, format="csv", exact="true")).content
    read = pd.read_csv(io.BytesIO(csv))
    assert read["_step"].tolist() == wanted.index.tolist()
    np.testing.assert_array_equal(read["a/dense"].to_numpy(), table.column("a/dense").to_pandas().to_numpy())
    assert read["text"][5] == "\x00"


async def test_rows_of_json_are_the_wide_table(service: Service, run: RunWriter) -> None:
    values = all_kinds(run)
    wanted: dict[int, dict[str, Any]] = {}
    for key, kind, step, value in values:
        wanted.setdefault(step, {})[key] = json.loads(value) if kind in {"other", "image"} else value
    found = lines(await scanned(service, nan="literal"))
    assert [row["_step"] for row in found] == sorted(wanted)
    for row in found:
        logged = {name: value for name, value in row.items() if not name.startswith("_")}
        assert logged.keys() == wanted[row["_step"]].keys()
        assert all(same(value, wanted[row["_step"]][name]) for name, value in logged.items()), row
        assert row["_timestamp"] == (BEGIN_MS + min(row["_step"], 10**9) * STEP_MS) / 1_000
    document = (await scanned(service, format="json", nan="literal")).json()
    assert json.dumps(document["rows"]) == json.dumps(found)
    assert (document["run"], document["complete_to"]["offset"]) == (str(RUN), run.offset)


async def test_a_long_scan_has_each_value_by_kind_key_and_step(service: Service, run: RunWriter) -> None:
    wanted = in_order(all_kinds(run))
    table = arrow(await scanned(service, format="arrow", shape="long"))
    assert [(row["key"], row["kind"], row["step"]) for row in table.to_pylist()] == [value[:3] for value in wanted]
    for row, (_, kind, _, value) in zip(table.to_pylist(), wanted, strict=True):
        if kind in {"number", "bool"}:
            assert same(row["value"], float(value))
            assert row["text"] == (str(value) if value == LARGE else None)
        else:
            assert (row["value"], row["text"]) == (None, value)
    assert parquet(await scanned(service, format="parquet", shape="long")).to_pandas().equals(table.to_pandas())
    found = lines(await scanned(service, shape="long", nan="literal"))
    for row, (key, kind, step, value) in zip(found, wanted, strict=True):
        assert (row["key"], row["kind"], row["step"]) == (key, kind, step)
        assert same(row["value"], json.loads(value) if kind in {"other", "image"} else value)
    rows = (await scanned(service, format="json", shape="long", nan="literal")).json()["rows"]
    assert json.dumps(rows) == json.dumps(found)
    csv = pd.read_csv(io.BytesIO((await scanned(service, format="csv", shape="long")).content))
    assert csv["timestamp"].tolist() == [row["timestamp"] for row in found]
    assert csv["step"].tolist() == [value[2] for value in wanted]


async def test_the_same_request_gives_the_same_bytes(service: Service, run: RunWriter) -> None:
    run.numbers("a", range(1_100), np.arange(1_100.0)).numbers("b", range(0, 1_100, 3), np.arange(367.0))
    run.strings("text", range(0, 1_100, 7), ["x"] * 158)
    for fmt in ("arrow", "parquet", "ndjson", "csv"):
        for shape in ("wide", "long"):
            first = await scanned(service, shape=shape, format=fmt)
            assert (await scanned(service, shape=shape, format=fmt)).content == first.content


async def test_keys_and_steps_choose(service: Service, run: RunWriter) -> None:
    run.numbers("a", range(100), np.arange(100.0)).numbers("b", range(0, 100, 10), np.arange(10.0))
    run.numbers("c", [7, 45], [1.0, 2.0]).spelling("b", "B")
    chosen = {"key": ["b", "a"], "min_step": 15, "max_step": 40}
    assert [row["_step"] for row in lines(await scanned(service, **chosen))] == [20, 30, 40]
    either = lines(await scanned(service, having="any", key=["b", "c"], min_step=40, max_step=50))
    assert [(row["_step"], row.get("b"), row.get("c")) for row in either] == [
        (40, 4.0, None),
        (45, None, 2.0),
        (50, 5.0, None),
    ]
    long = lines(await scanned(service, shape="long", key=["B", "c"], max_step=10))
    assert [(row["key"], row["step"]) for row in long] == [("b", 0), ("b", 10), ("c", 7)]
    assert lines(await scanned(service, min_step=100)) == []
    assert lines(await scanned(service, shape="long", min_step=100)) == []


@pytest.mark.both_dsns
async def test_page_size_bounds_a_batch(service: Service, run: RunWriter) -> None:
    run.numbers("a", range(500), np.arange(500.0)).numbers("b", range(500), np.arange(500.0))
    for shape, rows in (("wide", 500), ("long", 1_000)):
        answer = await scanned(service, format="arrow", page_size=64, shape=shape)
        sizes = [batch.num_rows for batch in pa.ipc.open_stream(io.BytesIO(answer.content))]
        assert (max(sizes), sum(sizes)) == (64, rows)


@pytest.mark.both_dsns
async def test_large_texts_are_read_a_few_at_a_time(service: Service, run: RunWriter) -> None:
    text = "x" * 300_000
    run.strings("text", range(12), [f"{step}{text}" for step in range(12)]).numbers("a", [0], [1.0])
    for shape in ("wide", "long"):
        answer = await scanned(service, shape=shape)
        assert [row.get("step", row.get("_step")) for row in lines(answer) if row.get("key") != "a"] == list(range(12))
    refused = await service.get(RUN, "history")
    assert refused.status_code == 422
    assert "1,048,576 bytes" in refused.json()["errors"][0]["rule"]


async def test_what_is_not_there_is_named(service: Service, run: RunWriter) -> None:
    run.numbers("a", [0], [1.0])
    asked: list[tuple[str, dict[str, Any]]] = [
        ("scan", {}),
        ("scan", {"shape": "long"}),
        ("scan", {"format": "parquet"}),
        ("history", {"format": "arrow"}),
        ("history", {"format": "ndjson"}),
    ]
    for below, query in asked:
        answer = await service.get(RUN, below, key=["none", "a", "neither"], **query)
        assert answer.status_code == 422
        error = answer.json()["errors"][0]
        assert error["field"] == "key"
        assert "'none'" in error["rule"]
        assert "'neither'" in error["rule"]
    found = await service.json(RUN, "history", key=["none", "a"], interpolate="last")
    assert (found["unknown_keys"], [row["a"] for row in found["rows"]]) == (["none"], [1.0])


async def test_a_run_without_rows_has_an_empty_answer(service: Service, run: RunWriter) -> None:
    for shape in ("wide", "long"):
        for fmt in ("arrow", "parquet", "csv", "ndjson", "json"):
            assert (await scanned(service, shape=shape, format=fmt)).status_code == 200
    assert arrow(await scanned(service, format="arrow")).num_rows == 0
    assert parquet(await scanned(service, format="parquet", shape="long")).num_rows == 0


# Going on


def write_some(run: RunWriter, chance: random.Random) -> None:
    """Write as a training run with a slow second writer: ahead, at old steps, and into old rows; no cell twice."""
    last = max(run.last_steps.values(), default=-1)
    count = chance.randint(1, 60)
    run.numbers("loss", range(last + 1, last + 1 + count), [chance.random() for _ in range(count)])
    if chance.random() < 0.7:
        # The slow writer continues from its own last step.
        slow = run.last_steps.get(("slow", Kind.STRING, ""), -1)
        end = chance.randint(slow + 1, last + count)
        run.strings("slow", range(slow + 1, end + 1), ["x"] * (end - slow))
    if chance.random() < 0.5:
        run.bools(f"new/{run.offset}", [chance.randint(0, last + count)], [True])


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long)])
async def test_scans_cut_anywhere_send_every_value_once(service: Service, run: RunWriter, seed: int) -> None:
    chance = random.Random(seed)
    cursor, received = "", list[tuple[str, str, int]]()
    for _ in range(7):
        write_some(run, chance)
        answer = await scanned(service, shape="long", cursor=cursor)
        rows = [(row["key"], row["kind"], row["step"]) for row in lines(answer)]
        got = rows[: chance.randint(0, len(rows))]
        received += got
        offset = answer.headers["stepwell-complete-to-offset"]
        if len(got) == len(rows):
            cursor = answer.headers["stepwell-next"]
        elif got:
            key, kind, step = got[-1]
            cursor = f"{kind}:{quote(key, safe='')}:{step + 1}@{offset},{cursor}"
    received += [
        (row["key"], row["kind"], row["step"]) for row in lines(await scanned(service, shape="long", cursor=cursor))
    ]
    whole = [(row["key"], row["kind"], row["step"]) for row in lines(await scanned(service, shape="long"))]
    assert sorted(received) == sorted(whole)
    assert len(set(whole)) == len(whole)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long)])
async def test_rows_cut_anywhere_come_again_only_when_they_grew(service: Service, run: RunWriter, seed: int) -> None:
    chance = random.Random(seed)
    cursor, rows = "", dict[int, dict[str, Any]]()
    for _ in range(7):
        write_some(run, chance)
        answer = await scanned(service, cursor=cursor)
        found = lines(answer)
        got = found[: chance.randint(0, len(found))]
        for row in got:
            assert rows.get(row["_step"]) != row, "a row that did not change came twice"
            rows[row["_step"]] = row
        offset = answer.headers["stepwell-complete-to-offset"]
        if len(got) == len(found):
            cursor = answer.headers["stepwell-next"]
        elif got:
            cursor = f"{got[-1]['_step'] + 1}@{offset},{cursor}"
    rows |= {row["_step"]: row for row in lines(await scanned(service, cursor=cursor))}
    assert [rows[step] for step in sorted(rows)] == lines(await scanned(service))


async def test_what_was_sent_whole_is_followed_by_nothing(service: Service, run: RunWriter) -> None:
    run.numbers("a", range(10), np.arange(10.0))
    for shape in ("wide", "long"):
        first = await scanned(service, shape=shape)
        again = await scanned(service, shape=shape, cursor=first.headers["stepwell-next"])
        assert (lines(again), again.headers["stepwell-next"]) == ([], first.headers["stepwell-next"])
    run.numbers("a", [9], [99.0]).numbers("b", [3], [1.0])
    grown = lines(await scanned(service, cursor=f"10@{run.offset - 2}"))
    assert [(row["_step"], row["a"], row.get("b")) for row in grown] == [(3, 3.0, 1.0), (9, 99.0, None)]
    grown = lines(await scanned(service, shape="long", cursor=f"*@{run.offset - 2}"))
    assert [(row["key"], row["step"], row["value"]) for row in grown] == [("a", 9, 99.0), ("b", 3, 1.0)]


async def test_a_flush_that_is_landing_is_no_part_of_the_answer(service: Service, run: RunWriter) -> None:
    run.numbers("a", range(10), np.arange(10.0))
    # Its values and its series are there, its offset is not.
    run.activity = False
    run.numbers("a", range(10, 20), np.arange(10.0))
    for shape in ("wide", "long"):
        answer = await scanned(service, shape=shape)
        assert len(lines(answer)) == 10
    run.activity = True
    run.numbers("a", range(20, 30), np.arange(10.0))
    assert len(lines(await scanned(service, cursor="10@2"))) == 20


async def test_a_stream_beside_goes_on_too(service: Service, run: RunWriter) -> None:
    run.numbers("a", [0], [1.0]).stream(SYSTEM).numbers("system/cpu", range(100), np.arange(100.0))
    first = await scanned(service, stream="system", shape="long")
    assert len(lines(first)) == 100
    assert [row["_step"] for row in lines(await scanned(service, stream="system"))] == list(range(100))


# Interpolation


async def test_history_fills_what_rows_lack_when_asked(service: Service, run: RunWriter) -> None:
    run.numbers("loss", range(100), np.arange(100.0)).numbers("val", [10, 50, 90], [1.0, 5.0, 9.0])
    run.strings("phase", [0, 60], ["warm", "main"])
    plain = await service.json(RUN, "history", key=["loss", "val"])
    assert [row["_step"] for row in plain["rows"]] == [10, 50, 90]
    assert "_interpolated" not in plain["rows"][0]
    rows = (await service.json(RUN, "history", key=["loss", "val", "phase"], interpolate="linear"))["rows"]
    assert [row["_step"] for row in rows] == list(range(100))
    assert [row.get("val") for row in rows] == [
        *[None] * 10, *[pytest.approx(step / 10) for step in range(10, 91)], *[None] * 9
    ]  # fmt: skip
    assert [row["_step"] for row in rows if "phase" in row] == [0, 60]
    assert [row["_interpolated"] for row in rows[9:13]] == [[], [], ["val"], ["val"]]
    rows = (await service.json(RUN, "history", key=["loss", "val", "phase"], interpolate="last"))["rows"]
    assert [row.get("val") for row in rows] == [*[None] * 10, *[1.0] * 40, *[5.0] * 40, *[9.0] * 10]
    assert [row["phase"] for row in rows] == ["warm"] * 60 + ["main"] * 40
    # The time of a row is that of what was logged there.
    assert rows[99]["_timestamp"] == (BEGIN_MS + 99 * STEP_MS) / 1_000


async def test_what_is_filled_does_not_depend_on_the_rows_asked_for(service: Service, run: RunWriter) -> None:
    run.numbers("a", range(0, 3_000, 2), np.arange(1_500.0)).numbers("b", range(1, 3_000, 300), np.arange(10.0))
    run.numbers("b", [601], [7.0])
    query: dict[str, Any] = {"key": ["a", "b"], "interpolate": "linear", "format": "arrow"}
    whole = arrow(await service.get(RUN, "history", samples=3_000, **query)).to_pandas().set_index("_step")
    known = {step: float(place) for place, step in enumerate(range(1, 3_000, 300))} | {601: 7.0}
    inside = [step for step in whole.index if 1 < step < 2_701]
    at = sorted(known)
    np.testing.assert_allclose(whole["b"][inside], np.interp(inside, at, [known[step] for step in at]), rtol=1e-12)
    assert [step for step, filled in whole["b (interpolated)"].items() if filled] == [
        s for s in inside if s not in known
    ]
    few = arrow(await service.get(RUN, "history", samples=20, min_step=700, max_step=800, **query))
    few = few.to_pandas().set_index("_step")
    assert len(few) == 20
    pd.testing.assert_frame_equal(few, whole.loc[few.index])
