"""`Video`: frames, or a video file."""

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
from stepwell.media.sources import Source, Taken, chosen_format, is_source
from stepwell_schemas.rules.kinds import Kind

_FORMATS: Final = {"gif": "image/gif", "mp4": "video/mp4", "webm": "video/webm", "ogg": "video/ogg"}
_CODECS: Final = {"mp4": "libx264", "webm": "libvpx-vp9", "ogg": "libtheora"}
_DEFAULT_FPS: Final = 4


class Video(Media):
    """Moving pictures.

    Args:
        data_or_path: frames as [time, channels, height, width], or [batch, …], whose videos are shown side by side
            (1 or 3 channels; ranges as an Image's); a path (read when it is logged); the bytes of a video file, or an
            open one.
        caption: shown below it.
        fps: frames a second of frames; default: 4.
        format: gif (the default of frames; by Pillow), mp4, webm or ogg (they need imageio-ffmpeg, the extra `video`).
            Of a file: needed where its name does not say.
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
        self._source = Source(data_or_path) if is_source(data_or_path) else None
        self._frames = None if self._source else Taken(lambda: _encoded(data_or_path, fps or _DEFAULT_FPS, format))

    def take(self, keep: Keep) -> dict[str, Any]:
        """Store the video; see `Media.take`. Of frames, `width`, `height`, `frames` and `fps` are known."""
        if self._frames is not None:
            content, reference = self._frames.get()
        else:
            assert self._source is not None  # noqa: S101 - a video has frames or a source
            reference = {"format": chosen_format(self._format, self._source, _FORMATS)}
            content = self._source.read(keep)
        if self._caption is not None:
            reference = {**reference, "caption": str(self._caption)}
        return {**file_reference(keep, content, _FORMATS[reference["format"]]), **reference}


def _encoded(data: Any, fps: int, named: str | None) -> tuple[bytes, dict[str, Any]]:
    """Return frames as a file, and what is known of it. Raises: UnstorableError."""
    wanted = (named or "gif").lower()
    if wanted not in _FORMATS:
        raise UnstorableError(f"format {named!r}: must be one of {', '.join(_FORMATS)}")
    frames = _frames_of(data)
    content = _gif(frames, fps) if wanted == "gif" else _with_ffmpeg(frames, fps, wanted)
    count, height, width, _ = frames.shape
    return content, {"format": wanted, "width": width, "height": height, "frames": count, "fps": fps}


def _frames_of(data: Any) -> NDArray[np.uint8]:
    """Return frames as uint8[time, height, width, 3]."""
    video = as_array(data)
    if video.ndim == 5:
        video = _side_by_side(video)
    if video.ndim != 4 or video.shape[1] not in {1, 3} or not video.size:
        raise UnstorableError(f"shape {list(video.shape)}: frames are [time, channels, height, width], 1 or 3 channels")
    frames = to_uint8(np.moveaxis(video, 1, 3))
    return np.repeat(frames, 3, axis=3) if frames.shape[3] == 1 else frames


def _side_by_side(videos: NDArray[Any]) -> NDArray[Any]:
    """Return [batch, time, channels, height, width] as one video of a grid, black where it has no videos left."""
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


def _with_ffmpeg(frames: NDArray[np.uint8], fps: int, wanted: str) -> bytes:
    try:
        import imageio_ffmpeg
    except ImportError:
        raise UnstorableError(
            f"frames as {wanted} need imageio-ffmpeg: pip install 'stepwell[video]'; or take format='gif'"
        ) from None
    # The common pixel format halves the colours' resolution, so both sides must be even.
    even = np.pad(frames, ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)), mode="edge")
    descriptor, name = tempfile.mkstemp(suffix=f".{wanted}")
    os.close(descriptor)
    path = Path(name)
    try:
        size = (even.shape[2], even.shape[1])
        writer = imageio_ffmpeg.write_frames(name, size, fps=fps, codec=_CODECS[wanted], macro_block_size=1)
        writer.send(None)
        for frame in even:
            writer.send(np.ascontiguousarray(frame))
        writer.close()
        return path.read_bytes()
    finally:
        path.unlink(missing_ok=True)
