"""Charts: their numbers against scikit-learn and wandb, and figures that Plotly accepts."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import plotly.io
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn import metrics

import stepwell
from stepwell.plot import charts, curves
from support.fakes.keeping import Kept

_TABLE = stepwell.Table(
    columns=["x", "y", "group"], data=[[1, 2.0, "a"], [2, float("nan"), "a"], [3, float("inf"), "b"], [None, 5, "b"]]
)
_TRUE = [0, 1, 2, 2, 1, 0]
_PROBS = [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4], [0.2, 0.5, 0.3], [0.3, 0.4, 0.3], [0.4, 0.5, 0.1]]

CHARTS: dict[str, Callable[[], stepwell.Plotly]] = {
    "line_series": lambda: charts.line_series([1, 2], [[3, 4], [5, 6]], keys=["a", "b"], title="t", xname="x"),
    "line": lambda: charts.line(_TABLE, "x", "y", title="t"),
    "strokes": lambda: charts.line(_TABLE, "x", "y", stroke="group", title="t"),
    "scatter": lambda: charts.scatter(_TABLE, "x", "y", "t"),
    "bar": lambda: charts.bar(_TABLE, "group", "y", "t"),
    "histogram": lambda: charts.histogram(_TABLE, "y", "t"),
    "confusion_matrix": lambda: charts.confusion_matrix(_PROBS, _TRUE, title="t"),
    "roc_curve": lambda: charts.roc_curve(_TRUE, _PROBS, title="t"),
    "pr_curve": lambda: charts.pr_curve(_TRUE, _PROBS, title="t"),
}


def find_figure(chart: stepwell.Plotly) -> dict[str, Any]:
    """Return a chart's JSON."""
    kept = Kept()
    figure: dict[str, Any] = json.loads(kept.content(chart.take(kept)))
    return figure


def traces_of(chart: stepwell.Plotly) -> dict[str, tuple[list[Any], list[Any]]]:
    """Return a chart's x and y by trace."""
    return {trace["name"]: (trace["x"], trace["y"]) for trace in find_figure(chart)["data"]}


@pytest.mark.parametrize("name", CHARTS)
def test_plotly_takes_each_figure(name: str) -> None:
    figure = find_figure(CHARTS[name]())
    made = plotly.io.from_json(json.dumps(figure), skip_invalid=False)
    assert made.layout.title.text == "t"
    assert made.layout.xaxis.title.text
    assert made.layout.showlegend or name == "confusion_matrix"
    for trace, drawn in zip(figure["data"], json.loads(made.to_json())["data"], strict=True):
        # The only field that Plotly expands.
        assert trace == {**drawn, **({"colorscale": "Blues"} if "colorscale" in trace else {})}


def test_lines_share_an_x_or_have_their_own() -> None:
    assert traces_of(charts.line_series([0, 1], [[2, 3], np.array([4.5, np.nan])])) == {
        "line_0": ([0, 1], [2, 3]),
        "line_1": ([0, 1], [4.5, None]),
    }
    assert traces_of(charts.line_series([[0], [1, 2, 9]], [[5], [6, 7]], keys=["a", "b"])) == {
        "a": ([0], [5]),
        "b": ([1, 2], [6, 7]),
    }
    with pytest.raises(ValueError, match=r"xs .* 1 .* ys .* 2"):
        charts.line_series([[0]], [[1], [2]])
    with pytest.raises(ValueError, match=r"keys .* 1 .* ys .* 2"):
        charts.line_series([0], [[1], [2]], keys=["a"])


