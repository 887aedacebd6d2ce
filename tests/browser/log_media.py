"""A training script that logs two runs with media of every kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from bokeh.plotting import figure

import stepwell

PAGE = "<b id=cell>{row}</b><script>document.body.append(' runs')</script>"


def log(name: str, shade: int) -> None:
    """Log one run, its images of a shade."""
    random = np.random.default_rng(0)
    run = stepwell.init(project="media", id=name, name=name)
    for step in range(3):
        pixels = np.full((16, 16, 3), shade + step * 20, np.uint8)
        picture = stepwell.Image(pixels, caption=f"step {step} of {name}")
        run.log({"picture": picture, "loss": 1.0 - step / 3, "said": f"line {step}"})
    mask = np.zeros((16, 16), np.uint8)
    mask[4:8, 4:8] = 1
    box = {
        "position": {"minX": 0.25, "minY": 0.25, "maxX": 0.5, "maxY": 0.5},
        "class_id": 1,
        "scores": {"sure": 0.9},
    }
    seen = stepwell.Image(
        pixels,
        boxes={"guess": {"box_data": [box], "class_labels": {1: "cat"}}},
        masks={"truth": {"mask_data": mask, "class_labels": {1: "cat"}}},
    )
    table = stepwell.Table(columns=["id", "name", "image", "page"])
    for row in range(60):
        page = stepwell.Html(PAGE.format(row=row))
        table.add_data(row, f"row {row % 7}", stepwell.Image(pixels[:, :, 0]), page)
    frames = random.integers(0, 256, (8, 3, 32, 32), np.uint8)
    lines = stepwell.plot.line_series(xs=[0, 1, 2], ys=[[3, 2, 1], [4, 3, 3]], keys=["train", "test"], title="Both")
    run.log(
        {
            "seen": seen,
            "several": [stepwell.Image(pixels), stepwell.Image(pixels[:8])],
            "tone": stepwell.Audio(np.sin(np.arange(4_000) / 5), sample_rate=8_000, caption="A"),
            "walk": stepwell.Video(frames, fps=8, format="mp4"),
            "weights": stepwell.Histogram(random.normal(size=1_000), num_bins=16),
            "plotly": go.Figure([go.Scatter(x=[1, 2], y=[3, 4], name="a"), go.Bar(x=[1, 2], y=[1, 2], name="b")]),
            "lines": lines,
            "samples": table,
            "cloud": stepwell.Object3D(random.random((5, 3))),
            "list": [1, "two", None],
        }
    )
    run.finish()


def log_one(name: str, value: object) -> None:
    """Log one value in a project of its own."""
    run = stepwell.init(project=name, id=name, name=name)
    run.log({name: value})
    run.finish()


log("dim", 20)
log("bright", 160)
log_one("escape", stepwell.Html(str(Path(__file__).parent / "escape.html"), inject=False))
chart = figure(width=300, height=200)
chart.line([1, 2, 3], [1, 4, 9])
log_one("chart", chart)
