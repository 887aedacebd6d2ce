"""Each data type from `log()` through the real broker and the real engine, and back over HTTP, bit for bit."""

from __future__ import annotations

import hashlib
import io
import json
import re
import signal
import wave
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd  # noqa: F401 - complete, before the ingestor's thread imports it during Plotly's import
import plotly.graph_objects as go
import pytest
from bokeh.plotting import figure as bokeh_figure
from matplotlib.figure import Figure
from PIL import Image as PILImage

import stepwell
from stepwell.api.run import ApiRun
from stepwell.errors import ApiError, MediaMissingError
from stepwell_schemas.limits import MEDIA_CHUNK_BYTES
from support.fakes.keeping import Kept
from support.servers.sdk import Served, eventually

mpl.use("agg")

RGB = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
LARGE = np.random.default_rng(0).bytes(2 * MEDIA_CHUNK_BYTES + 5)


def a_chart() -> Any:
    """Return a Bokeh chart."""
    chart = bokeh_figure()
    chart.line([1, 2], [3, 4])
    return chart


def pixels(content: bytes) -> Any:
    """Return an image file's pixels."""
    with PILImage.open(io.BytesIO(content)) as image:
        return np.asarray(image)


MEDIA: dict[str, Callable[[], Any]] = {
    "image": lambda: stepwell.Image(RGB, caption="é", masks={"m": {"mask_data": RGB[:, :, 0]}}),
    "images": lambda: [stepwell.Image(RGB), stepwell.Image(RGB[:, :, 0], caption="grey")],
    "large": lambda: stepwell.Video(LARGE, format="mp4"),
    "audio": lambda: stepwell.Audio(np.array([1, -2, 3], np.int16), sample_rate=8_000),
    "video": lambda: stepwell.Video(np.zeros((2, 3, 4, 4), np.uint8), fps=2),
    "html": lambda: stepwell.Html("<p>é</p>"),
    "points": lambda: stepwell.Object3D(np.eye(3)),
    "molecule": lambda: stepwell.Molecule("ATOM\n", file_type="pdb"),
    "histogram": lambda: stepwell.Histogram([1, 2, 2, 3], num_bins=3),
    "plotly": lambda: go.Figure(go.Scatter(x=[1], y=[2])),
    "matplotlib": lambda: Figure(figsize=(1, 1)),
    "empty": lambda: stepwell.Html("", inject=False),
}


def log_all(sdk: Served) -> stepwell.Receipt:
    """Log every type twice, together with a number."""
    with stepwell.init(id="run", settings={**sdk.settings, "quiet": True}) as run:
        for step in range(2):
            run.log({"loss": float(step), **{f"m/{key}": make() for key, make in MEDIA.items()}})
        run.config.update(SimpleNamespace(opt=SimpleNamespace(lr=0.1)))
        run.config.opt.lr = 0.3
        run.summary["best"] = {"acc": 1}
        run.summary["best"]["image"] = stepwell.Image(RGB, caption="best")
        return run.finish()


@cache
def expected(key: str) -> list[tuple[dict[str, Any], bytes | None]]:
    """Return the expected references of a key's value, and their files."""
    from stepwell.media.adapters import as_media

    kept, value = Kept(), MEDIA[key]()
    items = [as_media(item) for item in (value if isinstance(value, list) else [value])]
    references = [item.take(kept) for item in items if item is not None]
    return [(reference, kept.content(reference) if "sha256" in reference else None) for reference in references]


