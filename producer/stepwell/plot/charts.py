"""Charts with wandb's names and arguments, as Plotly figures: `run.log({"roc": stepwell.plot.roc_curve(y, probs)})`.

Each function returns a `stepwell.Plotly` of plain JSON, without a dependency on plotly. `split_table` exists for
compatibility with wandb and is ignored. Non-numbers, NaN and ±Inf are gaps. Invalid arguments raise ValueError.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np

from stepwell.media.arrays import as_array
from stepwell.media.plotly import Plotly
from stepwell.media.table import Table
from stepwell.plot.curves import average_precision, confusion, interpolated_precision, roc, scores_by_class
from stepwell.values.convert import to_json_value
from stepwell_schemas.rules.json_values import FLOATS

_PR_POINTS: Final = 21
_CURVE_POINTS: Final = 5_000
"""Points of a drawn ROC curve, more than a screen's width; all points of a million samples would take 40 MB."""

_Trace = dict[str, Any]


def line_series(
    xs: Any,
    ys: Any,
    keys: Iterable[str] | None = None,
    title: str = "",
    xname: str = "x",
    split_table: bool = False,  # noqa: ARG001
) -> Plotly:
    """Return lines over common or separate x values.

    Args:
        xs: one list of x values for all lines, or one for each. ys: a list of y values for each line.
            The longer of a line's x and y is truncated.
        keys: the lines' names; default: `line_0`, `line_1`, …

    Raises:
        ValueError: if the numbers of xs, ys and keys differ.
    """
    lines = [list(y) for y in ys]
    given = list(xs)
    several = bool(given) and isinstance(given[0], Iterable) and not isinstance(given[0], str | bytes)
    across = [list(x) for x in given] if several else [given] * len(lines)
    names = [f"line_{number}" for number in range(len(lines))] if keys is None else [str(key) for key in keys]
    _same("xs", len(across), "ys", len(lines))
    _same("keys", len(names), "ys", len(lines))
    traces = [_line(x[: len(y)], y[: len(x)], name) for name, x, y in zip(names, across, lines, strict=True)]
    return _figure(traces, title, xname, "")


def line(
    table: Table,
    x: str,
    y: str,
    stroke: str | None = None,
    title: str = "",
    split_table: bool = False,  # noqa: ARG001
) -> Plotly:
    """Return a line of a table's column `y` over its column `x`; with `stroke`, one line per value of that column."""
    across, up = table.get_column(x), table.get_column(y)
    if stroke is None:
        return _figure([_line(across, up, y)], title, x, y)
    groups: dict[str, tuple[list[Any], list[Any]]] = {}
    for name, x_value, y_value in zip(table.get_column(stroke), across, up, strict=True):
        points = groups.setdefault(str(name), ([], []))
        points[0].append(x_value)
        points[1].append(y_value)
    return _figure([_line(*points, name) for name, points in groups.items()], title, x, y, legend=stroke)


def scatter(table: Table, x: str, y: str, title: str = "", split_table: bool = False) -> Plotly:  # noqa: ARG001
    """Return a scatter plot of a table's columns `x` and `y`."""
    points = _line(table.get_column(x), table.get_column(y), y) | {"mode": "markers"}
    return _figure([points], title, x, y)


def bar(table: Table, label: str, value: str, title: str = "", split_table: bool = False) -> Plotly:  # noqa: ARG001
    """Return a bar per row of a table: the column `value`, labelled by the column `label`."""
    labels = [str(name) for name in table.get_column(label)]
    bars = {"type": "bar", "name": value, "x": labels, "y": _ready(table.get_column(value))}
    # Labels such as "1" and "2" are names, not positions on a scale.
    return _figure([bars], title, label, value, xaxis={"type": "category"})


def histogram(table: Table, value: str, title: str = "", split_table: bool = False) -> Plotly:  # noqa: ARG001
    """Return a histogram of a table's column; the page chooses the bins."""
    return _figure([{"type": "histogram", "name": value, "x": _ready(table.get_column(value))}], title, value, "count")


