"""Conversion of arrays of any library to numpy, and of pixels to uint8."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stepwell.errors import UnstorableError
from stepwell.values.arrays import ADDED

_CHANNELS: Final = (1, 2, 3, 4)
_PIXEL_MAX: Final = 255
_OVERSHOOT: Final = 0.05
"""The distance by which floats may exceed their range: 1.0000001 after a division, 1.03 after resampling."""


def as_array(value: Any) -> NDArray[Any]:
    """Return a numpy array, a tensor of any library, or nested lists as a numpy array, which may share memory."""
    for step in ("detach", "cpu"):
        if hasattr(value, step):
            value = getattr(value, step)()
    if "bfloat16" in str(getattr(value, "dtype", "")) and hasattr(value, "float"):
        value = value.float()
    if hasattr(value, "numpy") and callable(value.numpy):
        value = value.numpy()
    array = np.asarray(value)
    if array.dtype.isbuiltin == ADDED:
        # Types of ml_dtypes, as jax has them: numpy's functions don't know their kind.
        return array.astype(np.int16 if "int" in array.dtype.name else np.float32)
    return array


def is_torch(value: Any) -> bool:
    """Return whether a value is a torch object, whose images have channels first; does not import torch."""
    return any(base.__module__.partition(".")[0] == "torch" for base in type(value).__mro__)


def to_uint8(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Return pixels as uint8, scaled by their type and overall range.

    Bool: 0 and 255. Floats within 0…1: times 255; within -1…1: mapped linearly to 0…255; NaN becomes 0. Values that
    exceed such a range by 0.05 at most are clipped to it. All other numbers are clipped to 0…255.
    """
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(_PIXEL_MAX)
    if array.dtype.kind not in "iuf":
        raise UnstorableError(f"pixels must be numbers, not {array.dtype}")
    if array.dtype.kind == "f":
        array = np.nan_to_num(array.astype(np.float64), nan=0.0, posinf=np.inf, neginf=-np.inf)
        low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
        if low >= -_OVERSHOOT and high <= 1 + _OVERSHOOT:
            array = array * _PIXEL_MAX
        elif low >= -1 - _OVERSHOOT and high <= 1 + _OVERSHOOT:
            array = (array + 1) / 2 * _PIXEL_MAX
        array = np.rint(array)
    pixels: NDArray[np.uint8] = np.clip(array, 0, _PIXEL_MAX).astype(np.uint8)
    return pixels


def image_pixels(value: Any) -> NDArray[np.uint8]:
    """Return an image as uint8[height, width] or uint8[height, width, channels], with 2, 3 or 4 channels.

    Args:
        value: H×W, H×W×C or C×H×W (always for torch, for others only if the last dimension can't be channels);
            leading dimensions of 1 are dropped.

    Raises:
        UnstorableError: if it has another shape, or is empty.
    """
    array = as_array(value)
    shape = array.shape
    while array.ndim > 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 3 and array.shape[0] in _CHANNELS and (is_torch(value) or array.shape[2] not in _CHANNELS):
        array = np.moveaxis(array, 0, 2)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in _CHANNELS)) or not array.size:
        raise UnstorableError(f"shape {list(shape)}: an image is H×W, H×W×C or C×H×W with 1 to 4 channels")
    return to_uint8(array)