def test_each_type_comes_back_as_it_was_logged(sdk: Served, tmp_path: Path) -> None:
    receipt = log_all(sdk)
    assert receipt.stored == receipt.points == 2 * (len(MEDIA) + 1)
    assert (receipt.dead_letters, receipt.rejected, receipt.dropped, receipt.content_same) == (0, 0, 0, True)
    api = stepwell.Api(sdk.environment["STEPWELL_BASE_URL"])
    run = api.run("me/p/run")
    assert [one.id for one in api.runs("me/p", "config.opt.lr > 0.2 and summary.best.acc = 1")] == ["run"]
    assert run.summary["best"]["image"]["caption"] == "best"
    assert np.array_equal(pixels(run.file(run.summary["best"]["image"]["sha256"]).read()), RGB)
    for key in MEDIA:
        found = run.media(f"m/{key}")
        wanted = expected(key)
        assert [one.step for one in found] == [0] * len(wanted) + [1] * len(wanted)
        assert [one.step for one in run.media(f"M/{key}", step=1)] == [1] * len(wanted)
        for one, (reference, content) in zip(found, wanted * 2, strict=True):
            assert one.reference == reference
            if content is None:
                with pytest.raises(ApiError, match="has no file"):
                    one.read()
            else:
                assert one.read() == content
    image = run.media("m/image", step=0)[0]
    assert np.array_equal(pixels(image.read()), RGB)
    assert np.array_equal(pixels(run.file(image.reference["masks"]["m"]["sha256"]).read()), RGB[:, :, 0])
    with wave.open(io.BytesIO(run.media("m/audio")[0].read())) as sound:
        assert sound.readframes(3) == np.array([1, -2, 3], "<i2").tobytes()
    assert run.media("m/large")[0].save(tmp_path).read_bytes() == LARGE
    assert image.save(tmp_path).name == f"m_image-0-{image.reference['sha256'][:8]}.png"
    file = run.file(f"media/images/{image.reference['sha256']}.png")
    assert (file.size, file.mimetype) == (image.reference["size"], "image/png")
    path = file.download(tmp_path)
    assert path.read_bytes() == image.read()
    assert path == tmp_path / file.name
    with pytest.raises(ValueError, match=re.escape(str(path))):
        file.download(tmp_path)
    assert file.download(tmp_path, exist_ok=True) == path
    with pytest.raises(ApiError, match="'loss', but number"):
        run.media("loss")
    with pytest.raises(MediaMissingError) as missing:
        run.file("0" * 64)
    assert missing.value.state == "unknown"
    with pytest.raises(ApiError, match=r"'cat\.png'"):
        run.file("cat.png")
    check_files(run, tmp_path / "all")


def check_files(run: ApiRun, folder: Path) -> None:
    """Check that each file of the run is listed with its exact content, by one request for its metrics."""
    requests: list[ApiRun] = []
    metrics = ApiRun.metrics

    def counted(of_run: ApiRun) -> list[dict[str, Any]]:
        requests.append(of_run)
        return metrics(of_run)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ApiRun, "metrics", counted)
        files = run.files()
    assert requests == [run]
    assert len(files) == 2 * sum(len([content for _, content in expected(key)]) for key in MEDIA)
    for file in files:
        found = file.download(folder, exist_ok=True)
        assert found == folder / file.name
        assert (found.stat().st_size, hashlib.sha256(found.read_bytes()).hexdigest()) == (file.size, file.sha256)
        assert run.file(file.name)[3:] == file[3:]
    (sound, _) = run.files(pattern="media/audio/%.wav")
    assert run.files(names=[sound.name]) == [sound]
    assert run.files(pattern="%.mp3") == run.files(names=[]) == []


def test_sql_and_history_give_the_references(sdk: Served) -> None:
    log_all(sdk)
    (reference, _), *_ = expected("image")
    rows = sdk.store.query("SELECT value FROM {db}.media WHERE key = 'm/image' ORDER BY step").to_pylist()
    assert [json.loads(row["value"]) for row in rows] == [reference] * 2
    run = stepwell.Api(sdk.environment["STEPWELL_BASE_URL"]).run("me/p/run")
    assert [row["m/image"] for row in run.history(keys=["m/image"], pandas=False)] == [reference] * 2
    assert [row["m/image"] for row in run.scan_history(keys=["m/image"])] == [reference] * 2
    kinds = {metric["key"]: metric["kind"] for metric in run.metrics()}
    assert (kinds["m/points"], kinds["m/matplotlib"], kinds["m/plotly"]) == ("object3d", "image", "plotly")
    assert run.summary["m/image"] == reference
    # A file is sent once per session, even if it is logged several times.
    files = sdk.store.query("SELECT count() AS rows, uniqExact(sha256) AS files FROM {db}.media_files").to_pylist()[0]
    assert files["rows"] == files["files"]


