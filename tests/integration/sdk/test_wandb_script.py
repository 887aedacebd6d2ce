"""A script written for wandb runs with only its import line changed, and all its data can be read in every way."""

from __future__ import annotations

import ast
import io
import json
import math
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import matplotlib as mpl
import numpy as np
import pandas as pd  # noqa: F401 - complete, before the ingestor's thread imports it concurrently
import pytest
from PIL import Image as PILImage

import stepwell
from stepwell.api.run import ApiRun
from stepwell.media.adapters import as_media
from stepwell.media.base import Media
from stepwell_schemas.rules.kinds import MEDIA_KINDS, exact_text
from support.fakes.keeping import Kept
from support.readers.expected import Cell, cells, same
from support.servers.sdk import Served, eventually

SCRIPT: Final = Path(__file__).parent / "scripts" / "train_digits.py"
_VIEWS: Final = {"number": "numbers", "string": "strings", "bool": "bools", "other": "others"}
_KINDS: Final = {
    "number", "string", "bool", "other", "audio", "histogram", "html", "image", "molecule", "object3d", "plotly",
    "table", "video",
}  # fmt: skip
_SECONDS: Final = 100

mpl.use("agg")


class Logged(NamedTuple):
    """Expected data of the script: the cells of each step, and media files by their SHA-256."""

    rows: dict[int, dict[str, Cell]]
    kept: Kept


def references(value: Any, kept: Kept) -> tuple[str, Any] | None:
    """Return the kind and reference of media, or of a list of them; None for other values."""
    items = value if isinstance(value, list) and value and as_media(value[0]) else [value]
    media = [found for item in items if isinstance(found := as_media(item), Media)]
    if not media:
        return None
    taken = [json.loads(json.dumps(one.take(kept))) for one in media]
    return str(media[0].kind), {"items": taken} if isinstance(value, list) else taken[0]


def media_cells(data: Mapping[str, Any], kept: Kept, prefix: str = "") -> Iterator[Cell]:
    """Yield the cells to be stored for a row."""
    for key, value in data.items():
        if isinstance(value, dict):
            yield from media_cells(value, kept, f"{prefix}{key}.")
        elif (found := references(value, kept)) is not None:
            yield Cell(f"{prefix}{key}", *found)
        else:
            yield from cells({key: value}, prefix)


