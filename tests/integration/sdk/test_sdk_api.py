"""`Api` against the real query service on a real socket."""

from __future__ import annotations

import gc
import pickle
import re
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import uvicorn

import stepwell
from stepwell.errors import ApiError, ResumeError, RunNotFoundError, UnknownKeyError
from stepwell_query.api.app import create_app
from stepwell_query.settings import QuerySettings
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.points import RunWriter, gathered
from support.fakes.pausing_store import PausingStore
from support.servers.sdk import serving

_DEADLINE_SECONDS = 20
_RUN = RunPath("me", "digits", "one")


@pytest.fixture
def api(chdb_store: Store) -> Iterator[stepwell.Api]:
    RunWriter(chdb_store, _RUN).document().numbers("loss", range(2_000), np.arange(2_000.0))
    server = uvicorn.Server(uvicorn.Config(create_app(QuerySettings(), chdb_store), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield stepwell.Api(f"http://127.0.0.1:{port}")
    server.should_exit = True
    thread.join(_DEADLINE_SECONDS)


def test_a_run_is_read_back(api: stepwell.Api, capsys: pytest.CaptureFixture[str]) -> None:
    run = api.run("me/digits/one")
    frame = run.history(samples=100, keys=["loss"])
    assert frame.columns[0] == "_step"
    assert 2 <= len(frame) <= 100
    assert run.history(samples=10, pandas=False)[-1]["loss"] == 1_999
    rows = list(run.scan_history(keys=["_step", "loss"], min_step=10, max_step=19))
    assert rows == [{"_step": step, "loss": float(step)} for step in range(10, 20)]
    assert [metric["key"] for metric in run.metrics()] == ["loss"]
    assert api.run(run.url).path == api.run("me/digits/runs/one").path == run.path
    assert run.history(keys="loss", samples=10, pandas=False) == run.history(keys=["loss"], samples=10, pandas=False)
    assert next(run.scan_history("loss")) == {"loss": 0.0}
    assert run.history(keys=["_step"], samples=10, pandas=False)[0] == {"_step": 0}
    assert (run.history(keys="nope", pandas=False), list(run.scan_history(["loss", "nope"]))) == ([], [])
    assert capsys.readouterr().err.count("'nope'") == 2
    assert [found.id for found in api.runs("me/digits")] == ["one"]
    assert api.runs("me/digits", filters={"config.none": 1}) == []


def test_runs_are_filtered_ordered_and_read_as_they_are_used(api: stepwell.Api, chdb_store: Store) -> None:
    with gathered(chdb_store) as gathering:
        for number in range(5):
            writer = RunWriter(gathering, RunPath("me", "sweep", f"r{number}"))
            writer.document(config={"lr": number / 10, "opt": {"name": "adam"}}, tags=["x"] if number else [])
            writer.numbers("val/loss", [0], [1.0 - number / 10])
    found = api.runs(
        "me/sweep", {"config.lr": {"$gte": 0.1}, "config.opt.name": "adam"}, "+summary_metrics.val/loss", 2
    )
    assert len(found) == 4
    assert found[0].id == "r4"
    assert [run.id for run in found[1:3]] == ["r3", "r2"]
    assert [run.config["lr"] for run in found] == [0.4, 0.3, 0.2, 0.1]
    assert [run.id for run in api.runs("me/sweep", 'tags has "x" and config.lr < 0.3', "-created_at")] == ["r2", "r1"]
    with pytest.raises(ApiError, match="column 11"):
        api.runs("me/sweep", "config.lr 0.1")


def test_a_run_of_a_list_has_all_of_its_config(api: stepwell.Api, chdb_store: Store) -> None:
    wide = {f"k{number}": number for number in range(700)}
    RunWriter(chdb_store, RunPath("me", "wide", "one")).document(config=wide)
    (run,) = api.runs("me/wide")
    assert run.config == wide


def test_rows_are_filled_on_request_and_say_where(api: stepwell.Api, chdb_store: Store) -> None:
    run_path = RunPath("me", "digits", "joined")
    RunWriter(chdb_store, run_path).document().numbers("a", [0, 10, 20], [0.0, 1.0, 2.0]).numbers("b", [10], [5.0])
    run = api.run(str(run_path))
    assert [row["_step"] for row in run.history(keys=["a", "b"], pandas=False)] == [10]
    rows = run.history(keys=["a", "b"], pandas=False, interpolate="last")
    assert [(row["_step"], row["a"], row.get("b")) for row in rows] == [(0, 0.0, None), (10, 1.0, 5.0), (20, 2.0, 5.0)]
    assert [row["_interpolated"] for row in rows] == [[], [], ["b"]]
    assert run.history(keys=["a", "b"], interpolate="last")["_interpolated"].tolist() == [[], [], ["b"]]
    with pytest.raises(ApiError, match="interpolate"):
        run.history(interpolate="cubic")


def test_values_are_read_by_writer(api: stepwell.Api, chdb_store: Store) -> None:
    run_path = RunPath("me", "digits", "ranks")
    written = RunWriter(chdb_store, run_path).document()
    for rank in (1, 0):
        written.as_writer(f"rank{rank}").numbers("loss", range(3), np.arange(3.0) + 10 * rank)
    run = api.run(str(run_path))
    rows = {None: [0.0, 1.0, 2.0], "rank1": [10.0, 11.0, 12.0], "*": [0.0, 10.0, 1.0, 11.0, 2.0, 12.0]}
    for writer, values in rows.items():
        assert run.history(writer=writer)["loss"].tolist() == values
        assert [row["loss"] for row in run.scan_history(writer=writer)] == values
        assert run.scan(writer=writer).table().column("loss").to_pylist() == values
    assert run.history(writer=["rank0", "rank1"])["_writer"].tolist() == ["rank0", "rank1"] * 3
    assert run.series(["loss"], writer="*")["writer"].tolist() == ["rank0"] * 3 + ["rank1"] * 3
    assert [(metric["key"], metric["writer"]) for metric in run.metrics()] == [("loss", "rank0"), ("loss", "rank1")]


def test_all_rows_come_as_arrow_and_the_later_ones_by_cursor(api: stepwell.Api, chdb_store: Store) -> None:
    run_path = RunPath("me", "digits", "arrow")
    writer = RunWriter(chdb_store, run_path).document().numbers("a", range(50_000), np.arange(50_000.0))
    writer.strings("s", [7], ["x"])
    run = api.run(str(run_path))
    scan = run.scan(min_step=5)
    assert sum(batch.num_rows for batch in scan) == 49_995
    assert scan.schema is not None
    assert scan.schema.names == ["_step", "_timestamp", "_runtime", "a", "s"]
    whole = run.scan()
    frame = whole.to_pandas()
    assert frame["a"].tolist() == list(range(50_000))
    assert frame["s"].dropna().to_dict() == {7: "x"}
    writer.numbers("a", [50_000], [1.0]).numbers("b", [3], [2.0])
    later = run.scan(cursor=whole.next).to_pandas()
    assert later["_step"].tolist() == [3, 50_000]
    long = run.scan(["b", "s"], shape="long").table()
    assert long.column("step").to_pylist() == [3, 7]
    assert run.scan(["a"], min_step=10**9).table().num_rows == 0
    with pytest.raises(UnknownKeyError):
        run.scan("none").table()


def test_an_answer_that_breaks_off_is_an_error_and_no_short_table(chdb_store: Store) -> None:
    RunWriter(chdb_store, _RUN).document().numbers("loss", range(20_000), np.arange(20_000.0))
    held = PausingStore(chdb_store)
    with serving(held, query_scan_values=2_000) as url:  # type: ignore[arg-type]
        run = stepwell.Api(url).run(str(_RUN))
        for read in (lambda: run.scan().table(), lambda: list(run.scan_history())):
            held.after, held.fails = 5, True
            with pytest.raises(ApiError, match=re.escape(url)):
                read()
            assert held.after is None
        scan = run.scan()
        held.after = 5
        with pytest.raises(ApiError):
            list(scan)
        assert scan.next is None


def test_series_are_drawn_from_few_points(api: stepwell.Api) -> None:
    run = api.run("me/digits/one")
    frame = run.series(["loss"], points=100, smoothing=0.5, max_step=999)
    assert frame.columns.tolist() == [
        "key", "kind", "x", "step", "value", "min", "max", "mean", "counts", "nans", "smoothed"
    ]  # fmt: skip
    assert (set(frame["key"]), frame["counts"].sum(), frame["step"].iloc[-1]) == ({"loss"}, 1_000, 999)
    assert frame["min"].tolist() == [bucket * 16.0 for bucket in range(63)]
    (series,) = run.series(["loss"], sampling="lttb", points=10, pandas=False, min_step=3)
    assert (series["sampling"], len(series["step"])) == ("lttb", 10)
    with pytest.raises(ApiError, match="nothing"):
        run.series(["loss", "nothing"])
    with pytest.raises(ApiError, match="sampling"):
        run.series(["loss"], sampling="some")


def test_a_band_across_writers_has_their_names(api: stepwell.Api, chdb_store: Store) -> None:
    writer = RunWriter(chdb_store, _RUN._replace(run_id="ranks")).document()
    for rank in (1, 0, 2):
        writer.as_writer(f"rank{rank}").numbers("loss", range(100), np.arange(100.0) + 1_000 * rank)
    run = api.run("me/digits/ranks")
    frame = run.series(["loss"], points=10, across="writers")
    assert frame.columns.tolist() == [
        "key", "kind", "step", "mean", "min", "max", "std", "count", "low", "high", "min_writer", "max_writer"
    ]  # fmt: skip
    assert (set(frame["count"]), set(frame["min_writer"]), set(frame["max_writer"])) == ({3}, {"rank0"}, {"rank2"})
    assert (frame["low"].iloc[0], frame["mean"].iloc[-1], frame["step"].iloc[-1]) == (0.0, 1_097.5, 99)
    some = run.series(["loss"], across="writers", writer=["rank1", "rank2"], pandas=False)
    assert [series["writers"] for series in some] == [["rank1", "rank2"]]
    with pytest.raises(ApiError, match="nothing"):
        run.series(["nothing"], across="writers")


def test_a_run_that_is_not_there(api: stepwell.Api) -> None:
    with pytest.raises(RunNotFoundError):
        api.run("me/digits/none")
    settings = {"base_url": api.base_url}
    with pytest.raises(ResumeError, match="must"):
        stepwell.init(entity="me", project="digits", id="none", resume="must", mode="offline", settings=settings)
    with pytest.raises(ResumeError, match="never"):
        stepwell.init(entity="me", project="digits", id="one", resume="never", mode="offline", settings=settings)


def test_no_service_is_a_clear_error() -> None:
    with pytest.raises(ApiError, match="stepwell up"):
        stepwell.Api("http://127.0.0.1:9").run("me/digits/one")


def test_connections_are_kept_closed_with_the_object_and_not_pickled(api: stepwell.Api) -> None:
    run = api.run("me/digits/one")
    client = api._client()
    assert run.history(samples=2, pandas=False)
    assert api._client() is client
    again = pickle.loads(pickle.dumps(run))
    assert again.history(samples=2, pandas=False) == run.history(samples=2, pandas=False)
    assert again._api._client() is not client
    other = stepwell.Api(api.base_url)
    other.run("me/digits/one")
    opened = other._client()
    del other
    gc.collect()
    assert opened.is_closed
    assert not client.is_closed
