"""Arrays of any library as numpy's, and pixels as bytes."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stepwell.errors import UnstorableError

_CHANNELS: Final = (1, 2, 3, 4)
_PIXEL_MAX: Final = 255


def as_array(value: Any) -> NDArray[Any]:
    """Return a numpy array, a tensor of any library, or nested lists, as a numpy array (maybe of the same memory)."""
    for step in ("detach", "cpu"):
        if hasattr(value, step):
            value = getattr(value, step)()
    if "bfloat16" in str(getattr(value, "dtype", "")) and hasattr(value, "float"):
        value = value.float()
    if hasattr(value, "numpy") and callable(value.numpy):
        value = value.numpy()
    return np.asarray(value)


def is_torch(value: Any) -> bool:
    """Say whether a value is one of torch's, whose images have their channels first; torch is not imported for it."""
    return any(base.__module__.partition(".")[0] == "torch" for base in type(value).__mro__)


def to_uint8(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Return pixels as uint8, by the type and the range of all of them.

    Bool: 0 and 255. Floats within 0…1: times 255; within -1…1: from -1 → 0 to 1 → 255; NaN is 0. All other numbers are
    taken as 0…255, and cut off there.
    """
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(_PIXEL_MAX)
    if array.dtype.kind not in "iuf":
        raise UnstorableError(f"pixels must be numbers, not {array.dtype}")
    if array.dtype.kind == "f":
        array = np.nan_to_num(array.astype(np.float64), nan=0.0, posinf=np.inf, neginf=-np.inf)
        low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
        if low >= 0 and high <= 1:
            array = array * _PIXEL_MAX
        elif low >= -1 and high <= 1:
            array = (array + 1) / 2 * _PIXEL_MAX
        array = np.rint(array)
    pixels: NDArray[np.uint8] = np.clip(array, 0, _PIXEL_MAX).astype(np.uint8)
    return pixels


def image_pixels(value: Any) -> NDArray[np.uint8]:
    """Return an image as uint8[height, width] or uint8[height, width, channels], channels being 2, 3 or 4.

    Args:
        value: H×W, H×W×C or C×H×W (torch's always; others where only the first dimension can be channels); dimensions
            of 1 in front of them are left out.

    Raises:
        UnstorableError: when it has another shape, or is empty.
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
