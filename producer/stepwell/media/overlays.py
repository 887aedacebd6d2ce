"""What is drawn over an image: boxes, masks, and the names of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, Final

import numpy as np

from stepwell.errors import UnstorableError
from stepwell.media.arrays import as_array
from stepwell.media.base import Keep, file_reference
from stepwell.media.sources import Source, Taken
from stepwell.values.convert import json_ready

_CORNERS: Final = {"minX", "minY", "maxX", "maxY"}
_MIDDLE: Final = {"middle", "width", "height"}
_MASK_TYPES: Final = np.iinfo(np.uint8)


class Classes:
    """The names of class ids: a list of `{"id": 0, "name": "cat"}`."""

    def __init__(self, class_set: Sequence[Mapping[str, Any]]) -> None:
        self.class_set = [dict(one) for one in class_set]

    def names(self) -> dict[str, str]:
        """Return the names by id. Raises: UnstorableError."""
        for one in self.class_set:
            if not {"id", "name"} <= one.keys():
                raise UnstorableError(f"classes: {one!r} must have id and name")
        return {str(one["id"]): str(one["name"]) for one in self.class_set}


class BoundingBoxes2D:
    """Boxes over an image: `{"box_data": [...], "class_labels": {0: "cat"}}`, as wandb describes them."""

    def __init__(self, val: Mapping[str, Any], key: str) -> None:
        self._key = key
        self._taken = Taken(lambda: self._checked(val))

    def take(self) -> dict[str, Any]:
        """Return the boxes as JSON: `box_data` and `class_labels`. Raises: UnstorableError."""
        return self._taken.get()

    def _checked(self, val: Mapping[str, Any]) -> dict[str, Any]:
        boxes = [json_ready(box, exact=False) for box in val["box_data"]]
        for number, box in enumerate(boxes):
            rule = _box_rule(box)
            if rule:
                raise UnstorableError(f"boxes {self._key!r}, box {number}: {rule}")
        labels = val.get("class_labels")
        if labels is None:
            labels = {one: f"class_{one}" for one in sorted({box["class_id"] for box in boxes})}
        return {"box_data": boxes, "class_labels": {str(key): str(name) for key, name in labels.items()}}


def _box_rule(box: Any) -> str:
    """Return the rule that a box breaks, "" for none."""
    if not isinstance(box, dict) or not isinstance(position := box.get("position"), dict):
        return "must be a dict with a position"
    if not (position.keys() >= _CORNERS or position.keys() >= _MIDDLE):
        return "position must have minX, minY, maxX, maxY, or middle, width, height"
    values = [*position.values(), *(position["middle"] if isinstance(position.get("middle"), list) else [])]
    if not all(isinstance(value, int | float) for value in values if not isinstance(value, list)):
        return "position must be numbers"
    if not isinstance(box.get("class_id"), int) or isinstance(box["class_id"], bool):
        return "class_id must be an integer"
    if box.get("domain") not in {None, "pixel"}:
        return "domain must be 'pixel', or left out for shares of the image"
    scores = box.get("scores") or {}
    if not isinstance(scores, dict) or not all(isinstance(score, int | float) for score in scores.values()):
        return "scores must be numbers by name"
    return ""


class ImageMask:
    """A class id for each pixel: `{"mask_data": array, "class_labels": {0: "cat"}}`, or a `path` to such an image."""

    def __init__(self, val: Mapping[str, Any], key: str) -> None:
        self._key = key
        labels = val.get("class_labels")
        self._source = Source(val["path"]) if "path" in val else None
        self._taken = Taken(lambda: (b"", labels or {}) if self._source else self._encoded(val["mask_data"], labels))

    def take(self, keep: Keep) -> dict[str, Any]:
        """Store the mask as a PNG of one byte a pixel and return its reference, with `class_labels`."""
        content, labels = self._taken.get()
        if self._source is not None:
            content = self._source.read(keep)
        names = {str(key): str(name) for key, name in labels.items()}
        return {**file_reference(keep, content, "image/png"), "class_labels": names}

    def _encoded(self, data: Any, labels: Mapping[Any, Any] | None) -> tuple[bytes, Mapping[Any, Any]]:
        from stepwell.media.pillow import pillow

        mask = as_array(data)
        if mask.ndim > 2:
            mask = np.squeeze(mask)
        if mask.ndim != 2 or mask.dtype.kind not in "iub" or not mask.size:
            raise UnstorableError(f"mask {self._key!r}: must be H×W integers, not {mask.dtype}{list(mask.shape)}")
        if mask.min() < _MASK_TYPES.min or mask.max() > _MASK_TYPES.max:
            raise UnstorableError(f"mask {self._key!r}: class ids must be 0 … {_MASK_TYPES.max}")
        buffer = BytesIO()
        pillow().fromarray(mask.astype(np.uint8)).save(buffer, "PNG")
        found = labels if labels is not None else {int(one): f"class_{one}" for one in np.unique(mask)}
        return buffer.getvalue(), found
