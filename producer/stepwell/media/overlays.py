"""Overlays of images: boxes, masks, and class names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, Final

import numpy as np

from stepwell.errors import UnstorableError
from stepwell.media.arrays import as_array
from stepwell.media.base import Keep, file_reference, report_part
from stepwell.media.sources import FileSource, Snapshot
from stepwell.values.convert import to_json_value
from stepwell_schemas.rules.json_values import FLOATS

_CORNERS: Final = {"minX", "minY", "maxX", "maxY"}
_MIDDLE: Final = {"middle", "width", "height"}
_MASK_TYPES: Final = np.iinfo(np.uint8)


class Classes:
    """The names of class ids: a list of `{"id": 0, "name": "cat"}`."""

    def __init__(self, class_set: Sequence[Mapping[str, Any]]) -> None:
        self.class_set = [dict(entry) for entry in class_set]

    def take(self, keep: Keep) -> dict[str, str]:
        """Return the names by id. Raises: UnstorableError."""
        del keep
        for entry in self.class_set:
            if not {"id", "name"} <= entry.keys():
                raise UnstorableError(f"classes: {entry!r} must have id and name")
        return {str(entry["id"]): str(entry["name"]) for entry in self.class_set}


class BoundingBoxes2D:
    """Boxes over an image in wandb's format: `{"box_data": [...], "class_labels": {0: "cat"}}`."""

    def __init__(self, val: Mapping[str, Any], key: str) -> None:
        self._key = key
        self._snapshot = Snapshot(lambda: self._validate(val))

    def take(self, keep: Keep) -> dict[str, Any]:
        """Return the boxes as JSON: `box_data` and `class_labels`; boxes that break a rule are reported and left out.

        Scores and positions that are not finite are the texts "NaN", "Infinity" and "-Infinity".
        """
        reference, rules = self._snapshot.get()
        for rule in rules:
            report_part(keep, rule)
        return reference

    def _validate(self, val: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        given = [to_json_value(box, exact=False) for box in val["box_data"]]
        rules = [_box_rule(box) for box in given]
        boxes = [box for box, rule in zip(given, rules, strict=True) if not rule]
        broken = [f"boxes {self._key!r}, box {number}: {rule}" for number, rule in enumerate(rules) if rule]
        labels = val.get("class_labels")
        if labels is None:
            labels = {number: f"class_{number}" for number in sorted({box["class_id"] for box in boxes})}
        return {"box_data": boxes, "class_labels": {str(key): str(name) for key, name in labels.items()}}, broken


def _box_rule(box: Any) -> str:
    """Return the rule that a box breaks, "" for none."""
    if not isinstance(box, dict) or not isinstance(position := box.get("position"), dict):
        return "must be a dict with a position"
    if not (position.keys() >= _CORNERS or position.keys() >= _MIDDLE):
        return "position must have minX, minY, maxX, maxY, or middle, width, height"
    values = [*position.values(), *(position["middle"] if isinstance(position.get("middle"), list) else [])]
    if not all(_is_number(value) for value in values if not isinstance(value, list)):
        return "position must be numbers"
    if not isinstance(box.get("class_id"), int) or isinstance(box["class_id"], bool):
        return "class_id must be an integer"
    if box.get("domain") not in {None, "pixel"}:
        return "domain must be 'pixel', or omitted for fractions of the image"
    scores = box.get("scores") or {}
    if not isinstance(scores, dict) or not all(_is_number(score) for score in scores.values()):
        return "scores must be numbers by name"
    return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) or value in FLOATS


class ImageMask:
    """A class id per pixel: `{"mask_data": array, "class_labels": {0: "cat"}}`, or a `path` to such an image."""

    def __init__(self, val: Mapping[str, Any], key: str) -> None:
        self._key = key
        labels = val.get("class_labels")
        self._source = FileSource(val["path"]) if "path" in val else None
        self._snapshot = Snapshot(
            lambda: (b"", labels or {}) if self._source else self._encoded(val["mask_data"], labels)
        )

    def take(self, keep: Keep) -> dict[str, Any]:
        """Store the mask as a PNG with one byte per pixel, and return its reference with `class_labels`."""
        content, labels = self._snapshot.get()
        if self._source is not None:
            content = self._source.read(keep)
        names = {str(key): str(name) for key, name in labels.items()}
        return {**file_reference(keep, content, "image/png"), "class_labels": names}

    def _encoded(self, data: Any, labels: Mapping[Any, Any] | None) -> tuple[bytes, Mapping[Any, Any]]:
        from stepwell.media.pillow import pillow

        mask = as_array(data)
        if mask.ndim > 2:
            mask = np.squeeze(mask)
        if mask.dtype.kind == "f" and np.array_equal(mask, np.rint(mask)):
            mask = mask.astype(np.int64)
        if mask.ndim != 2 or mask.dtype.kind not in "iub" or not mask.size:
            raise UnstorableError(f"mask {self._key!r}: must be H×W integers, not {mask.dtype}{list(mask.shape)}")
        if mask.min() < _MASK_TYPES.min or mask.max() > _MASK_TYPES.max:
            raise UnstorableError(f"mask {self._key!r}: class ids must be 0 … {_MASK_TYPES.max}")
        buffer = BytesIO()
        pillow().fromarray(mask.astype(np.uint8)).save(buffer, "PNG")
        names = labels if labels is not None else {int(number): f"class_{number}" for number in np.unique(mask)}
        return buffer.getvalue(), names
