"""`Video`: frames or a video file."""

from __future__ import annotations

import math
import os
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from stepwell.errors import UnstorableError
from stepwell.media.arrays import as_array, to_uint8
from stepwell.media.base import Keep, Media, file_reference
from stepwell.media.pillow import pillow
from stepwell.media.sources import FileSource, Snapshot, is_file_source, resolve_format
from stepwell_schemas.rules.kinds import Kind

_FORMATS: Final = {"gif": "image/gif", "mp4": "video/mp4", "webm": "video/webm", "ogg": "video/ogg"}
_CODECS: Final = {"mp4": "libx264", "webm": "libvpx-vp9", "ogg": "libtheora"}
_DEFAULT_FPS: Final = 4


class Video(Media):
    """A video.

    Args:
        data_or_path: frames as [time, channels, height, width], or [batch, …] for videos shown side by side (1 or 3
            channels; value ranges as in Image); a path (read when it is logged); the bytes of a video file, or an
            open file.
        caption: text shown below it.
        fps: frames per second, for frames; default: 4.
        format: gif (default for frames; uses Pillow), mp4, webm or ogg (need imageio-ffmpeg, the extra `video`).
            For a file: required if its name has no such extension.
    """

    kind: ClassVar[Kind] = Kind.VIDEO

    def __init__(
        self,
        data_or_path: Any,
        caption: str | None = None,
        fps: int | None = None,
        format: str | None = None,  # noqa: A002 - wandb's name
    ) -> None:
        self._caption = caption
        self._format = format
        self._source = FileSource(data_or_path) if is_file_source(data_or_path) else None
        self._frames = (
            None if self._source else Snapshot(lambda: _encode_frames(data_or_path, fps or _DEFAULT_FPS, format))
        )

    def take(self, keep: Keep) -> dict[str, Any]:
        """Store the video; see `Media.take`. For frames, the reference has `width`, `height`, `frames` and `fps`."""
        if self._frames is not None:
            content, reference = self._frames.get()
        else:
            assert self._source is not None  # noqa: S101 - a video has frames or a source
            reference = {"format": resolve_format(self._format, self._source, _FORMATS)}
            content = self._source.read(keep)
        if self._caption is not None:
            reference = {**reference, "caption": str(self._caption)}
        return {**file_reference(keep, content, _FORMATS[reference["format"]]), **reference}


def _encode_frames(data: Any, fps: int, named: str | None) -> tuple[bytes, dict[str, Any]]:
    """Return frames as a file, and its metadata. Raises: UnstorableError."""
    form = (named or "gif").lower()
    if form not in _FORMATS:
        raise UnstorableError(f"format {named!r}: must be one of {', '.join(_FORMATS)}")
    frames = _to_frames(data)
    content = _gif(frames, fps) if form == "gif" else _with_ffmpeg(frames, fps, form)
    count, height, width, _ = frames.shape
    return content, {"format": form, "width": width, "height": height, "frames": count, "fps": fps}


def _to_frames(data: Any) -> NDArray[np.uint8]:
    """Return frames as uint8[time, height, width, 3]."""
    video = as_array(data)
    if video.ndim == 5:
        video = _side_by_side(video)
    if video.ndim != 4 or video.shape[1] not in {1, 3} or not video.size:
        raise UnstorableError(
            f"shape {list(video.shape)}: frames must be [time, channels, height, width], 1 or 3 channels"
        )
    frames = to_uint8(np.moveaxis(video, 1, 3))
    return np.repeat(frames, 3, axis=3) if frames.shape[3] == 1 else frames


def _side_by_side(videos: NDArray[Any]) -> NDArray[Any]:
    """Return [batch, time, channels, height, width] as one video of a grid; empty cells are black."""
    batch, time, channels, height, width = videos.shape
    columns = math.ceil(math.sqrt(batch))
    rows = -(-batch // columns)
    grid = np.zeros((rows * columns, time, channels, height, width), videos.dtype)
    grid[:batch] = videos
    tiled = grid.reshape(rows, columns, time, channels, height, width).transpose(2, 3, 0, 4, 1, 5)
    return tiled.reshape(time, channels, rows * height, columns * width)


def _gif(frames: NDArray[np.uint8], fps: int) -> bytes:
    library = pillow()
    first, *others = [library.fromarray(frame) for frame in frames]
    buffer = BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=1000 / fps, loop=0)
    return buffer.getvalue()


def _with_ffmpeg(frames: NDArray[np.uint8], fps: int, form: str) -> bytes:
    try:
        import imageio_ffmpeg
    except ImportError:
        raise UnstorableError(
            f"frames as {form} need imageio-ffmpeg: pip install 'stepwell[video]', or use format='gif'"
        ) from None
    # The common pixel format (yuv420p) halves the colour resolution, so both sides must be even.
    even = np.pad(frames, ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)), mode="edge")
    descriptor, name = tempfile.mkstemp(suffix=f".{form}")
    os.close(descriptor)
    path = Path(name)
    try:
        size = (even.shape[2], even.shape[1])
        writer = imageio_ffmpeg.write_frames(name, size, fps=fps, codec=_CODECS[form], macro_block_size=1)
        writer.send(None)
        for frame in even:
            writer.send(np.ascontiguousarray(frame))
        writer.close()
        return path.read_bytes()
    finally:
        path.unlink(missing_ok=True)