@pytest.fixture
def logged(sdk: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Logged:
    """Run the script against a service, and record each call of `log()`."""
    found = Logged({}, Kept())
    log = stepwell.Run.log

    def taken_down(run: stepwell.Run, data: Any, step: int | None = None, commit: bool | None = None) -> None:
        row = found.rows.setdefault(run.step if step is None else step, {})
        row.update({cell.key: cell for cell in media_cells(data, found.kept)})
        log(run, data, step, commit)

    monkeypatch.setattr(stepwell.Run, "log", taken_down)
    for name, value in {**sdk.environment, "STEPWELL_RUN_ID": "run", "STEPWELL_CONSOLE": "auto"}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--epochs", "2"])
    text = SCRIPT.read_text("utf-8")
    assert text.count("\nimport wandb\n") == 1
    text = text.replace("\nimport wandb\n", "\nimport stepwell as wandb\n")
    with warnings.catch_warnings():
        # Don't fail on warnings of the script's libraries.
        warnings.simplefilter("ignore")
        exec(compile(text, str(SCRIPT), "exec"), {"__name__": "__main__"})
    return found


def _defined(node: ast.stmt) -> list[str]:
    """Return the names that a statement of a module defines or exports."""
    if isinstance(node, ast.ImportFrom):
        return [alias.asname or alias.name for alias in node.names]
    if isinstance(node, ast.AnnAssign):
        return [ast.unparse(node.target)]
    if isinstance(node, ast.Assign):
        exported = node.value.elts if isinstance(node.value, ast.Tuple) else []
        return [ast.unparse(node.targets[0]), *(str(one.value) for one in exported if isinstance(one, ast.Constant))]
    return []


def test_it_uses_names_and_arguments_of_wandb() -> None:
    """Compare the script with wandb's signatures, without an import of wandb, which takes seconds."""
    spec = find_spec("wandb")
    assert spec is not None
    assert spec.origin is not None
    module, stub = (ast.parse(Path(spec.origin).with_suffix(suffix).read_text("utf-8")) for suffix in (".py", ".pyi"))
    functions = {node.name: node for node in stub.body if isinstance(node, ast.FunctionDef)}
    names = {name for node in [*module.body, *stub.body] for name in _defined(node)}
    script = list(ast.walk(ast.parse(SCRIPT.read_text("utf-8"))))
    used = {node.attr for node in script if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "wandb"}
    assert len(used) > 15
    assert used <= {*names, *functions}
    calls = [node for node in script if isinstance(node, ast.Call)]
    known = [call for call in calls if ast.unparse(call.func) in {f"wandb.{name}" for name in functions}]
    for call in known:
        arguments = functions[ast.unparse(call.func).removeprefix("wandb.")].args
        accepted = {argument.arg for argument in (*arguments.args, *arguments.kwonlyargs)}
        assert {keyword.arg for keyword in call.keywords} <= accepted, ast.unparse(call.func)
    assert len(known) > 5


# Imports of wandb and of the script's libraries in another process take as long as all other tests of the script.
@pytest.mark.long
def test_it_runs_with_wandb_itself(tmp_path: Path) -> None:
    env = {**os.environ, "WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "WANDB_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, str(SCRIPT), "--epochs", "2"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    assert "run sgd-baseline" in done.stdout


def test_with_its_import_line_changed_everything_comes_back(logged: Logged, sdk: Served) -> None:
    assert {cell.kind for row in logged.rows.values() for cell in row.values()} == _KINDS
    run = stepwell.Api(sdk.environment["STEPWELL_BASE_URL"]).run("me/digits/run")
    check_run(sdk, run)
    check_rows(logged, {row["_step"]: row for row in run.scan_history()})
    check_rows(logged, {row["_step"]: row for row in run.history(samples=10_000, pandas=False)})
    check_http(sdk, logged)
    check_sql(sdk, logged)
    check_files(logged, run)
    check_tables(run)
    accuracy = f"accuracy {run.summary['final/accuracy']:.3f}"
    printed = ["run sgd-baseline (run) in project digits", f"INFO: Trained: {accuracy}"]
    eventually(lambda: [line.text for line in run.console()], printed)


def check_run(sdk: Served, run: ApiRun) -> None:
    """Check the run's metadata in Python, HTTP and SQL."""
    config = {
        "epochs": 2, "lr": 0.01, "model": {"kind": "sgd", "loss": "log_loss"}, "classes": list(range(10)), "seed": 7,
        "batch_size": 256,
    }  # fmt: skip
    assert (run.config, run.state, run.tags) == (config, "finished", ["baseline", "sklearn", "done"])
    assert (run.name, run.notes, run.group, run.job_type) == ("sgd-baseline", "SGD on 8×8 digits", "linear", "train")
    summary = run.summary
    assert set(summary["train/loss"]) == {"min", "last", "mean"}
    assert summary["val/accuracy"]["max"] == summary["final/accuracy"]
    assert (summary["classes"], "internal" in summary) == (10, False)
    url = f"{sdk.environment['STEPWELL_BASE_URL']}/api/v1/runs/me/digits/run"
    document = httpx.get(url).json()
    stored = sdk.store.query("SELECT * FROM {db}.runs WHERE run_id = 'run'").to_pylist()[0]
    names = {"name": "name", "notes": "notes", "group": "run_group", "job_type": "job_type", "tags": "tags"}
    assert {name: document[name] for name in names} == {name: stored[sql] for name, sql in names.items()}
    assert document["config"] == json.loads(stored["config"]) == config
    series = httpx.get(f"{url}/series", params={"key": ["val/accuracy"]}).json()["series"]
    assert (series[0]["x_axis"], series[0]["x"]) == ("epoch", [0, 1])


def check_rows(logged: Logged, rows: dict[int, Mapping[str, Any]]) -> None:
    """Compare rows read through Python or HTTP."""
    assert rows.keys() == logged.rows.keys()
    for step, wanted in logged.rows.items():
        found = rows[step]
        assert {key for key in found if not key.startswith("_")} == wanted.keys()
        for key, kind, value in wanted.values():
            assert found[key] == value if kind in MEDIA_KINDS else same(found[key], value), (step, key)


def check_http(sdk: Served, logged: Logged) -> None:
    """Compare the plain JSON of a scan, and the bytes of each file."""
    base = f"{sdk.environment['STEPWELL_BASE_URL']}/api/v1"
    lines = httpx.get(f"{base}/runs/me/digits/run/scan", timeout=60).text.splitlines()
    rows = {row["_step"]: row for row in map(json.loads, lines)}
    assert rows.keys() == logged.rows.keys()
    for step, wanted in logged.rows.items():
        for key, kind, value in wanted.values():
            found = rows[step][key]
            if isinstance(value, float) and math.isnan(value):
                assert found == "NaN"
            elif isinstance(value, np.ndarray):
                assert (found["dtype"], found["values"]) == (str(value.dtype), value.tolist())
            else:
                assert found == value if kind in MEDIA_KINDS else same(found, value), (step, key)
    with httpx.Client() as client:
        for sha256, (content, content_type) in logged.kept.files.items():
            answer = client.get(f"{base}/media/{sha256}")
            assert answer.content == content
            assert answer.headers["stepwell-media-type"].partition(";")[0] == content_type


def check_sql(sdk: Served, logged: Logged) -> None:
    """Compare the public views."""
    for kind in _KINDS:
        view = _VIEWS.get(kind, "media")
        condition = "" if kind in _VIEWS else f" AND kind = '{kind}'"
        stored = sdk.store.query(f"SELECT * FROM {{db}}.{view} WHERE run_id = 'run'{condition}").to_pylist()
        if kind == "string":
            stored = [row for row in stored if not row["key"].startswith("console/")]
        wanted = {
            (step, key): cell for step, row in logged.rows.items() for key, cell in row.items() if cell.kind == kind
        }
        assert {(row["step"], row["key"]) for row in stored} == wanted.keys()
        for row in stored:
            value = wanted[row["step"], row["key"]].value
            if kind in MEDIA_KINDS:
                assert json.loads(row["value"]) == value
            elif isinstance(value, int) and kind == "number":
                assert (row["value"], row["exact"]) == (float(value), exact_text(value))
            elif kind != "other":
                assert same(row["value"], value)
    others = sdk.store.query("SELECT key, value FROM {db}.others WHERE run_id = 'run'").to_pylist()
    assert {row["key"]: row["value"] for row in others} == {
        "list": "[1, 2.5]",
        "none": "null",
        "numpy.vector": '{"_type": "array", "dtype": "int64", "shape": [5], "values": [0, 1, 2, 3, 4]}',
    }


def check_files(logged: Logged, run: ApiRun) -> None:
    """Compare the bytes of media read through `Api` with those logged."""
    for row in logged.rows.values():
        for key, kind, value in row.values():
            if kind not in MEDIA_KINDS:
                continue
            found = run.media(key)
            items = value.get("items", [value])
            assert [(one.kind, one.reference) for one in found] == [(kind, item) for item in items]
            for one, item in zip(found, items, strict=True):
                assert kind == "histogram" or one.read() == logged.kept.content(item)


def check_tables(run: ApiRun) -> None:
    """Check that tables are read back as data frames with media cells."""
    frame = run.table("tables/samples").get_dataframe()
    assert list(frame.columns) == ["id", "image", "truth", "guess", "sure", "right", "label"]
    assert frame["label"][1] == f"1: {frame['truth'][1]}"
    for image, stored in zip(run.media("images/list"), frame["image"], strict=True):
        with PILImage.open(io.BytesIO(image.read())) as one, PILImage.open(io.BytesIO(stored.read())) as other:
            assert np.array_equal(np.asarray(one), np.asarray(other))
    assert run.table("tables/epochs").get_dataframe()["accuracy"].tolist() == [0.5, 0.9]
    charts = run.table("charts/interactive")
    for library, page in charts.data:
        assert page.kind == "html"
        assert {"bokeh": b"bokeh", "panel": b"Panel", "plotly": b"plotly"}[library] in page.read()