def confusion_matrix(
    probs: Any = None,
    y_true: Any = None,
    preds: Any = None,
    class_names: Sequence[str] | None = None,
    title: str = "Confusion Matrix Curve",
    split_table: bool = False,  # noqa: ARG001
) -> Plotly:
    """Return a confusion matrix: counts of actual against predicted classes.

    Args:
        probs: [samples, classes]: the most probable class is the predicted one. preds: the predicted classes, instead
            of `probs`. y_true: the true classes.
        class_names: names of the classes 0, 1, …; default: `Class_1`, … for the classes that occur, sorted.

    Raises:
        ValueError: if both or none of `probs` and `preds` are given, the lengths differ, or a class has no name.
    """
    if (probs is None) == (preds is None) or y_true is None:
        raise ValueError("confusion_matrix takes y_true, and either probs or preds")
    true = as_array(y_true)
    predicted = as_array(preds) if probs is None else np.argmax(as_array(probs), axis=1)
    _same("predictions", len(predicted), "y_true", len(true))
    classes = np.unique(np.concatenate([true, predicted])) if class_names is None else np.arange(len(class_names))
    names = [f"Class_{index + 1}" for index in range(len(classes))] if class_names is None else list(class_names)
    counts = confusion(true, predicted, classes).tolist()
    cells = {
        "type": "heatmap",
        "x": names,
        "y": names,
        "z": counts,
        "texttemplate": "%{z}",
        "colorscale": "Blues",
        "colorbar": {"title": {"text": "count"}},
        "hovertemplate": "actual %{y}<br>predicted %{x}<br>count %{z}<extra></extra>",
    }
    axis = {"type": "category"}
    # The first class is at the top, as usual for matrices.
    return _figure([cells], title, "Predicted", "Actual", xaxis=axis, yaxis={**axis, "autorange": "reversed"})


def roc_curve(
    y_true: Any = None,
    y_probas: Any = None,
    labels: Sequence[str] | None = None,
    classes_to_plot: Sequence[Any] | None = None,
    title: str = "ROC Curve",
    split_table: bool = False,  # noqa: ARG001
) -> Plotly:
    """Return a ROC curve per class: true over false positive rate; the legend shows the area under the curve.

    A curve of more than 5,000 points is drawn from 5,000 evenly chosen ones, ends included; the area counts all.

    Args:
        y_true: [samples] the true classes. y_probas: [samples, classes] probabilities or scores, a column for each
            class of `y_true` in their order (or for each class from 0 on).
        labels: names of the classes 0, 1, … classes_to_plot: classes to draw; default: all of `y_true`.

    Raises:
        ValueError: if an argument is missing, the shapes do not match, or a score is NaN.
    """
    traces = []
    for name, positive, scores in scores_by_class(y_true, y_probas, labels, classes_to_plot):
        across, up = roc(positive, scores)
        area = float(np.trapezoid(up, across))
        drawn = np.linspace(0, len(across) - 1, min(len(across), _CURVE_POINTS)).round().astype(np.int64)
        traces.append(_line(across[drawn], up[drawn], name if math.isnan(area) else f"{name} (area {area:.3f})"))
    chance = _line([0, 1], [0, 1], "chance") | {"line": {"dash": "dash", "color": "gray"}}
    return _figure([*traces, chance], title, "False positive rate", "True positive rate", legend="class")


def pr_curve(
    y_true: Any = None,
    y_probas: Any = None,
    labels: Sequence[str] | None = None,
    classes_to_plot: Sequence[Any] | None = None,
    interp_size: int = _PR_POINTS,
    title: str = "Precision-Recall Curve",
    split_table: bool = False,  # noqa: ARG001
) -> Plotly:
    """Return a precision-recall curve per class: the best precision at each recall or a higher one.

    Args:
        interp_size: number of recall points, evenly from 0 to 1. Other arguments: see `roc_curve`.

    Raises:
        ValueError: see `roc_curve`; also if `interp_size` is below 2.
    """
    if interp_size < 2:
        raise ValueError(f"interp_size {interp_size}: must be at least 2")
    recall = np.linspace(0, 1, interp_size)
    traces = []
    for name, positive, scores in scores_by_class(y_true, y_probas, labels, classes_to_plot):
        area = average_precision(positive, scores)
        shown = name if math.isnan(area) else f"{name} (average {area:.3f})"
        traces.append(_line(recall, interpolated_precision(positive, scores, recall), shown))
    return _figure(traces, title, "Recall", "Precision", legend="class")


def _line(x: Any, y: Any, name: str) -> _Trace:
    return {"type": "scatter", "mode": "lines", "name": name, "x": _ready(x), "y": _ready(y)}


def _figure(
    traces: list[_Trace],
    title: str,
    xname: str,
    yname: str,
    legend: str = "",
    xaxis: _Trace | None = None,
    yaxis: _Trace | None = None,
) -> Plotly:
    layout = {
        "title": {"text": title},
        "xaxis": {"title": {"text": xname}, **(xaxis or {})},
        "yaxis": {"title": {"text": yname}, **(yaxis or {})},
        "showlegend": all(trace["type"] != "heatmap" for trace in traces),
        "legend": {"title": {"text": legend}},
    }
    return Plotly({"data": traces, "layout": layout})


def _ready(values: Any) -> list[Any]:
    """Return values in the figure's form: numbers, texts, and None for gaps."""
    plain = [to_json_value(value, exact=False) for value in values]
    return [None if isinstance(value, str) and value in FLOATS else value for value in plain]


def _same(name: str, length: int, other: str, expected: int) -> None:
    if length != expected:
        raise ValueError(f"{name} has {length} entries, but {other} has {expected}")