def test_columns_become_traces_and_gaps() -> None:
    assert traces_of(charts.line(_TABLE, "x", "y")) == {"y": ([1, 2, 3, None], [2.0, None, None, 5])}
    assert traces_of(charts.line(_TABLE, "x", "y", stroke="group")) == {
        "a": ([1, 2], [2.0, None]),
        "b": ([3, None], [None, 5]),
    }
    assert traces_of(charts.bar(_TABLE, "group", "x")) == {"x": (["a", "a", "b", "b"], [1, 2, 3, None])}
    scatter, histogram = find_figure(charts.scatter(_TABLE, "x", "y")), find_figure(charts.histogram(_TABLE, "x"))
    assert (scatter["data"][0]["mode"], scatter["layout"]["yaxis"]["title"]["text"]) == ("markers", "y")
    assert (histogram["data"][0]["type"], histogram["data"][0]["x"]) == ("histogram", [1, 2, 3, None])
    with pytest.raises(ValueError, match="column 'z'"):
        charts.scatter(_TABLE, "x", "z")


@st.composite
def samples(draw: st.DrawFn) -> tuple[Any, Any]:
    """Return which samples are positive, some of both, and scores that may be equal."""
    size = draw(st.integers(2, 30))
    positive = draw(arrays.arrays(np.bool_, size))
    positive[:2] = [True, False]
    scores = draw(arrays.arrays(np.float64, size, elements=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0])))
    return positive, scores


@given(samples())
def test_rates_are_those_of_scikit_learn(given_samples: tuple[Any, Any]) -> None:
    positive, scores = given_samples
    across, up = curves.roc(positive, scores)
    expected = metrics.roc_curve(positive, scores)
    np.testing.assert_array_equal(across, expected[0])
    np.testing.assert_array_equal(up, expected[1])
    precision, recall = curves.precision_recall(positive, scores)
    wanted = metrics.precision_recall_curve(positive, scores)
    np.testing.assert_array_equal(precision[::-1], wanted[0])
    np.testing.assert_array_equal(recall[::-1], wanted[1])
    average = metrics.average_precision_score(positive, scores)
    assert curves.average_precision(positive, scores) == pytest.approx(average)


@given(samples())
def test_rates_only_rise_and_interpolated_precision_only_falls(given_samples: tuple[Any, Any]) -> None:
    positive, scores = given_samples
    across, up = curves.roc(positive, scores)
    assert (across[0], up[0], across[-1], up[-1]) == (0, 0, 1, 1)
    assert (np.diff(across) >= 0).all()
    assert (np.diff(up) >= 0).all()
    best = curves.interpolated_precision(positive, scores, np.linspace(0, 1, 21))
    assert (np.diff(best) <= 0).all()
    assert best[-1] >= positive.mean()


@given(st.integers(0, 2**32 - 1), st.integers(2, 4))
def test_curves_are_wandbs(seed: int, count: int) -> None:
    import wandb

    random = np.random.default_rng(seed)
    true = np.concatenate([np.arange(count), random.integers(0, count, 20)])
    probs = random.dirichlet(np.ones(count), len(true))
    names = [f"class {number}" for number in range(count)]
    # Their annotations allow only lists.
    pairs: list[tuple[Any, Any, tuple[int, int]]] = [
        (charts.roc_curve, wandb.plot.roc_curve, (1, 2)),
        (charts.pr_curve, wandb.plot.pr_curve, (2, 1)),
    ]
    for ours, theirs, columns in pairs:
        drawn = traces_of(ours(true, probs, labels=names))
        rows = theirs(true, probs, labels=names).table.data
        for name in names:
            x, y = next(points for shown, points in drawn.items() if shown.startswith(name))
            wanted = sorted((row[columns[0]], row[columns[1]]) for row in rows if row[0] == name)
            found = sorted(zip(np.round(x, 3).tolist(), np.round(y, 3).tolist(), strict=True))
            np.testing.assert_allclose(found, wanted, atol=1e-9)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1))
