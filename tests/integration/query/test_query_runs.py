"""Runs, their lists and their rows by step, over both DSNs."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind
from support.factories.points import BEGIN_MS, STEP_MS, RunWriter
from support.servers.query import Service, service_over

pytestmark = [pytest.mark.anyio, pytest.mark.one_dsn]

RUN = RunPath("me", "digits", "one")
LARGE = 2**80 + 1


@pytest.fixture
def service(store: Store) -> Iterator[Service]:
    with service_over(store, query_scan_values=1_000) as service:
        yield service


@pytest.fixture
def run(store: Store) -> RunWriter:
    return RunWriter(store, RUN).document(display_name="first", config={"lr": 0.1}, tags=["a"])


async def test_a_run_says_what_is_known_of_it(service: Service, run: RunWriter) -> None:
    run.numbers("loss", range(10), np.arange(10.0)).strings("note", [4], ["hi"]).bools("ok", [5], [True])
    info = await service.json(RUN)
    assert info["path"] == str(RUN)
    assert (info["name"], info["config"], info["tags"], info["state"]) == ("first", {"lr": 0.1}, ["a"], "running")
    assert info["summary"] == {"loss": 9.0, "note": "hi", "ok": True}
    assert info["created_at"] == "2023-11-14T22:13:20.000Z"
    assert info["complete_to"] == {"step": 9, "offset": run.offset}


async def test_the_summary_follows_definitions_and_hands(service: Service, run: RunWriter) -> None:
    run.numbers("loss", range(5), [5.0, 1.0, float("nan"), 2.0, 3.0]).numbers("acc", [0, 1], [0.5, 0.25])
    definitions = [{"name": "loss", "summary": "min,max,mean"}, {"name": "acc", "summary": "best", "goal": "maximize"}]
    run.document(metric_definitions=definitions, summary={"done": True})
    assert (await service.json(RUN))["summary"] == {
        "acc": {"best": 0.5},
        "loss": {"min": 1.0, "max": 5.0, "mean": 2.75},
        "done": True,
    }


async def test_the_extremes_of_nothing_but_nan_are_nan(service: Service, run: RunWriter) -> None:
    run.numbers("loss", range(3), [float("nan")] * 3)
    run.document(metric_definitions=[{"name": "loss", "summary": "min,max,mean"}])
    assert (await service.json(RUN))["summary"] == {"loss": {"min": "NaN", "max": "NaN", "mean": "NaN"}}


async def test_an_overwritten_extreme_leaves_the_summary(service: Service, run: RunWriter) -> None:
    run.numbers("loss", [0, 1], [100.0, 1.0]).numbers("loss", [0], [2.0])
    run.document(metric_definitions=[{"name": "loss", "summary": "max"}])
    assert (await service.json(RUN))["summary"] == {"loss": {"max": 2.0}}
    assert (await service.json(RUN, "metrics"))["metrics"][0]["count"] == 2


async def test_runs_come_in_pages_in_any_order(service: Service, store: Store) -> None:
    for number in range(5):
        path = RunPath("me", "digits", f"r{number}")
        RunWriter(store, path).document(display_name=f"n{9 - number}", created_ms=BEGIN_MS + number // 2)
    for order, expected in (("created_at", "01234"), ("-created_at", "43210"), ("name", "43210")):
        found = ""
        cursor: str | None = None
        while True:
            query: dict[str, str | int] = {"order": order, "limit": 2}
            if cursor is not None:
                query["cursor"] = cursor
            answer = (await service.client.get("/api/v1/projects/me/digits/runs", params=query)).json()
            assert answer["total"] == 5
            found += "".join(info["run_id"][1:] for info in answer["runs"])
            cursor = answer["next"]
            if cursor is None:
                break
        assert found == expected
    projects = (await service.client.get("/api/v1/projects")).json()["projects"]
    assert [(row["entity"], row["project"], row["runs"]) for row in projects] == [("me", "digits", 5)]


async def test_every_field_of_the_registry_is_read_filtered_and_ordered_by(service: Service, run: RunWriter) -> None:
    run.numbers("loss", range(10), np.arange(10.0))
    run.document(
        display_name="first", tags=["a"], notes="n", run_group="g", job_type="j", client="c", host="h", exit_code=0,
        program="jobs/train.py", git_commit="0" * 40, git_dirty=True, finished_ms=BEGIN_MS + 2_500,
    )  # fmt: skip
    RunWriter(run.store, RunPath("me", "digits", "bare")).document(created_ms=BEGIN_MS - 1_000)
    described = (await service.client.get("/api/v1/connect")).json()["run_fields"]
    listing = "/api/v1/projects/me/digits/runs"
    info = await service.json(RUN)
    bare = await service.json(RunPath("me", "digits", "bare"))
    for field in described:
        assert info[field["member"]] not in {None, "", -1} if field["type"] != "list" else info[field["member"]]
        answer = await service.client.get(listing, params={"filter": f"{field['name']} exists"})
        present = {found["run_id"] for found in answer.json()["runs"]}
        absent = bare[field["member"]] in (None, "", [], -1)
        assert present == ({"one"} if absent else {"one", "bare"}), field
        if field["sortable"]:
            answer = await service.client.get(listing, params={"order": f"-{field['name']}"})
            assert answer.json()["total"] == 2, field
    assert (info["program"], info["git_commit"], info["git_dirty"]) == ("jobs/train.py", "0" * 40, True)
    assert (bare["program"], bare["git_commit"], bare["git_dirty"]) == ("", "", None)
    for text, runs in (("git_dirty = true", {"one"}), ("commit ~ '^0'", {"one"}), ("git_dirty missing", {"bare"})):
        answer = await service.client.get(listing, params={"filter": text})
        assert {found["run_id"] for found in answer.json()["runs"]} == runs
    columns = (await service.client.get(f"{listing}/columns", params={"search": "git"})).json()
    assert [field["name"] for field in columns["fields"]] == ["git_commit", "git_dirty"]
    for group_by in (field["name"] for field in described if field["groupable"]):
        body = {"runs": [str(RUN), "me/digits/bare"], "keys": ["loss"], "group_by": group_by}
        (group,) = (await service.client.post("/api/v1/groups", json=body)).json()["groups"]
        member = next(field["member"] for field in described if field["name"] == group_by)
        assert group["value"] == (info[member][0] if isinstance(info[member], list) else info[member])


async def test_a_duration_ends_with_the_run_or_its_last_activity(service: Service, run: RunWriter) -> None:
    run.numbers("loss", range(10), np.arange(10.0))
    assert (await service.json(RUN))["duration"] == 9 * STEP_MS / 1_000
    run.document(finished_ms=BEGIN_MS + 2_500)
    assert (await service.json(RUN))["duration"] == 2.5
    # The clock of the machine that finished the run was behind.
    run.document(finished_ms=BEGIN_MS - 1_000)
    assert (await service.json(RUN))["duration"] == 0


@pytest.mark.parametrize("query", [{"order": "color"}, {"cursor": "x"}, {"limit": 0}, {"limit": 10**9}])
async def test_bad_lists_are_refused(service: Service, run: RunWriter, query: dict[str, str]) -> None:
    answer = await service.client.get("/api/v1/projects/me/digits/runs", params=query)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] in query


@pytest.mark.both_dsns
async def test_history_has_rows_of_all_kinds(service: Service, run: RunWriter) -> None:
    run.numbers("loss", [0, 1], [0.5, float("nan")]).integers("big", [1], [LARGE])
    run.strings("note", [1], ["x"]).bools("ok", [2], [False]).texts("list", Kind.OTHER, [2], ["[1, null]"])
    answer = await service.get(RUN, "history")
    assert str(LARGE) in answer.text
    rows = answer.json()["rows"]
    assert [row["_step"] for row in rows] == [0, 1, 2]
    assert [row["_runtime"] for row in rows] == [0.0, STEP_MS / 1_000, 2 * STEP_MS / 1_000]
    assert rows[0] == {"_step": 0, "_timestamp": BEGIN_MS / 1_000, "_runtime": 0.0, "loss": 0.5}
    assert (rows[1]["loss"], rows[1]["big"], rows[1]["note"]) == ("NaN", LARGE, "x")
    assert (rows[2]["ok"], rows[2]["list"]) == (False, [1, None])


async def test_history_with_keys_has_rows_with_all_of_them(service: Service, run: RunWriter) -> None:
    run.numbers("a", range(0, 30, 2), np.arange(15.0)).numbers("b", range(0, 30, 3), np.arange(10.0))
    answer = await service.json(RUN, "history", keys="a,b")
    assert [row["_step"] for row in answer["rows"]] == list(range(0, 30, 6))
    assert set(answer["rows"][0]) == {"_step", "_timestamp", "_runtime", "a", "b"}
    assert (await service.json(RUN, "history", key=["a", "none"]))["unknown_keys"] == ["none"]


async def test_history_is_sampled_evenly_and_always_the_same(service: Service, run: RunWriter) -> None:
    run.numbers("loss", range(50_000), np.arange(50_000.0))
    first = await service.get(RUN, "history", samples=100)
    steps = [row["_step"] for row in first.json()["rows"]]
    assert len(steps) == 100
    assert (steps[0], steps[-1]) == (0, 49_999)
    assert first.json()["sampled"] is True
    assert (await service.get(RUN, "history", samples=100)).content == first.content


@pytest.mark.both_dsns
async def test_a_scan_has_every_row_once_in_order(service: Service, run: RunWriter) -> None:
    run.numbers("loss", range(0, 6_000, 2), np.arange(3_000.0)).strings("note", [3, 10**12], ["x", "y"])
    rows = [orjson.loads(line) for line in (await service.get(RUN, "scan")).content.splitlines()]
    assert [row["_step"] for row in rows] == sorted({*range(0, 6_000, 2), 3, 10**12})
    assert rows[-1]["note"] == "y"
    answer = await service.get(RUN, "scan", format="arrow")
    table = pa.ipc.open_stream(io.BytesIO(answer.content)).read_all()
    assert table.num_rows == len(rows)
    assert table.column("loss").null_count == 2


async def test_a_scan_of_keys_and_steps(service: Service, run: RunWriter) -> None:
    run.numbers("a", range(100), np.arange(100.0)).numbers("b", range(0, 100, 10), np.arange(10.0))
    answer = await service.get(RUN, "scan", key=["a", "b"], min_step=15, max_step=50)
    assert [orjson.loads(line)["_step"] for line in answer.content.splitlines()] == [20, 30, 40, 50]
    assert (await service.get(RUN, "scan", key="none")).status_code == 422


async def test_metrics_list_kinds_extents_and_spellings(service: Service, run: RunWriter) -> None:
    run.numbers("loss", [5, 9], [1.0, 2.0]).strings("loss", [1], ["x"]).numbers("a", [0], [1.0])
    run.spelling("loss", "LOSS", "Loss")
    found = (await service.json(RUN, "metrics"))["metrics"]
    assert [metric["spellings"] for metric in found] == [["a"], *2 * [["loss", "LOSS", "Loss"]]]
    assert [(m["key"], m["kind"], m["first_step"], m["last_step"], m["count"]) for m in found] == [
        ("a", "number", 0, 0, 1),
        ("loss", "number", 5, 9, 2),
        ("loss", "string", 1, 1, 1),
    ]


async def test_a_key_of_two_kinds_has_both_everywhere(service: Service, run: RunWriter) -> None:
    run.numbers("loss", [0, 1, 3], [1.0, float("nan"), 3.0]).strings("loss", [1, 2], ["NaN", "NaN"])
    run.numbers("loss (string)", [0], [7.0]).integers("big", [0], [LARGE])
    rows = (await service.json(RUN, "history", key="loss"))["rows"]
    # At step 1 the text was logged later than the number.
    assert [(row["_step"], row["loss"]) for row in rows] == [(0, 1.0), (1, "NaN"), (2, "NaN"), (3, 3.0)]
    series = await service.json(RUN, "series", key="loss")
    assert [(one["kind"], one["value"]) for one in series["series"]] == [("number", [1.0, "NaN", 3.0])]
    assert series["undrawn"] == [{"key": "loss", "kind": "string"}]
    answer = await service.get(RUN, "history", format="arrow", exact="true")
    table = pa.ipc.open_stream(io.BytesIO(answer.content)).read_all()
    assert table.column_names[3:] == [
        "big", "loss", "loss (string)'", "loss (string)", "big (exact)", "loss (exact)", "loss (string) (exact)",
    ]  # fmt: skip
    assert table.column("loss (string)'").to_pylist() == [None, "NaN", "NaN", None]
    assert table.column("big (exact)").to_pylist() == [str(LARGE), None, None, None]
    field = table.schema.field("loss (string)'")
    assert field.metadata == {b"key": b"loss", b"kind": b"string"}


@pytest.mark.parametrize("below", ["history", "scan"])
@pytest.mark.parametrize("more", [{}, {"interpolate": "last"}, {"interpolate": "linear"}], ids=["", "last", "linear"])
async def test_digits_of_a_run_without_large_integers_are_null(
    service: Service, run: RunWriter, below: str, more: dict[str, str]
) -> None:
    run.numbers("loss", [0, 1, 3], [1.0, float("nan"), 3.0]).numbers("a", [1], [1.0]).strings("text", [1], ["x"])
    query: dict[str, Any] = {"format": "arrow", "exact": "true"} | (more if below == "history" else {})
    answer = await service.get(RUN, below, **query)
    assert answer.status_code == 200, answer.text
    table = pa.ipc.open_stream(io.BytesIO(answer.content)).read_all()
    assert table.column_names[3:8] == ["a", "loss", "text", "a (exact)", "loss (exact)"]
    assert table.column("loss (exact)").to_pylist() == table.column("a (exact)").to_pylist() == [None] * 3


@pytest.mark.both_dsns
async def test_nan_as_a_word_is_told_from_a_text(service: Service, run: RunWriter) -> None:
    run.numbers("loss", [0, 1], [float("-inf"), float("nan")]).strings("text", [1], ["NaN"])
    run.texts("list", Kind.OTHER, [1], [f"[{10**400}]"])
    run.document(summary={"by hand": "NaN", "large": 2**64, "note": "x"})
    rows = (await service.get(RUN, "scan", nan="literal")).text.splitlines()
    assert '"loss":-Infinity' in rows[0]
    assert '"loss":NaN' in rows[1]
    assert '"text":"NaN"' in rows[1]
    assert f'"list":[{10**400}]' in rows[1]
    info = (await service.get(RUN, nan="literal")).text
    assert f'"loss":NaN,"text":"NaN","by hand":NaN,"large":{2**64}' in info
    page = (await service.client.get("/api/v1/projects/me/digits/runs", params={"nan": "literal"})).text
    assert '"loss":NaN' in page
    assert (await service.json(RUN))["summary"]["loss"] == "NaN"
    assert (await service.get(RUN, nan="none")).status_code == 422
