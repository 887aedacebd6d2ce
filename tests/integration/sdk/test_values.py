"""Scalars survive the SDK, the broker and the engine exactly, in every way of reading."""

from __future__ import annotations

import io
import json
import math
import random
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import stepwell
from stepwell_schemas.rules.kinds import exact_text
from support.readers.expected import Cell, cells, same
from support.servers.sdk import Served, eventually

_ROWS = 1_200
_EXAMPLES = 3
_KEYS = [f"k{number}" for number in range(8)]
_ODD: list[Any] = [
    0.0, -0.0, 5e-324, -2.2250738585072011e-308, 1.7976931348623157e308, math.nan, math.inf, -math.inf, 0.1,
    2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, 2**63, 2**64 + 1, -(2**70) - 1, 10**308 + 1, 10**400, -(10**639),
    True, False, "", "NaN", "Infinity", "-Infinity", "null", "1.5", "true", "\x00", "é\u0301 🚀\u2028", "'\"\\", None,
    [], {}, [[]], ["NaN"], [10**400],
    [None, True, 1, 2**80, 1.0, -0.0, math.nan, "NaN", {"a": [{}]}, {"_type": "array"}],
    (1, 2), {"nested": {"deep": 1.5, "text": "NaN"}, "empty": {}}, np.float16(0.1), np.uint64(2**64 - 1), np.True_,
    np.array([0.1, math.nan, -0.0], np.float32), np.zeros((0, 3), np.int8), np.array([[1 + 2j, math.inf]]), np.int8(-1),
    np.array(["NaN", "b"]), np.array(["2026-01-02", "NaT"], "datetime64[ns]"), np.array([2**63], object).repeat(2),
]  # fmt: skip

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_SCALARS = st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats() | _TEXTS
_NESTED = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=2), max_leaves=5
)
_ARRAYS = npst.arrays(
    st.sampled_from(["f2", "f4", "f8", "i1", "i8", "u8", "c8", "c16", "?"]), npst.array_shapes(max_dims=2, max_side=3)
)
_VALUES = _SCALARS | st.lists(_NESTED, max_size=3) | _ARRAYS


def log_all(sdk: Served, rows: Sequence[Mapping[str, Any]]) -> str:
    """Log rows to a separate run, wait until all are stored, and return the run's path."""
    with stepwell.init(id=uuid.uuid4().hex, settings={**sdk.settings, "quiet": True}) as run:
        for row in rows:
            run.log(row)
    receipt = run.finish()
    assert (receipt.points, receipt.rejected, receipt.dropped) == (receipt.stored, 0, 0), receipt
    assert receipt.content_same, receipt
    return run.path


def fetch(sdk: Served, path: str, below: str, **query: Any) -> httpx.Response:
    """Return the service's answer about a run."""
    url = f"{sdk.environment['STEPWELL_BASE_URL']}/api/v1/runs/{path}/{below}"
    return httpx.get(url, params=query, timeout=60).raise_for_status()


@pytest.fixture
def drawn() -> list[tuple[list[Any], int]]:
    """Values and seeds, drawn before a service starts: its threads use `random`, which would disturb drawing."""
    found: list[tuple[list[Any], int]] = []

    @settings(max_examples=_EXAMPLES, phases=[Phase.generate], database=None, suppress_health_check=list(HealthCheck))
    @given(pool=st.lists(_VALUES, min_size=20, max_size=60), seed=st.integers(0, 2**32))
    def draw(pool: list[Any], seed: int) -> None:
        found.append((pool, seed))

    draw()
    return found


def test_what_is_logged_is_what_is_read(drawn: list[tuple[list[Any], int]], sdk: Served) -> None:
    for pool, seed in drawn:
        check_run(sdk, pool, seed)


def check_run(sdk: Served, pool: list[Any], seed: int) -> None:
    """Log more rows than a page has, of random and special values, and read them back in every way."""
    chance = random.Random(seed)
    values = [*pool, *_ODD]
    rows = [{_KEYS[step % 8]: value} for step, value in enumerate(_ODD)]
    rows += [{key: chance.choice(values) for key in chance.sample(_KEYS, chance.randint(1, 5))} for _ in range(_ROWS)]
    path = log_all(sdk, rows)
    wanted = [cells(row) for row in rows]
    check_api(sdk, path, wanted)
    check_json(sdk, path, wanted)
    check_arrow(sdk, path, wanted)
    check_sql(sdk, path, wanted)


def check_api(sdk: Served, path: str, wanted: list[list[Cell]]) -> None:
    """Compare rows read through `Api`, streamed and sampled."""
    run = stepwell.Api(sdk.environment["STEPWELL_BASE_URL"]).run(path)
    for rows in (list(run.scan_history()), run.history(samples=10_000, pandas=False)):
        assert [row["_step"] for row in rows] == list(range(len(wanted)))
        for row, logged in zip(rows, wanted, strict=True):
            assert set(row) - {"_step", "_timestamp", "_runtime"} == {cell.key for cell in logged}
            assert all(same(row[cell.key], cell.value) for cell in logged), (row, logged)