def test_confusion_is_that_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    true, predicted = (list(one) for one in zip(*pairs, strict=True))
    (cells,) = find_figure(charts.confusion_matrix(y_true=true, preds=predicted, class_names=list("abcd")))["data"]
    assert cells["z"] == metrics.confusion_matrix(true, predicted, labels=range(4)).tolist()
    assert cells["x"] == cells["y"] == list("abcd")
    (unnamed,) = find_figure(charts.confusion_matrix(y_true=true, preds=predicted))["data"]
    with warnings.catch_warnings():
        # Samples of a single class.
        warnings.simplefilter("ignore")
        assert unnamed["z"] == metrics.confusion_matrix(true, predicted).tolist()
    assert unnamed["x"] == [f"Class_{number + 1}" for number in range(len(set(true) | set(predicted)))]


def test_the_most_probable_class_is_the_predicted_one() -> None:
    (cells,) = find_figure(charts.confusion_matrix(_PROBS, _TRUE))["data"]
    assert cells["z"] == [[1, 1, 0], [0, 2, 0], [0, 1, 1]]


def test_names_classes_and_areas() -> None:
    chart = charts.roc_curve(_TRUE, _PROBS, labels=["cat", "dog", "owl"], classes_to_plot=[0, 2])
    assert list(traces_of(chart)) == ["cat (area 1.000)", "owl (area 0.938)", "chance"]
    assert list(traces_of(charts.pr_curve(["x", "y"], [[0.9, 0.1], [0.2, 0.8]]))) == [
        "x (average 1.000)",
        "y (average 1.000)",
    ]
    # A class without samples keeps its column.
    assert list(traces_of(charts.roc_curve([0, 2], [[0.9, 0, 0.1], [0.2, 0, 0.8]])))[1] == "2 (area 1.000)"
    assert len(traces_of(charts.pr_curve(_TRUE, _PROBS, interp_size=5))["1 (average 0.750)"][0]) == 5


def test_a_long_curve_is_drawn_from_some_of_its_points() -> None:
    random = np.random.default_rng(0)
    scores, true = random.random(50_000), random.integers(0, 2, 50_000)
    drawn = traces_of(charts.roc_curve(true, np.stack([1 - scores, scores], 1), classes_to_plot=[1]))
    ((name, (x, y)), _) = drawn.items()
    assert name == f"1 (area {metrics.roc_auc_score(true, scores):.3f})"
    assert (len(x), x[0], y[0], x[-1], y[-1]) == (5_000, 0, 0, 1, 1)
    points = set(zip(*metrics.roc_curve(true, scores)[:2], strict=True))
    assert set(zip(x, y, strict=True)) <= points


def test_one_class_alone_leaves_gaps() -> None:
    x, y = traces_of(charts.roc_curve([1, 1], [[0.1, 0.9], [0.2, 0.8]]))["1"]
    assert set(x) == {None}
    assert y[-1] == 1
    assert np.isnan(curves.interpolated_precision(np.array([False]), np.array([0.5]), np.array([0.0, 1.0]))).all()
    assert math.isnan(curves.average_precision(np.array([False]), np.array([0.5])))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: charts.roc_curve(None, _PROBS), "y_true and y_probas"),
        (lambda: charts.roc_curve([0, 1], [0.5, 0.5]), r"y_probas \[2\]: must be \[n\] and \[n, k\]"),
        (lambda: charts.pr_curve([0, 1], [[0.5, float("nan")], [0, 1]]), "NaN"),
        (lambda: charts.pr_curve(_TRUE, _PROBS, interp_size=1), "interp_size 1"),
        (lambda: charts.roc_curve(_TRUE, _PROBS, labels=["a"]), "labels .* 1 .* y_true .* class 1"),
        (lambda: charts.roc_curve([0, 5], [[1, 0, 0], [0, 1, 0]]), "3 columns"),
        (lambda: charts.confusion_matrix(_PROBS, _TRUE, _TRUE), "either probs or preds"),
        (lambda: charts.confusion_matrix(preds=[0], y_true=[0, 1]), "predictions .* 1 .* y_true .* 2"),
        (
            lambda: charts.confusion_matrix(preds=[0, 2], y_true=[0, 1], class_names=["a", "b"]),
            "predictions .* class .*2",
        ),
    ],
)
def test_wrong_arguments_are_named(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()
