"""`Object3D`: point clouds and 3D scene files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import product
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from stepwell.errors import UnstorableError
from stepwell.media.arrays import as_array
from stepwell.media.base import Keep, Media, file_reference
from stepwell.media.sources import FileSource, Snapshot, is_file_source, resolve_format
from stepwell.values.convert import to_json_value
from stepwell_schemas.limits import FILE_MAX_LEAVES
from stepwell_schemas.rules.kinds import Kind

_POINTS: Final = "pts.json"
_FORMATS: Final = {
    "obj": "model/obj",
    "gltf": "model/gltf+json",
    "glb": "model/gltf-binary",
    "babylon": "application/json",
    "stl": "model/stl",
    _POINTS: "application/json",
}
_COLUMNS: Final = {3, 4, 6}
_SCENE: Final = "lidar/beta"
_SCENE_PARTS: Final = ("points", "boxes", "vectors")
_UNIT_CORNERS: Final = np.array(list(product((-0.5, 0.5), repeat=3)))


class Object3D(Media):
    """A three-dimensional object.

    Args:
        data_or_path: points as [n, 3] (x, y, z), [n, 4] (with a category 1…14) or [n, 6] (with r, g, b); a scene, a
            dict of `type` "lidar/beta" with `points`, `boxes` and `vectors`; a path (read when it is logged) or an
            open file, in obj, gltf, glb, babylon, stl or pts.json format.
        caption: text shown below it.
        file_type: the format of an open file or of bytes.
    """

    kind: ClassVar[Kind] = Kind.OBJECT3D

    def __init__(self, data_or_path: Any, caption: str | None = None, file_type: str | None = None) -> None:
        self._caption = caption
        self._file_type = file_type
        self._source = FileSource(data_or_path) if is_file_source(data_or_path) else None
        self._points = None if self._source else Snapshot(lambda: _points_json(data_or_path))

    @classmethod
    def from_file(cls, data_or_path: Any, file_type: str | None = None) -> Self:
        """Return an object from a path or an open file."""
        return cls(data_or_path, file_type=file_type)

    @classmethod
    def from_numpy(cls, data: Any) -> Self:
        """Return a point cloud."""
        return cls(data)

    @classmethod
    def from_point_cloud(
        cls,
        points: Any,
        boxes: Any = (),
        vectors: Any = (),
        point_cloud_type: str = _SCENE,
    ) -> Self:
        """Return a scene of points, boxes and vectors."""
        return cls(
            {"type": point_cloud_type, "points": points, "boxes": boxes, "vectors": () if vectors is None else vectors}
        )

    def take(self, keep: Keep) -> dict[str, Any]:
        """Store the object; see `Media.take`."""
        if self._points is not None:
            content, form = self._points.get(), _POINTS
        else:
            assert self._source is not None  # noqa: S101 - an object has points or a source
            form = resolve_format(self._file_type, self._source, _FORMATS)
            content = self._source.read(keep)
        reference = {**file_reference(keep, content, _FORMATS[form]), "format": form}
        return reference if self._caption is None else {**reference, "caption": str(self._caption)}


def box3d(
    *,
    center: Any,
    size: Any,
    orientation: Any,
    color: Any,
    label: str | None = None,
    score: float | None = None,
) -> dict[str, Any]:
    """Return a box for `Object3D.from_point_cloud` from its center, size and rotation.

    Args:
        center: x, y, z. size: the lengths of its sides. orientation: a quaternion [r, x, y, z] of any length above 0.
        color: r, g, b. label, score: text and number shown at the box.

    Raises:
        ValueError: if one of them has another shape, or the quaternion is 0.
    """
    middle, sides, quaternion = (as_array(part).astype(np.float64) for part in (center, size, orientation))
    for name, part, length in (("center", middle, 3), ("size", sides, 3), ("orientation", quaternion, 4)):
        if part.shape != (length,):
            raise ValueError(f"{name} has shape {list(part.shape)}: must be [{length}]")
    norm = np.linalg.norm(quaternion)
    if not norm > 0:
        raise ValueError(f"orientation {quaternion.tolist()}: must be a quaternion other than 0")
    corners = middle + (sides * _UNIT_CORNERS) @ _rotation(quaternion / norm)
    return {"corners": corners.tolist(), "label": label, "color": _to_list(color), "score": score}


def _rotation(quaternion: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix that rotates row vectors by a unit quaternion [r, x, y, z]."""
    r, *vector = quaternion.tolist()
    x, y, z = vector
    across = np.array([[0, z, -y], [-z, 0, x], [y, -x, 0]])
    turned: NDArray[np.float64] = np.eye(3) + 2 * r * across + 2 * across @ across
    return turned


def _points_json(data: Any) -> bytes:
    if isinstance(data, Mapping):
        if data.get("type") != _SCENE:
            raise UnstorableError(f"type {data.get('type')!r}: the type of a scene must be {_SCENE!r}")
        scene = {part: _to_list(data.get(part, [])) for part in _SCENE_PARTS}
        return _json({"type": _SCENE, **scene})
    points = as_array(data)
    if points.ndim != 2 or points.shape[1] not in _COLUMNS or points.dtype.kind not in "iuf":
        raise UnstorableError(f"shape {list(points.shape)}: points must be numbers as [n, 3], [n, 4] or [n, 6]")
    return _json(points.tolist())


def _to_list(part: Any) -> Any:
    return part.tolist() if hasattr(part, "tolist") else part


def _json(value: Any) -> bytes:
    return json.dumps(
        to_json_value(value, exact=False, max_leaves=FILE_MAX_LEAVES), separators=(",", ":"), allow_nan=False
    ).encode()