def test_what_cannot_be_stored_costs_nothing_else(
    sdk: Served, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    large = tmp_path / "large.png"
    large.write_bytes(b"x" * 2_000)
    with stepwell.init(id="run", settings={**sdk.settings, "media_max_bytes": 1_000}) as run:
        run.log(
            {
                "gone": stepwell.Image(tmp_path / "gone.png"),
                "folder": stepwell.Image(tmp_path),
                "empty": stepwell.Image(b""),
                "large": stepwell.Image(large),
                "shape": [stepwell.Image(RGB), stepwell.Image(np.zeros(3))],
                "good": stepwell.Image(RGB),
                "loss": 1.0,
            }
        )
        receipt = run.finish()
    assert (receipt.logged, receipt.points, receipt.stored, receipt.rejected) == (1, 2, 2, 5)
    lines = capfd.readouterr().err.splitlines()
    for value, reason in (
        ("'gone' (Image)", "FileNotFoundError"),
        ("'folder' (Image)", str(tmp_path)),
        ("'empty' (Image)", "empty"),
        ("'large' (Image)", f"{large} has 2,000 bytes"),
        ("'large' (Image)", "1,000 (STEPWELL_MEDIA_MAX_BYTES)"),
        ("'shape' (list)", "shape [3]"),
    ):
        assert len([line for line in lines if value in line and reason in line]) == 1, (value, reason)


def test_a_key_of_several_kinds_gives_its_media_of_each(sdk: Served) -> None:
    with stepwell.init(id="run", settings={**sdk.settings, "quiet": True}) as run:
        run.log({"x": 1.5})
        run.log({"x": stepwell.Histogram([1, 2], num_bins=1)})
        run.log({"x": [stepwell.Image(RGB), stepwell.Image(RGB)]}, step=2)
        run.log({"x": 'a,\n"b"'}, step=2)
        run.log({"x": stepwell.Histogram([3, 4], num_bins=1)}, step=2)
        run.log({"x": 2}, step=2)
    read = stepwell.Api(sdk.environment["STEPWELL_BASE_URL"]).run("me/p/run")
    found = [(one.step, one.kind) for one in read.media("X")]
    assert found == [(1, "histogram"), (2, "histogram"), (2, "image"), (2, "image")]
    assert np.array_equal(pixels(read.media("x", step=2)[2].read()), RGB)
    assert len(read.files()) == 2
    assert [row["x"] for row in read.scan_history(keys=["x"])][-1] == 2


KILLED = """
import os, signal, stepwell
run = stepwell.init(id="run", mode="offline")
run.log({"video": stepwell.Video(b"x" * 3_000_000, format="mp4"), "loss": 1.0})
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_file_survives_the_death_of_its_process(sdk: Served) -> None:
    sdk.run(KILLED, code=-signal.SIGKILL)
    assert sdk.count("media") == 0
    with stepwell.init(id="run", resume="allow", settings={**sdk.settings, "quiet": True}) as run:
        run.log({"loss": 2.0})
    eventually(lambda: sdk.count("media"), 1)
    run_read = stepwell.Api(sdk.environment["STEPWELL_BASE_URL"]).run("me/p/run")
    assert run_read.media("video")[0].read() == b"x" * 3_000_000


def test_pages_may_run_scripts_and_have_no_origin(sdk: Served) -> None:
    import httpx

    with stepwell.init(id="run", settings={**sdk.settings, "quiet": True}) as run:
        run.log({"chart": a_chart()})
    stored = stepwell.Api(sdk.environment["STEPWELL_BASE_URL"]).run("me/p/run").media("chart")[0]
    address = f"{sdk.environment['STEPWELL_BASE_URL']}/api/v1/media/{stored.reference['sha256']}"
    answer = httpx.get(f"{address}/page")
    assert answer.headers["content-security-policy"].startswith("sandbox allow-scripts; default-src 'none';")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    # The library's scripts are in the page.
    assert b"Bokeh" in answer.content
    assert b"cdn.bokeh.org" not in answer.content
    assert httpx.get(address).headers["content-type"] == "application/octet-stream"
