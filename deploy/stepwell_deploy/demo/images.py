"""Media of the demo's runs: the weights of a model, and its errors."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

import stepwell
from stepwell_deploy.demo.training import Digits, Floats, class_probabilities

_SIDE: Final = 8
_MISREAD_MAX: Final = 50


def weight_images(weights: Floats) -> list[Any]:
    """Return an image of the weights of each digit: light for positive weights, dark for negative ones."""
    pixels = weights[: _SIDE * _SIDE].T.reshape(-1, _SIDE, _SIDE)
    scaled = np.clip(128 + 127 * pixels / np.abs(pixels).max(), 0, 255).astype(np.uint8)
    return [stepwell.Image(picture, caption=str(digit)) for digit, picture in enumerate(scaled)]


def misread_table(digits: Digits, weights: Floats) -> Any:
    """Return a table of the validation images that the model misclassifies, with its predictions."""
    probabilities = class_probabilities(digits, weights)
    guesses = probabilities.argmax(axis=1)
    table = stepwell.Table(columns=["image", "truth", "guess", "sure"])
    for index in np.flatnonzero(guesses != digits.validation_labels)[:_MISREAD_MAX].tolist():
        picture = (255 * digits.validation_images[index, : _SIDE * _SIDE]).astype(np.uint8).reshape(_SIDE, _SIDE)
        guess = int(guesses[index])
        truth = int(digits.validation_labels[index])
        table.add_data(stepwell.Image(picture), truth, guess, float(probabilities[index, guess]))
    return table


def confusion_chart(digits: Digits, weights: Floats) -> Any:
    """Return the confusion matrix of the validation images as a chart."""
    probabilities = class_probabilities(digits, weights)
    names = [str(digit) for digit in range(probabilities.shape[1])]
    return stepwell.plot.confusion_matrix(probabilities.tolist(), digits.validation_labels.tolist(), class_names=names)
