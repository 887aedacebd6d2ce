"""Tables and charts from `log()` through the real broker and the real engine, and read back cell for cell."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image as PILImage

import stepwell
from stepwell.errors import ApiError
from stepwell_schemas.limits import MEDIA_CHUNK_BYTES
from support.servers.sdk import Served

PIXELS = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
WHEN = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
COLUMNS = ["n", "s", "b", "when", "list", "array", "mixed", "image", "images"]
ROWS: list[list[Any]] = [
    [1, "é", True, WHEN, [1.5, 2.5], np.array([1, 2], np.float32), "NaN"],
    [2**60, None, None, None, [], None, {"a": [None, 2**70]}],
    [None, "", False, WHEN, None, np.array([], np.float32), float("inf")],
]


def a_table() -> stepwell.Table:
    """Return a table with cells of every sort."""
    table = stepwell.Table(columns=COLUMNS, allow_mixed_types=True)
    image = stepwell.Image(PIXELS, caption="c")
    for row in ROWS:
        table.add_data(*row, image if row[0] == 1 else None, [image, image] if row[0] is None else None)
    return table


def log_all(sdk: Served) -> stepwell.Receipt:
    """Log tables and a chart."""
    with stepwell.init(id="run", settings={**sdk.settings, "quiet": True}) as run:
        table = stepwell.Table(columns=["a"], data=[[1]])
        run.log({"table": table, "loss": 0.5})
        table.add_data(2)
        run.log({"table": table, "all": a_table(), "bad": stepwell.Table(columns=["o"], data=[[object()]])})
        run.log({"large": stepwell.Table(data=pd.DataFrame({"x": np.random.default_rng(0).random(300_000)}))})
        run.log({"roc": stepwell.plot.roc_curve([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])})
        return run.finish()


def pixels(stored: Any) -> Any:
    """Return the pixels of an image that was read back."""
    with PILImage.open(io.BytesIO(stored.read())) as image:
        return np.asarray(image)


def test_tables_come_back_cell_for_cell(sdk: Served, tmp_path: Path) -> None:
    receipt = log_all(sdk)
    assert (receipt.points, receipt.stored) == (6, 6)
    run = stepwell.Api(sdk.environment["STEPWELL_BASE_URL"]).run("me/p/run")

    assert run.table("table").data == [[1], [2]]
    assert run.table("TABLE", step=0).data == [[1]]
    found = run.table("all")
    assert found.columns == COLUMNS
    for stored, given in zip(found.data, ROWS, strict=True):
        plain = [place for place in range(len(given)) if COLUMNS[place] != "array"]
        assert [stored[place] for place in plain] == [given[place] for place in plain]
        array = given[COLUMNS.index("array")]
        if array is None:
            assert stored[COLUMNS.index("array")] is None
        else:
            np.testing.assert_array_equal(stored[COLUMNS.index("array")], array, strict=True)
    (image, *others), images = found.get_column("image"), found.get_column("images")[2]
    assert others == [None, None]
    assert (image.kind, image.step, image.reference["caption"]) == ("image", 1, "c")
    assert all((pixels(one) == PIXELS).all() for one in (image, *images))
    frame = found.get_dataframe()
    assert (list(frame.columns), frame["b"].tolist()) == (COLUMNS, [True, None, False])
    assert frame["mixed"].tolist() == [row[6] for row in ROWS]

    large = run.media("large")[0]
    assert large.reference["size"] > MEDIA_CHUNK_BYTES
    assert large.save(tmp_path).suffix == ".parquet"
    assert (run.table("large").get_dataframe()["x"].to_numpy() == np.random.default_rng(0).random(300_000)).all()
    figure = json.loads(run.media("roc")[0].read())
    assert figure["data"][0]["name"] == "0 (area 1.000)"
    with pytest.raises(ApiError, match=r"table .*'roc'"):
        run.table("roc")
    with pytest.raises(ApiError, match="'table' at step 9"):
        run.table("table", step=9)
    with pytest.raises(ApiError, match="'loss', but number"):
        run.table("loss")


def test_sql_sees_name_step_shape_and_reference(sdk: Served) -> None:
    log_all(sdk)
    rows = sdk.store.query(
        "SELECT key, step, JSONExtractUInt(value, 'rows') AS rows,"
        " JSONExtract(value, 'columns', 'Array(String)') AS columns,"
        " JSONExtract(value, 'column_types', 'Array(String)') AS types FROM {db}.media"
        " WHERE run_id = 'run' AND kind = 'table' ORDER BY key, step"
    ).to_pylist()
    assert [(row["key"], row["step"], row["rows"]) for row in rows] == [
        ("all", 1, 3), ("large", 2, 300_000), ("table", 0, 1), ("table", 1, 2),
    ]  # fmt: skip
    assert (rows[0]["columns"], rows[2]["columns"]) == (COLUMNS, ["a"])
    assert rows[0]["types"] == [
        "number",
        "string",
        "bool",
        "datetime",
        "list",
        "array",
        "mixed",
        "image",
        "list of image",
    ]
    files = sdk.store.query(
        "SELECT count() AS n FROM {db}.media AS m JOIN {db}.media_files AS f"
        " ON f.sha256 = JSONExtractString(m.value, 'sha256') AND f.size = JSONExtractUInt(m.value, 'size')"
        " WHERE m.kind = 'table'"
    )
    assert files.column("n")[0].as_py() == 4
