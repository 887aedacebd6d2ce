"""`Image`: pixels, a figure or an image file, with optional boxes and masks."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, ClassVar, Final, NamedTuple, Protocol

from stepwell.errors import NoRoomError, UnstorableError
from stepwell.media.arrays import image_pixels
from stepwell.media.base import Keep, Media, file_reference, report_part
from stepwell.media.detect import detect_library, find_figure
from stepwell.media.image_modes import to_storable_mode
from stepwell.media.overlays import BoundingBoxes2D, Classes, ImageMask
from stepwell.media.pillow import pillow
from stepwell.media.sources import FileSource, Snapshot, is_file_source
from stepwell_schemas.rules.kinds import Kind

_FILE_TYPES: Final = {"png": "PNG", "jpg": "JPEG", "jpeg": "JPEG", "bmp": "BMP", "gif": "GIF", "webp": "WEBP"}
_SVG: Final = "image/svg+xml"


class _ImageFile(NamedTuple):
    """An image file: bytes, media type, format, and size in pixels (0 if unknown)."""

    content: bytes
    content_type: str
    format: str
    width: int = 0
    height: int = 0


class _Overlay(Protocol):
    def take(self, keep: Keep) -> dict[str, Any]:
        """Return the overlay as JSON."""


class Image(Media):
    """An image.

    Args:
        data_or_path: an array or tensor (H×W, H×W×C, C×H×W; see `stepwell.media.arrays.to_uint8` for its range), a
            PIL image of any mode, a matplotlib figure, axes or `pyplot` itself, a path (read when it is logged), the
            bytes of an image file, an open file, or another Image.
        mode: PIL mode of the pixels; default: by the number of channels.
        caption: text shown below it. grouping: number of images that belong together.
        classes: names of class ids. boxes, masks: overlays by name.
        file_type: format of the stored pixels: png (default), jpg, bmp, gif, webp.
    """

    kind: ClassVar[Kind] = Kind.IMAGE

    def __init__(
        self,
        data_or_path: Any,
        mode: str | None = None,
        caption: str | None = None,
        grouping: int | None = None,
        classes: Classes | Sequence[Mapping[str, Any]] | None = None,
        boxes: Mapping[str, BoundingBoxes2D | Mapping[str, Any]] | None = None,
        masks: Mapping[str, ImageMask | Mapping[str, Any]] | None = None,
        file_type: str | None = None,
    ) -> None:
        self._source: FileSource | None = None
        self._pixels: Snapshot[_ImageFile] | None = None
        self._caption, self._grouping = caption, grouping
        if isinstance(data_or_path, Image):
            self._source, self._pixels = data_or_path._source, data_or_path._pixels
            self._caption = data_or_path._caption if caption is None else caption
        elif is_file_source(data_or_path):
            self._source = FileSource(data_or_path)
        else:
            self._pixels = Snapshot(lambda: _encode(_to_pil(data_or_path, mode), file_type))
        self._classes = classes if classes is None or isinstance(classes, Classes) else Classes(classes)
        self._boxes = {
            key: box if isinstance(box, BoundingBoxes2D) else BoundingBoxes2D(box, key)
            for key, box in (boxes or {}).items()
        }
        self._masks = {
            key: mask if isinstance(mask, ImageMask) else ImageMask(mask, key) for key, mask in (masks or {}).items()
        }

    @property
    def image(self) -> Any:
        """The pixels as a PIL image; a path is read on access. Raises: UnstorableError; OSError if it can't be read."""
        image = pillow().open(BytesIO(self._encoded(lambda *_: "").content))
        image.load()
        return image

    def _encoded(self, keep: Keep) -> _ImageFile:
        if self._pixels is not None:
            return self._pixels.get()
        assert self._source is not None  # noqa: S101 - an image has pixels or a source
        return _identify(self._source.read(keep), self._source)

    def take(self, keep: Keep) -> dict[str, Any]:
        """Store the image and its masks; see `Media.take`. Overlays that can't be stored are reported and left out."""
        image = self._encoded(keep)
        # Masks first: if one can't be stored, no image file remains without a reference to it.
        masks = _take_overlays(self._masks, keep)
        boxes = _take_overlays(self._boxes, keep)
        classes = {} if self._classes is None else _take_overlays({"classes": self._classes}, keep)
        reference = {
            "width": image.width or None,
            "height": image.height or None,
            "format": image.format,
            "caption": None if self._caption is None else str(self._caption),
            "grouping": self._grouping,
            "classes": classes.get("classes"),
            "boxes": boxes or None,
            "masks": masks or None,
        }
        metadata = {name: value for name, value in reference.items() if value is not None}
        return {**file_reference(keep, image.content, image.content_type), **metadata}


def _take_overlays(overlays: Mapping[str, _Overlay], keep: Keep) -> dict[str, Any]:
    references = {}
    for key, overlay in overlays.items():
        try:
            references[key] = overlay.take(keep)
        except NoRoomError:
            raise
        except Exception as error:
            # Also a file of a mask that can't be read, or a dict without its entries: the picture is worth more.
            known = isinstance(error, UnstorableError | OSError)
            report_part(keep, str(error) if known else f"{key!r}: {type(error).__name__}: {error}")
    return references


def _to_pil(data: Any, mode: str | None) -> Any:
    """Return data as a PIL image. Raises: UnstorableError."""
    library = detect_library(data)
    if library == "matplotlib":
        return _figure_image(data)
    image = data if library == "PIL" else pillow().fromarray(image_pixels(data))
    return image if mode is None else image.convert(mode)


def _figure_image(artist: Any) -> Any:
    buffer = BytesIO()
    find_figure(artist).savefig(buffer, format="png")
    image = pillow().open(buffer)
    image.load()
    return image


def _encode(image: Any, file_type: str | None) -> _ImageFile:
    name = (file_type or "png").lower()
    if name not in _FILE_TYPES:
        raise UnstorableError(f"file_type {file_type!r}: must be one of {', '.join(_FILE_TYPES)}")
    kind = _FILE_TYPES[name]
    image = to_storable_mode(image, kind)
    buffer = BytesIO()
    image.save(buffer, kind)
    return _ImageFile(buffer.getvalue(), f"image/{kind.lower()}", name, *image.size)


def _identify(content: bytes, source: FileSource) -> _ImageFile:
    """Identify an image file by its bytes if Pillow is installed, otherwise by its name. Raises: UnstorableError."""
    if source.extension == "svg" or content.lstrip()[:4].lower() == b"<svg":
        return _ImageFile(content, _SVG, "svg")
    try:
        library = pillow()
    except UnstorableError:
        guessed = mimetypes.guess_type(source.name)[0] or "application/octet-stream"
        return _ImageFile(content, guessed, source.extension)
    try:
        with library.open(BytesIO(content)) as image:
            kind = str(image.format)
            return _ImageFile(content, library.MIME.get(kind, "image/*"), kind.lower(), *image.size)
    except (OSError, ValueError, SyntaxError, library.DecompressionBombError) as error:
        raise UnstorableError(f"{source.name or 'the file'} is not an image: {error}") from error
