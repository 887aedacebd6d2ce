"""Curves of classifiers, computed with numpy: ROC, precision and recall, confusion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepwell.media.arrays import as_array

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def scores_by_class(
    y_true: Any, y_probas: Any, labels: Sequence[str] | None, classes_to_plot: Sequence[Any] | None
) -> Iterator[tuple[str, Bools, Floats]]:
    """Yield each class's name, the mask of its samples, and all samples' scores for it.

    Args:
        y_true: [samples] classes. y_probas: [samples, classes] scores.
        labels: names of the classes 0, 1, … classes_to_plot: classes to yield; default: all.

    Raises:
        ValueError: if an argument is missing, the shapes do not match, a class has no name, or a score is NaN.
    """
    if y_true is None or y_probas is None:
        raise ValueError("y_true and y_probas are required")
    true, scores = as_array(y_true), as_array(y_probas).astype(np.float64)
    if true.ndim != 1 or scores.ndim != 2 or len(true) != len(scores) or not len(true):
        raise ValueError(
            f"y_true has shape {list(true.shape)} and y_probas {list(scores.shape)}: must be [n] and [n, k]"
        )
    if np.isnan(scores).any():
        raise ValueError("y_probas holds NaN: samples can't be ordered by it")
    classes = np.unique(true)
    for index, label in enumerate(classes):
        if classes_to_plot is not None and label not in classes_to_plot:
            continue
        number = int(label) if np.issubdtype(true.dtype, np.integer) or true.dtype == np.bool_ else None
        column = index
        if len(classes) != scores.shape[1]:
            # Classes without samples have a column as well.
            column = -1 if number is None else number
            if not 0 <= column < scores.shape[1]:
                raise ValueError(
                    f"y_probas has {scores.shape[1]} columns, which do not include class {label!r} of y_true's "
                    f"{len(classes)}"
                )
        if labels is not None and number is not None and not 0 <= number < len(labels):
            raise ValueError(f"labels has {len(labels)} names, but y_true has class {number}")
        name = str(label) if labels is None or number is None else str(labels[number])
        yield name, true == label, scores[:, column]


def roc(positive: Bools, scores: Floats) -> tuple[Floats, Floats]:
    """Return the false and true positive rates at every threshold, from (0, 0) to (1, 1).

    Points inside a straight line are left out. Without positive (or negative) samples, their rates are NaN.
    """
    true, false = _counts(positive, scores)
    if len(true) > 2:
        bends = (np.diff(false, 2) != 0) | (np.diff(true, 2) != 0)
        kept = np.concatenate([[True], bends, [True]])
        true, false = true[kept], false[kept]
    true, false = np.concatenate([[0], true]), np.concatenate([[0], false])
    with np.errstate(invalid="ignore"):
        return false / np.float64(false[-1]), true / np.float64(true[-1])


def precision_recall(positive: Bools, scores: Floats) -> tuple[Floats, Floats]:
    """Return precision and recall by falling threshold, starting at recall 0 with precision 1."""
    true, false = _counts(positive, scores)
    precision = np.concatenate([[1.0], true / (true + false)])
    with np.errstate(invalid="ignore"):
        return precision, np.concatenate([[0], true]) / np.float64(true[-1])


def interpolated_precision(positive: Bools, scores: Floats, recalls: Floats) -> Floats:
    """Return the best precision at each recall or a higher one; NaN if no sample is positive."""
    if not positive.any():
        return np.full(len(recalls), np.nan)
    precision, recall = precision_recall(positive, scores)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return best[np.searchsorted(recall, recalls, side="left")]


def average_precision(positive: Bools, scores: Floats) -> float:
    """Return the mean precision, weighted by the increase in recall; NaN if no sample is positive."""
    precision, recall = precision_recall(positive, scores)
    return float(np.sum(np.diff(recall) * precision[1:]))


def confusion(true: NDArray[Any], predicted: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.int64]:
    """Return the counts [actual, predicted] of sorted classes.

    Raises:
        ValueError: if a sample has none of these classes.
    """
    for name, values in (("y_true", true), ("predictions", predicted)):
        outside = values[~np.isin(values, classes)]
        if len(outside):
            raise ValueError(f"{name} has class {outside[0]!r}, but there are {len(classes)} class_names")
    counts = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(counts, (np.searchsorted(classes, true), np.searchsorted(classes, predicted)), 1)
    return counts


def _counts(positive: Bools, scores: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the numbers of positive and negative samples at or above each distinct score, from the highest."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    ends = np.concatenate([np.flatnonzero(np.diff(ordered)), [len(ordered) - 1]])
    true = np.cumsum(positive[order], dtype=np.int64)[ends]
    return true, ends + 1 - true
