"""Modes of PIL images, and those that the formats of stored files can hold.

| mode | becomes |
|---|---|
| `1`, `L`, `LA`, `P`, `RGB`, `RGBA` | the same |
| `I;16` and its variants: 16 bits of grey | the same in a PNG; otherwise 8 bits, divided by 257 |
| `I`: 32-bit integers | 0…255 as they are; if some are larger, 16 bits, clipped to 0…65535 |
| `F`: floats | 8 bits, as arrays of floats: see `stepwell.media.arrays.to_uint8` |
| `CMYK`, `YCbCr`, `HSV`, `LAB`, `RGBX` | `RGB`; `LAB` by way of its colour profile |
| `PA`, `La`, `RGBa` | `RGBA` |

JPEG has neither transparency nor palettes, BMP has no grey with transparency.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from stepwell.errors import UnstorableError
from stepwell.media.arrays import to_uint8
from stepwell.media.pillow import pillow

_COMMON: Final = frozenset({"1", "L", "LA", "P", "RGB", "RGBA"})
_JPEG: Final = frozenset({"L", "RGB"})
_SIXTEEN_BITS: Final = "I;16"
_UINT8_MAX: Final = 255
_UINT16_MAX: Final = 65_535


def to_storable_mode(image: Any, kind: str) -> Any:
    """Return a PIL image in a mode that a format (PIL's name) can hold. Raises: UnstorableError."""
    image = _to_common_mode(image, sixteen_bits=kind == "PNG")
    if kind == "JPEG" and image.mode not in _JPEG:
        return image.convert("L" if image.mode == "1" else "RGB")
    return image.convert("RGBA") if kind == "BMP" and image.mode == "LA" else image


def _to_common_mode(image: Any, *, sixteen_bits: bool) -> Any:
    mode = image.mode
    if mode in _COMMON:
        return image
    if mode.startswith("I"):
        return _from_integers(np.asarray(image), sixteen_bits=sixteen_bits, deep=mode.startswith(_SIXTEEN_BITS))
    if mode == "F":
        return pillow().fromarray(to_uint8(np.asarray(image)))
    if mode == "LAB":
        return _from_lab(image)
    if mode == "La":
        # Pillow converts grey with premultiplied transparency to no other mode.
        image = image.convert("LA")
    try:
        return image.convert("RGBA" if mode in {"PA", "La", "RGBa"} else "RGB")
    except ValueError as error:
        raise UnstorableError(f"mode {mode}: {error}") from error


def _from_integers(values: Any, *, sixteen_bits: bool, deep: bool) -> Any:
    """Return an image of integers; `deep` for those of 16 bits whatever their values are."""
    if not deep and (not values.size or values.max() <= _UINT8_MAX):
        return pillow().fromarray(to_uint8(values))
    clipped = np.clip(values, 0, _UINT16_MAX)
    if sixteen_bits:
        return pillow().fromarray(clipped.astype(np.uint16))
    return pillow().fromarray(np.rint(clipped / (_UINT16_MAX // _UINT8_MAX)).astype(np.uint8))


def _from_lab(image: Any) -> Any:
    try:
        from PIL import ImageCms
    except ImportError:
        raise UnstorableError("mode LAB needs a Pillow with LittleCMS; convert it to RGB") from None
    profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.applyTransform(image, ImageCms.buildTransform(*profiles, "LAB", "RGB"))
