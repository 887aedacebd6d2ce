"""Training on scikit-learn's handwritten digits: softmax regression by stochastic gradient descent.

The arithmetic is plain numpy, so that a step on one sample costs microseconds and a million of them a demo's time.
Everything is a function of its arguments (the seed included), and independent of logging.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_CLASSES = 10
_PIXEL_MAX = 16.0
_VALIDATION_SHARE = 5
_ACCURACY_HALF_LIFE = 200.0


class Digits(NamedTuple):
    """Images as float64[n, 64] in 0..1 with a constant 1 appended, labels as int64[n]; every fifth one validates."""

    images: Floats
    labels: NDArray[np.int64]
    validation_images: Floats
    validation_labels: NDArray[np.int64]


class BatchResult(NamedTuple):
    """Measurements of one mini-batch step; the last step of an epoch has validation figures and a copy of the weights.

    The weights are float64[65, 10]: a column for each digit, a row for each pixel, and the bias.
    """

    epoch: int
    loss: float
    accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    weights: Floats | None


class SampleResult(NamedTuple):
    """Measurements of a step on one sample: its loss before the step, and the running accuracy."""

    loss: float
    accuracy: float


def load_digits() -> Digits:
    """Return the 1,797 digits that scikit-learn bundles."""
    from sklearn.datasets import load_digits as load

    images, labels = load(return_X_y=True)
    scaled = np.hstack([images / _PIXEL_MAX, np.ones((len(images), 1))])
    validates = np.arange(len(images)) % _VALIDATION_SHARE == 0
    return Digits(scaled[~validates], labels[~validates], scaled[validates], labels[validates])


def train_by_batch(
    digits: Digits, learning_rate: float, epochs: int, batch_size: int, seed: int
) -> Iterator[BatchResult]:
    """Train for `epochs` passes over the shuffled data, one step a mini-batch."""
    random = np.random.default_rng(seed)
    weights = np.zeros((digits.images.shape[1], _CLASSES))
    for epoch in range(epochs):
        order = random.permutation(len(digits.images))
        batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
        for number, batch in enumerate(batches, start=1):
            images, labels = digits.images[batch], digits.labels[batch]
            probabilities = _softmax(images @ weights)
            loss, accuracy = _measure(probabilities, labels)
            probabilities[np.arange(len(labels)), labels] -= 1.0
            weights -= learning_rate / len(labels) * (images.T @ probabilities)
            validation: tuple[float, float] | tuple[None, None] = (None, None)
            if number == len(batches):
                validation = _measure(_softmax(digits.validation_images @ weights), digits.validation_labels)
            copied = weights.copy() if number == len(batches) else None
            yield BatchResult(epoch, loss, accuracy, validation[0], validation[1], copied)


def train_by_sample(digits: Digits, learning_rate: float, steps: int, seed: int) -> Iterator[SampleResult]:
    """Train for `steps` steps on one sample each, drawn at random."""
    drawn = np.random.default_rng(seed).integers(len(digits.images), size=steps)
    weights = np.zeros((_CLASSES, digits.images.shape[1]))
    labels = digits.labels.tolist()
    accuracy = 0.0
    for sample in drawn.tolist():
        image, label = digits.images[sample], labels[sample]
        scores = weights @ image
        scores -= scores.max()
        np.exp(scores, out=scores)
        scores /= scores.sum()
        probability = float(scores[label])
        right = float(scores.argmax() == label)
        accuracy += (right - accuracy) / _ACCURACY_HALF_LIFE
        scores[label] -= 1.0
        scores *= learning_rate
        weights -= np.multiply.outer(scores, image)
        yield SampleResult(-float(np.log(max(probability, 1e-300))), accuracy)


def class_probabilities(digits: Digits, weights: Floats) -> Floats:
    """Return the probability of each digit for each validation image, as float64[n, 10]."""
    return _softmax(digits.validation_images @ weights)


def _softmax(scores: Floats) -> Floats:
    probabilities: Floats = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return probabilities


def _measure(probabilities: Floats, labels: NDArray[np.int64]) -> tuple[float, float]:
    loss = -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-300)).mean()
    return float(loss), float((probabilities.argmax(axis=1) == labels).mean())