def check_json(sdk: Served, path: str, wanted: list[list[Cell]]) -> None:
    """Compare the plain JSON of HTTP, in which NaN and the infinities are texts."""
    names = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
    lines = fetch(sdk, path, "scan").text.split("\n")[:-1]
    for line, logged in zip(lines, wanted, strict=True):
        row = json.loads(line)
        for key, kind, value in logged:
            found = names.get(row[key], row[key]) if kind == "number" and isinstance(row[key], str) else row[key]
            assert kind == "other" or same(found, value), (found, value)


def check_arrow(sdk: Served, path: str, wanted: list[list[Cell]]) -> None:
    """Compare the Arrow table of HTTP, whose column metadata name key and kind."""
    content = fetch(sdk, path, "scan", format="arrow", exact=True).content
    table = pa.ipc.open_stream(io.BytesIO(content)).read_all()
    columns: dict[tuple[str, str], list[Any]] = {}
    for number, field in enumerate(table.schema):
        if field.metadata:
            name = field.metadata[b"key"].decode(), field.metadata[b"kind"].decode()
            values = table.column(number).to_pylist()
            # The digits of a number's integers are its second column.
            known = columns.get(name, values)
            columns[name] = [one if more is None else int(more) for one, more in zip(known, values, strict=True)] \
                if name in columns else values  # fmt: skip
    for step, logged in enumerate(wanted):
        for key, kind, value in logged:
            assert kind == "other" or same(columns[key, kind][step], value), (key, step, value)


def check_sql(sdk: Served, path: str, wanted: list[list[Cell]]) -> None:
    """Compare the public views."""
    run_id = path.rpartition("/")[2]
    for view, kind in (("numbers", "number"), ("strings", "string"), ("bools", "bool"), ("others", "other")):
        found = sdk.store.query(f"SELECT * FROM {{db}}.{view} WHERE run_id = {{run:String}}", {"run": run_id})
        stored = {(row["key"], row["step"]): row for row in found.to_pylist()}
        logged = {(one.key, step): one.value for step, row in enumerate(wanted) for one in row if one.kind == kind}
        assert stored.keys() == logged.keys()
        for place, value in logged.items():
            row = stored[place]
            if kind == "number" and isinstance(value, int):
                assert row["exact"] == exact_text(value)
                assert row["exact"] or row["value"] == value
            else:
                assert kind == "other" or same(row["value"], value), (place, row, value)


def test_the_service_sums_up_as_defined_before_the_client_ends(sdk: Served) -> None:
    with stepwell.init(id="live", settings={**sdk.settings, "quiet": True}) as run:
        run.define_metric("*", summary="last", step_metric="epoch")
        run.define_metric("loss", summary="min,best,first", goal="minimize")
        run.define_metric("internal", summary="none")
        run.define_metric("Text", summary="max")
        run.define_metric("huge", summary="min")
        run.define_metric("huge", summary="max,first")
        for epoch, loss in enumerate([3.0, math.nan, 1.0, 2.0]):
            run.log({"epoch": epoch})
            run.log(
                {
                    "LOSS": loss,
                    "text": "NaN",
                    "internal": 1,
                    "acc": math.inf,
                    "big": 2**64 + epoch + 1,
                    "huge": epoch - 10**400,
                }
            )
        run.summary["note"] = math.nan
        expected = {
            "LOSS": {"min": 1.0, "best": 1.0, "first": 3.0},
            "text": "NaN",
            "acc": {"last": math.inf},
            "big": {"last": 2**64 + 4},
            "huge": {"min": -(10**400), "max": 3 - 10**400, "first": -(10**400)},
            "epoch": {"last": 3},
        }
        api = stepwell.Api(sdk.environment["STEPWELL_BASE_URL"])
        eventually(lambda: sdk.count("runs", "live"), 1)
        eventually(lambda: "note" in api.run(run.path).summary, True)
        found = dict(api.run(run.path).summary)
        assert math.isnan(found.pop("note"))
        assert found == expected
        assert {key: value for key, value in run.summary.items() if key != "note"} == expected
    view = fetch(sdk, run.path, "series", key=["loss", "acc"]).json()
    axes = [(series["key"], series["x_axis"], series["x"], series["step"]) for series in view["series"]]
    # The metric's own definition, which names no step metric, takes precedence over the pattern's.
    assert axes == [("LOSS", "_step", [1, 3, 5, 7], [1, 3, 5, 7]), ("acc", "epoch", [0, 1, 2, 3], [1, 3, 5, 7])]
